// SPDX-License-Identifier: GPL-3.0-or-later

package panel

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// kind is how a value is shown.
type kind struct {
	name         string
	choices      []choice             // of a choice
	items        *jsonschema.Schema   // of a list
	places       []*jsonschema.Schema // of a list whose items have a meaning each
	null         bool                 // a number may be null
	alternatives []*jsonschema.Schema // of a variant
}

// kindOf chooses an input: one that the user need not know JSON for, where
// that can be.
func (b *builder) kindOf(all []*jsonschema.Schema) kind {
	if b.isFull() {
		return kind{name: "any"}
	}
	if constants := constantsOf(all); len(constants) > 0 {
		k := kind{name: "choice"}
		for _, value := range constants {
			k.choices = append(k.choices, choice{Value: jsonText(value.value), Label: cut(cmp.Or(value.title, shortText(value.value), "empty"), mostLabel)})
		}
		return k
	}
	types := typesOf(all)
	var alternatives []*jsonschema.Schema
	for _, part := range all {
		if len(alternatives) == 0 {
			alternatives = part.OneOf
		}
		if len(alternatives) == 0 {
			alternatives = part.AnyOf
		}
	}
	if hasProperties(all) && (len(types) == 0 || types["object"] && len(types) == 1) {
		return kind{name: "group"}
	}
	if alternatives = flat(alternatives, map[*jsonschema.Schema]bool{}); len(alternatives) > 0 {
		// Forms of the same kind are one; those of several plain types as well.
		common := map[string]bool{}
		plain := true
		for _, alternative := range alternatives {
			below := parts(alternative, nil)
			of := typesOf(below)
			maps.Copy(common, of)
			if len(of) == 0 && !onlyBounds(below) || len(constantsOf(below)) > 0 || of["object"] || of["array"] || of["boolean"] {
				plain = false
			}
		}
		if !plain {
			return kind{name: "variant", alternatives: alternatives}
		}
		if len(types) == 0 {
			types = common
		}
	}
	null := types["null"]
	delete(types, "null")
	switch {
	case len(types) == 0 && null:
		return kind{name: "choice", choices: []choice{{Value: "null", Label: "null"}}}
	case len(types) == 0:
		return kind{name: "any"}
	case types["boolean"] && len(types) == 1:
		k := kind{name: "choice", choices: []choice{{Value: "true", Label: "yes"}, {Value: "false", Label: "no"}}}
		if null {
			k.choices = append(k.choices, choice{Value: "null", Label: "null"})
		}
		return k
	case (types["integer"] || types["number"]) && !types["boolean"] && !types["array"] && !types["object"]:
		return kind{name: "number", null: null}
	case len(types) > 1 || null:
		return kind{name: "variant", alternatives: alternativesOf(types, null)}
	case types["array"]:
		return b.arrayKind(all)
	case types["object"] && closed(all) && !describesMembers(all):
		return kind{name: "group"} // which is there or not
	case types["object"]:
		return kind{name: "table"}
	}
	for _, part := range all {
		if format := b.schema.Keyword(part, "format"); part.WriteOnly || format == "password" {
			return kind{name: "secret"}
		}
	}
	return kind{name: "text"}
}

// flat puts the alternatives of an alternative that says nothing else in its
// place.
func flat(alternatives []*jsonschema.Schema, seen map[*jsonschema.Schema]bool) (found []*jsonschema.Schema) {
	for _, alternative := range alternatives {
		last := alternative
		for last.Ref != nil && isBare(last) && !seen[last] {
			seen[last] = true
			last = last.Ref
		}
		inner := slices.Concat(last.OneOf, last.AnyOf)
		switch {
		case seen[last]:
		case isBare(last) && len(inner) > 0:
			seen[last] = true
			found = append(found, flat(inner, seen)...)
		default:
			found = append(found, alternative)
		}
	}
	return found
}

// isBare reports whether a schema only refers to others.
func isBare(s *jsonschema.Schema) bool {
	all := []*jsonschema.Schema{s}
	return s.Title == "" && s.Description == "" && s.Types == nil && s.Const == nil && s.Enum == nil && len(s.AllOf) == 0 && len(s.Required) == 0 &&
		s.Items == nil && s.Items2020 == nil && !hasProperties(all) && !describesMembers(all) && !closed(all)
}

// alternativesOf are the forms of a value that may be of several types.
func alternativesOf(types map[string]bool, null bool) (alternatives []*jsonschema.Schema) {
	if types["number"] {
		delete(types, "integer")
	}
	names := slices.Sorted(maps.Keys(types))
	if null {
		names = append(names, "null")
	}
	for _, name := range names {
		of := new(jsonschema.Types)
		of.Add(name)
		alternatives = append(alternatives, &jsonschema.Schema{Types: of})
	}
	return alternatives
}

