// SPDX-License-Identifier: GPL-3.0-or-later

package schema

import (
	"cmp"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"slapos/slap/pyjson"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// mismatches writes errors as sentences.
func (s *Schema) mismatches(found []Problem, err *jsonschema.ValidationError) []Problem {
	if len(found) >= maximumMismatches {
		return found
	}
	at := err.InstanceLocation
	say := func(text string) []Problem {
		return append(found, problem(at, text))
	}
	// each is about members of the value.
	each := func(names []string, text string) []Problem {
		for _, name := range names[:min(len(names), maximumNames)] {
			member := append(slices.Clone(at), name)
			found = append(found, problem(member, text))
		}
		if more := len(names) - maximumNames; more > 0 {
			return say(fmt.Sprintf("has %d more such members", more))
		}
		return found
	}
	switch is := err.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.Reference, *kind.AllOf:
		for _, cause := range err.Causes {
			found = s.mismatches(found, cause)
		}
		return found
	case *kind.AnyOf:
		return s.alternatives(found, err)
	case *kind.OneOf:
		if len(is.Subschemas) > 0 {
			var titles []string
			for _, i := range is.Subschemas {
				if title := s.titleAt(err.SchemaURL + "/oneOf/" + strconv.Itoa(i)); title != "" {
					titles = append(titles, title)
				}
			}
			if len(titles) == len(is.Subschemas) {
				return say("fits more than one of the alternatives: " + strings.Join(titles, ", "))
			}
			return say("fits more than one of the alternatives")
		}
		return s.alternatives(found, err)
	case *kind.RefCycle:
		s.budget.needed = append(s.budget.needed, Flaw{s.origins[plainLocation(is.URL)].String(), "it refers to itself without end"})
		return found
	case *kind.Required:
		return each(is.Missing, "is required")
	case *kind.Dependency:
		return each(is.Missing, "is required together with "+shortened(is.Prop))
	case *kind.DependentRequired:
		return each(is.Missing, "is required together with "+shortened(is.Prop))
	case *kind.AdditionalProperties:
		slices.Sort(is.Properties)
		return each(is.Properties, "is not a parameter of this software type")
	case *kind.FalseSchema:
		return say("is not a parameter of this software type")
	case *kind.PropertyNames:
		text := "has the name " + shortened(is.Property) + ", which isn't allowed"
		for _, cause := range err.Causes {
			for _, problem := range s.mismatches(nil, cause) {
				text += ": " + strings.Replace(problem.Text, theParameters, "it", 1)
				break
			}
		}
		return say(text)
	case *kind.Pattern:
		text := patternWords(is.Want)
		if examples, _ := s.origins[plainLocation(err.SchemaURL)].keywords["examples"].([]any); text == patternNamed(is.Want) && len(examples) > 0 {
			text += ", such as " + plainly(examples[0])
		}
		return say(text)
	default:
		return say(sentence(is))
	}
}

// sentence goes on after the name of a value.
func sentence(is jsonschema.ErrorKind) string {
	switch is := is.(type) {
	case *kind.Type:
		return "must be " + orList(typeWords(is.Want))
	case *kind.Enum:
		return "must be " + oneOf(is.Want)
	case *kind.Const:
		return "must be " + constantText(is.Want)
	case *kind.Minimum:
		return "must be at least " + decimal(is.Want)
	case *kind.Maximum:
		return "must be at most " + decimal(is.Want)
	case *kind.ExclusiveMinimum:
		return "must be more than " + decimal(is.Want)
	case *kind.ExclusiveMaximum:
		return "must be less than " + decimal(is.Want)
	case *kind.MultipleOf:
		return "must be a multiple of " + decimal(is.Want)
	case *kind.MinLength:
		if is.Got == 0 && is.Want == 1 {
			return "must not be empty"
		}
		return "must have at least " + counted(is.Want, "character")
	case *kind.MaxLength:
		return "must have at most " + counted(is.Want, "character")
	case *kind.MinItems:
		return "must have at least " + counted(is.Want, "item")
	case *kind.MaxItems:
		return "must have at most " + counted(is.Want, "item")
	case *kind.AdditionalItems:
		return "has " + counted(is.Count, "item") + " too many"
	case *kind.UniqueItems:
		return fmt.Sprintf("has the same item twice, at %d and %d", is.Duplicates[0]+1, is.Duplicates[1]+1)
	case *kind.MinProperties:
		return "must have at least " + counted(is.Want, "member")
	case *kind.MaxProperties:
		return "must have at most " + counted(is.Want, "member")
	case *kind.Contains, *kind.MinContains:
		return "lacks an item that the schema wants"
	case *kind.MaxContains:
		return "has too many items of one kind"
	}
	return "is a value that the schema excludes"
}