// onlyBounds reports whether schemas say nothing of a value's type.
func onlyBounds(all []*jsonschema.Schema) bool {
	return !slices.ContainsFunc(all, func(s *jsonschema.Schema) bool {
		return len(s.Properties) > 0 || len(s.PatternProperties) > 0 || s.AdditionalProperties != nil || s.Items != nil || s.Items2020 != nil ||
			len(s.OneOf) > 0 || len(s.AnyOf) > 0
	})
}

// arrayKind chooses lines for plain items.
func (b *builder) arrayKind(all []*jsonschema.Schema) kind {
	var items *jsonschema.Schema
	var places []*jsonschema.Schema
	for _, part := range all {
		if of, is := part.Items.(*jsonschema.Schema); is {
			items = of
		}
		if part.Items2020 != nil {
			items = part.Items2020
		}
		if list, is := part.Items.([]*jsonschema.Schema); is && len(list) > 0 {
			places = list
			items, _ = part.AdditionalItems.(*jsonschema.Schema)
		}
		if len(part.PrefixItems) > 0 {
			places = part.PrefixItems
		}
	}
	if len(places) > 0 {
		return kind{name: "list", items: items, places: places}
	}
	if items == nil {
		return kind{name: "items"}
	}
	all = parts(items, nil)
	if types := typesOf(all); len(types) == 1 && types["array"] {
		return kind{name: "list", items: items} // which may be one of its own items
	}
	switch of := b.kindOf(all); of.name {
	case "text":
		return kind{name: "lines"}
	case "number":
		if !of.null {
			return kind{name: "numbers"}
		}
	case "any":
		return kind{name: "items"}
	}
	return kind{name: "list", items: items}
}

func hasProperties(all []*jsonschema.Schema) bool {
	return slices.ContainsFunc(all, func(s *jsonschema.Schema) bool { return len(s.Properties) > 0 })
}

// describesMembers reports whether schemas say what members without a property
// of their own are.
func describesMembers(all []*jsonschema.Schema) bool {
	return slices.ContainsFunc(all, func(s *jsonschema.Schema) bool {
		_, additional := s.AdditionalProperties.(*jsonschema.Schema)
		return additional || len(s.PatternProperties) > 0
	})
}

// closed reports whether schemas admit no member that they don't describe.
func closed(all []*jsonschema.Schema) bool {
	return slices.ContainsFunc(all, func(s *jsonschema.Schema) bool {
		return s.AdditionalProperties == false || s.UnevaluatedProperties != nil && s.UnevaluatedProperties.Bool != nil && !*s.UnevaluatedProperties.Bool
	})
}

// boundsOf says which numbers schemas admit, in the words of mismatches.
func boundsOf(all []*jsonschema.Schema) string {
	var texts []string
	for _, s := range all {
		for _, bound := range []struct {
			words string
			value *big.Rat
		}{
			{"at least ", s.Minimum}, {"more than ", s.ExclusiveMinimum}, {"at most ", s.Maximum}, {"less than ", s.ExclusiveMaximum},
			{"a multiple of ", s.MultipleOf},
		} {
			if bound.value == nil || bound.value.Num().BitLen() > 64 || bound.value.Denom().BitLen() > 64 {
				continue // or too long to read
			}
			if digits, exact := bound.value.FloatPrec(); exact {
				texts = append(texts, bound.words+bound.value.FloatString(digits))
			}
		}
	}
	text := strings.Join(texts, ", ")
	return strings.ToUpper(text[:min(1, len(text))]) + text[min(1, len(text)):]
}

// typesOf are the types that schemas admit together; none if they don't say,
// beyond what their other keywords, or a default, are about.
func typesOf(all []*jsonschema.Schema) map[string]bool {
	types := map[string]bool{}
	for _, s := range all {
		if s.Types == nil {
			continue
		}
		stated := map[string]bool{}
		for _, name := range s.Types.ToStrings() {
			if len(types) == 0 || types[name] || name == "integer" && types["number"] || name == "number" && types["integer"] {
				stated[name] = true
			}
		}
		types = stated
	}
	if len(types) > 0 {
		return types
	}
	for _, s := range all {
		switch {
		case len(s.Properties) > 0, describesMembers([]*jsonschema.Schema{s}):
			types["object"] = true
		case s.Items != nil, s.Items2020 != nil:
			types["array"] = true
		case s.Pattern != nil, s.MinLength != nil, s.MaxLength != nil:
			types["string"] = true
		case s.Minimum != nil, s.Maximum != nil, s.ExclusiveMinimum != nil, s.ExclusiveMaximum != nil, s.MultipleOf != nil:
			types["number"] = true
		}
		if len(types) == 0 && s.Default != nil {
			switch (*s.Default).(type) {
			case string:
				types["string"] = true
			case json.Number:
				types["number"] = true
			case bool:
				types["boolean"] = true
			}
		}
	}
	return types
}