// alternatives says why a value fits none of some schemas: what all want, or
// what the closest one finds wrong.
func (s *Schema) alternatives(found []Problem, err *jsonschema.ValidationError) []Problem {
	at := err.InstanceLocation
	var types []string
	var values []any
	simple := len(err.Causes) > 0
	type candidate struct {
		problems []Problem
		score    int
		title    string
	}
	var closest []candidate
	for _, cause := range err.Causes[:min(len(err.Causes), maximumNames)] {
		leaf := leafOf(cause)
		switch is := leaf.ErrorKind.(type) {
		case *kind.Type:
			types = append(types, is.Want...)
		case *kind.Const:
			values = append(values, is.Want)
		case *kind.Enum:
			values = append(values, is.Want...)
		default:
			simple = false
		}
		if len(leaf.InstanceLocation) != len(at) {
			simple = false
		}
		problems := s.mismatches(nil, cause)
		closest = append(closest, candidate{problems, distance(cause, len(at), 0)*1000 + len(problems), s.titleOf(cause)})
	}
	if simple {
		text := "must be " + orList(typeWords(types))
		switch {
		case len(types) == 0:
			text = "must be " + oneOf(values)
		case len(values) > 0:
			text += ", or " + oneOf(values)
		}
		return append(found, problem(at, text))
	}
	if len(closest) > 1 {
		// What all find wrong has to be mended, whichever is meant.
		common := closest[0].problems
		for _, other := range closest[1:] {
			common = slices.DeleteFunc(slices.Clone(common), func(p Problem) bool { return !slices.Contains(other.problems, p) })
		}
		if len(common) > 0 {
			return append(found, common...)
		}
		if values, which := telling(err.Causes); which != nil {
			return append(found, problem(which, "must be "+oneOf(values)))
		}
	}
	slices.SortStableFunc(closest, func(a, b candidate) int { return cmp.Compare(a.score, b.score) })
	if len(closest) > 0 && len(closest[0].problems) > 0 {
		best := closest[0]
		if len(closest) == 1 || best.score < 1000 && closest[1].score >= 1000 {
			return append(found, best.problems...)
		}
		reason := best.problems[0].Text
		if _, inner, nested := strings.Cut(reason, noneOf+"; "); nested {
			_, reason, _ = strings.Cut(inner, ": ")
		}
		which := "; in the closest: "
		if best.title != "" {
			which = "; the closest is " + shortened(best.title) + ": "
		}
		return append(found, problem(at, "fits "+noneOf+which+reason))
	}
	return append(found, problem(at, "fits "+noneOf))
}

const noneOf = "none of the alternatives"

// titleOf is how its author calls the schema that an error is about.
func (s *Schema) titleOf(err *jsonschema.ValidationError) string {
	title := s.titleAt(err.SchemaURL)
	if reference, is := err.ErrorKind.(*kind.Reference); is {
		title = cmp.Or(title, s.titleAt(reference.URL))
	}
	return title
}

func (s *Schema) titleAt(location string) string {
	title, _ := s.origins[plainLocation(location)].keywords["title"].(string)
	return title
}

// telling finds a member by which all alternatives are told apart, and none is
// meant.
func telling(alternatives []*jsonschema.ValidationError) (values []any, location []string) {
	first := constantsIn(alternatives[0], map[string]constants{})
	for _, place := range slices.Sorted(maps.Keys(first)) {
		values = nil
		for _, alternative := range alternatives {
			here, found := constantsIn(alternative, map[string]constants{})[place]
			if !found {
				values = nil
				break
			}
			values = append(values, here.values...)
		}
		if values != nil {
			return values, first[place].location
		}
	}
	return nil, nil
}

// constants are the values that an alternative wants at a location.
type constants struct {
	values   []any
	location []string
}

func constantsIn(err *jsonschema.ValidationError, found map[string]constants) map[string]constants {
	switch is := err.ErrorKind.(type) {
	case *kind.Const:
		found[PlaceOf(err.InstanceLocation...)] = constants{[]any{is.Want}, err.InstanceLocation}
	case *kind.Enum:
		found[PlaceOf(err.InstanceLocation...)] = constants{is.Want, err.InstanceLocation}
	case *kind.Schema, *kind.Group, *kind.Reference, *kind.AllOf:
		for _, cause := range err.Causes {
			constantsIn(cause, found)
		}
	}
	return found
}

// leafOf follows errors that have one cause.
func leafOf(err *jsonschema.ValidationError) *jsonschema.ValidationError {
	for len(err.Causes) == 1 {
		err = err.Causes[0]
	}
	return err
}

// distance counts what tells that an alternative isn't meant: another type, or
// another constant.
func distance(err *jsonschema.ValidationError, depth, sum int) int {
	switch err.ErrorKind.(type) {
	case *kind.Type, *kind.Const, *kind.Enum, *kind.AdditionalProperties, *kind.FalseSchema:
		if len(err.InstanceLocation) <= depth+1 {
			sum++
		}
	}
	for _, cause := range err.Causes {
		sum = distance(cause, depth, sum)
	}
	return sum
}

const theParameters = "the parameters"

// problem is a sentence about the value at a location.
func problem(at []string, text string) Problem {
	if len(at) == 0 { // more than one
		for _, verb := range [][2]string{{"fits", "fit"}, {"has", "have"}, {"is", "are"}, {"lacks", "lack"}} {
			if rest, found := strings.CutPrefix(text, verb[0]+" "); found {
				text = verb[1] + " " + rest
				break
			}
		}
	}
	return Problem{PlaceOf(at...), cut(nameOf(at)+" "+text, maximumLine)}
}

// nameOf is a location as a person names it.
func nameOf(location []string) string {
	if len(location) == 0 {
		return theParameters
	}
	name := strings.TrimPrefix(PlaceOf(location...), "$.")
	if strings.ContainsAny(name, " \t\r\n") {
		name = strconv.Quote(name)
	}
	return name
}

// PlaceOf writes a location as $.key[0].
func PlaceOf(location ...string) string {
	var path strings.Builder
	path.WriteByte('$')
	for _, step := range location {
		if _, err := strconv.Atoi(step); err == nil {
			path.WriteString("[" + shortened(step) + "]")
		} else {
			path.WriteString("." + shortened(step))
		}
	}
	return path.String()
}

var typeNamed = map[string]string{
	"string": "text", "number": "a number", "integer": "a whole number", "boolean": "true or false", "array": "a list", "object": "an object", "null": "null",
}

func typeWords(types []string) (list []string) {
	for _, name := range types {
		if word := typeNamed[name]; !slices.Contains(list, word) {
			list = append(list, word)
		}
	}
	if i := slices.Index(list, "null"); i >= 0 { // the exception
		list = append(slices.Delete(list, i, i+1), "null")
	}
	return list
}

func orList(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:len(list)-1], ", ") + " or " + list[len(list)-1]
}

func oneOf(values []any) string {
	var list []string
	for _, value := range values[:min(len(values), maximumNames)] {
		text := constantText(value)
		if !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	text := strings.Join(list, ", ")
	if more := len(values) - maximumNames; more > 0 {
		text += fmt.Sprintf(", … %d more", more)
	}
	if len(list) == 1 {
		return text
	}
	return "one of " + text
}

// constantText is a value that is wanted. A text that could be taken for another
// value is in quotes.
func constantText(value any) string {
	text, isText := value.(string)
	switch _, err := pyjson.Read([]byte(text)); {
	case !isText:
		return plainly(value)
	case text == "":
		return "empty"
	case err == nil || text != strings.TrimSpace(text):
		return strconv.Quote(shortened(text))
	}
	return plainly(value)
}

func counted(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return strconv.Itoa(n) + " " + word + "s"
}

// decimal writes a number of a schema.
func decimal(number *big.Rat) string {
	if number.IsInt() {
		return shortened(number.Num().String())
	}
	return shortened(strings.TrimRight(number.FloatString(20), "0"))
}