type constant struct {
	value any
	title string
}

// constantsOf are the values that schemas admit when one names them all.
func constantsOf(all []*jsonschema.Schema) []constant {
	for _, s := range all {
		if list := constants(s, 0); len(list) > 0 {
			return list
		}
	}
	return nil
}

func constants(s *jsonschema.Schema, depth int) (list []constant) {
	switch {
	case s.Const != nil:
		return []constant{{*s.Const, s.Title}}
	case s.Enum != nil:
		for _, value := range s.Enum.Values {
			list = append(list, constant{value, ""})
		}
		if len(list) == 1 {
			list[0].title = s.Title
		}
		return list
	case depth > deepest:
		return nil
	case s.Ref != nil && depth > 0:
		return constants(s.Ref, depth+1)
	}
	for _, alternative := range append(slices.Clone(s.OneOf), s.AnyOf...) {
		values := constants(alternative, depth+1)
		if len(values) == 0 || len(list) > mostFields {
			return nil
		}
		list = append(list, values...)
	}
	return list
}

// letters say how a kind of field is written (answers.go).
var letters = map[string]string{"any": "v", "text": "s", "secret": "s", "number": "n", "lines": "l", "numbers": "i", "items": "t", "choice": "j", "json": "j"}

// write puts a value into the field. What doesn't fit its kind, or would come
// back as something else, is written as any value.
func (f *field) write(value any, given bool, pointer string) {
	if given {
		text, fits := f.form(value)
		if !fits {
			f.Kind = "any"
			text, fits = f.form(value)
		}
		if !fits {
			f.Kind = "json"
			text, _ = f.form(value)
		}
		f.Value = text
	}
	f.Name = letters[f.Kind] + pointer
}

func (f *field) form(value any) (text string, fits bool) {
	switch f.Kind {
	case "text", "secret":
		text, fits = value.(string)
		return text, fits && strings.TrimSpace(text) != "" && !strings.Contains(text, "\r") && (f.Kind == "text" || !strings.Contains(text, "\n"))
	case "any":
		switch value := value.(type) {
		case string:
			if again, err := readAny(value); err == nil && again == any(value) && value != "" && !strings.Contains(value, "\r") {
				return value, true
			}
		case []any, map[string]any, unreadable:
			return "", false
		}
		return jsonText(value), true
	case "number":
		switch value := value.(type) {
		case nil:
			return "null", true
		case json.Number:
			return string(value), true
		case string: // that is no number
			return value, numberIn(value) == any(value) && value != "" && !strings.ContainsAny(value, "\r\n")
		}
		return "", false
	case "lines":
		return linesOf(value, plainLine)
	case "numbers":
		return linesOf(value, func(item any) (string, bool) {
			number, isNumber := item.(json.Number)
			return string(number), isNumber
		})
	case "items":
		list, isList := value.([]any)
		if text, fits = linesOf(value, plainLine); fits && !strings.HasPrefix(text, "[") {
			return text, true
		}
		return jsonText(list), isList
	case "choice":
		text, fits = jsonText(value), false
		for i := range f.Choices {
			f.Choices[i].Chosen = f.Choices[i].Value == text
			fits = fits || f.Choices[i].Chosen
		}
		return text, fits
	}
	if unread, is := value.(unreadable); is {
		return string(unread), true
	}
	return jsonText(value), true
}

// plainLine is a text that a line can hold.
func plainLine(item any) (string, bool) {
	line, isText := item.(string)
	return line, isText && line != "" && line == strings.TrimSpace(line) && !strings.ContainsAny(line, "\r\n")
}

func linesOf(value any, lineOf func(any) (string, bool)) (text string, fits bool) {
	list, ok := value.([]any)
	var lines []string
	for _, item := range list {
		line, fits := lineOf(item)
		if !fits {
			return "", false
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n"), ok && len(list) > 0
}

// jsonText is a value as JSON, with a line for each member.
func jsonText(value any) string {
	var text strings.Builder
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(value); err != nil {
		return fmt.Sprint(value)
	}
	return strings.TrimSuffix(text.String(), "\n")
}

// shortText is a value as a person would write it, on one line.
func shortText(value any) string {
	switch value := value.(type) {
	case string:
		return value
	case bool:
		if value {
			return "yes"
		}
		return "no"
	case []any:
		var items []string
		for _, item := range value {
			switch item.(type) {
			case []any, map[string]any:
				return jsonLine(value)
			}
			items = append(items, shortText(item))
		}
		return strings.Join(items, ", ")
	}
	return jsonLine(value)
}

func jsonLine(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(text)
}
