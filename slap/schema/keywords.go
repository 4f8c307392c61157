// SPDX-License-Identifier: GPL-3.0-or-later

package schema

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// copier copies the keywords of one schema. A keyword of a wrong type is left
// out as a flaw that matters for values of the type that the keyword is about.
type copier struct {
	*flattener
	target
	members  map[string]any
	location string
	copy     map[string]any
}

// older reports whether a draft came before another.
func older(draft, than *jsonschema.Draft) bool { return age[draft] < age[than] }

var age = map[*jsonschema.Draft]int{
	jsonschema.Draft4: 4, jsonschema.Draft6: 6, jsonschema.Draft7: 7, jsonschema.Draft2019: 2019, jsonschema.Draft2020: 2020,
}

func (c *copier) wrong(keyword, reason string, needs func(any) bool) {
	at := place{c.target.document, c.pointer + "/" + escape(keyword)}
	c.flaw(c.location, at, reason, needs)
}

func isObject(value any) bool { _, is := value.(map[string]any); return is }
func isArray(value any) bool  { _, is := value.([]any); return is }
func isText(value any) bool   { _, is := value.(string); return is }
func isNumber(value any) bool { _, is := value.(json.Number); return is }

func notEmpty(value any) bool {
	switch value := value.(type) {
	case map[string]any:
		return len(value) > 0
	case []any:
		return len(value) > 0
	}
	return false
}

// annotations are for readers: of another type, they are of no use, and no harm.
func (c *copier) annotations() {
	for _, name := range []string{"title", "description"} {
		if text, is := c.members[name].(string); is {
			c.copy[name] = text
		}
	}
	if value, given := c.members["default"]; given {
		c.copy["default"] = value
	}
	if list, is := c.members["examples"].([]any); is {
		c.copy["examples"] = list
	}
	if flag, is := c.members["writeOnly"].(bool); is {
		c.copy["writeOnly"] = flag
	}
}

// reference copies a keyword that refers to another part.
func (c *copier) reference(keyword string, value any) {
	text, is := value.(string)
	if !is {
		c.wrong(keyword, "a text is expected, not "+jsonKind(value), nil)
		return
	}
	to, err := c.resolve(text, c.base, c.draft)
	if err != nil {
		c.wrong(keyword, err.Error(), nil)
		return
	}
	name := c.refer(to)
	if len(c.copy) > 0 && older(c.draft, jsonschema.Draft2019) {
		c.copy["allOf"] = []any{map[string]any{"$ref": name}}
		return
	}
	if c.copy["$ref"] != nil {
		c.append("allOf", map[string]any{"$ref": name})
		return
	}
	c.copy["$ref"] = name
}

func (c *copier) append(keyword string, schema any) {
	list, _ := c.copy[keyword].([]any)
	c.copy[keyword] = append(list, schema)
}

// never makes the copy refuse everything.
func (c *copier) never() { c.append("allOf", map[string]any{"not": map[string]any{}}) }

// below copies a schema inside this one.
func (c *copier) below(value any, steps ...string) any {
	at, location := c.target, c.location
	for _, step := range steps {
		at.pointer += "/" + escape(step)
		location += "/" + escape(step)
	}
	return c.part(value, at, location)
}

// rule says what a keyword holds, and which drafts know it.
type rule struct {
	copy     func(c *copier, name string, value any)
	from, to int
}

var keywords map[string]rule

func init() { // the rules refer to each other
	keywords = map[string]rule{
		"not": {(*copier).schema, 4, 2020}, "if": {(*copier).schema, 7, 2020}, "then": {(*copier).branch, 7, 2020}, "else": {(*copier).branch, 7, 2020},
		"contains": {(*copier).schema, 6, 2020}, "propertyNames": {(*copier).schema, 6, 2020},
		"unevaluatedItems": {(*copier).schema, 2019, 2020}, "unevaluatedProperties": {(*copier).schema, 2019, 2020},
		"items": {(*copier).items, 4, 2020}, "additionalItems": {(*copier).additionalItems, 4, 2019}, "prefixItems": {(*copier).schemas, 2020, 2020},
		"additionalProperties": {(*copier).additional, 4, 2020},
		"allOf":                {(*copier).schemas, 4, 2020}, "anyOf": {(*copier).schemas, 4, 2020}, "oneOf": {(*copier).schemas, 4, 2020},
		"properties": {(*copier).properties, 4, 2020}, "patternProperties": {(*copier).properties, 4, 2020},
		"dependentSchemas": {(*copier).properties, 2019, 2020}, "dependencies": {(*copier).dependencies, 4, 7},
		"dependentRequired": {(*copier).dependencies, 2019, 2020},
		"$recursiveRef":     {(*copier).reference, 2019, 2019}, "$dynamicRef": {(*copier).reference, 2020, 2020},
		"type": {(*copier).types, 4, 2020}, "enum": {(*copier).enum, 4, 2020}, "const": {(*copier).constant, 6, 2020},
		"required": {(*copier).required, 4, 2020}, "pattern": {(*copier).pattern, 4, 2020},
		"minimum": {(*copier).number, 4, 2020}, "maximum": {(*copier).number, 4, 2020}, "multipleOf": {(*copier).number, 4, 2020},
		"exclusiveMinimum": {(*copier).exclusive, 4, 2020}, "exclusiveMaximum": {(*copier).exclusive, 4, 2020},
		"minLength": {(*copier).count, 4, 2020}, "maxLength": {(*copier).count, 4, 2020}, "minItems": {(*copier).count, 4, 2020},
		"maxItems": {(*copier).count, 4, 2020}, "minProperties": {(*copier).count, 4, 2020}, "maxProperties": {(*copier).count, 4, 2020},
		"minContains": {(*copier).count, 2019, 2020}, "maxContains": {(*copier).count, 2019, 2020},
		"uniqueItems": {(*copier).unique, 4, 2020},
	}
}

// keyword copies one keyword, if the draft knows it. As in the original, the
// format of texts is for readers.
func (c *copier) keyword(name string, value any) {
	if about, known := keywords[name]; known && about.from <= age[c.draft] && age[c.draft] <= about.to {
		about.copy(c, name, value)
	}
}

func (c *copier) schema(name string, value any) { c.copy[name] = c.below(value, name) }

func (c *copier) branch(name string, value any) {
	if _, conditional := c.members["if"]; conditional {
		c.schema(name, value)
	}
}

func (c *copier) items(name string, value any) {
	_, isFlag := value.(bool)
	switch {
	case isArray(value) && c.draft != jsonschema.Draft2020:
		c.schemas(name, value)
	case isFlag && c.draft == jsonschema.Draft4:
		c.wrong(name, "a schema is expected, not "+jsonKind(value), isArray)
	default:
		c.schema(name, value)
	}
}

func (c *copier) additionalItems(name string, value any) {
	if isArray(c.members["items"]) {
		c.additional(name, value)
	}
}

// additional copies what holds for other members. The original takes what is
// neither a schema nor false for true.
func (c *copier) additional(name string, value any) {
	switch value := value.(type) {
	case bool:
		c.copy[name] = value
	case map[string]any:
		c.schema(name, value)
	default:
		if !truth(value) {
			c.copy[name] = false
		}
	}
}

// truth is what Python takes a value for.
func truth(value any) bool {
	switch value := value.(type) {
	case bool:
		return value
	case string:
		return value != ""
	case json.Number:
		number, err := value.Float64()
		return err != nil || number != 0
	}
	return value != nil && (!isArray(value) && !isObject(value) || notEmpty(value))
}

func (c *copier) schemas(name string, value any) {
	list, is := value.([]any)
	if !is {
		c.wrong(name, "a list of schemas is expected, not "+jsonKind(value), nil)
		return
	}
	if len(list) == 0 {
		if name == "anyOf" || name == "oneOf" {
			c.never()
		}
		return
	}
	former, _ := c.copy[name].([]any) // a reference, which comes first
	copies := make([]any, 0, len(list)+len(former))
	for i, item := range list {
		copies = append(copies, c.below(item, name, strconv.Itoa(i)))
	}
	c.copy[name] = append(copies, former...)
}

func (c *copier) properties(name string, value any) {
	members, is := value.(map[string]any)
	if !is {
		c.wrong(name, "an object of schemas is expected, not "+jsonKind(value), isObject)
		return
	}
	copies := map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(members)) {
		if name == "patternProperties" {
			if _, err := c.engine(key); err != nil {
				c.wrong(name, "the pattern "+shortened(key)+" can't be read: "+err.Error(), func(value any) bool { return isObject(value) && notEmpty(value) })
				delete(c.copy, "additionalProperties") // it would be about others
				continue
			}
		}
		copies[key] = c.below(members[key], name, key)
	}
	c.copy[name] = copies
}

func (c *copier) dependencies(name string, value any) {
	members, is := value.(map[string]any)
	if !is {
		c.wrong(name, "an object is expected, not "+jsonKind(value), isObject)
		return
	}
	copies := map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(members)) {
		list, is := members[key].([]any)
		switch {
		case is:
			if names := c.names(name, list, hasMember(key)); len(names) > 0 {
				copies[key] = names
			}
		case name == "dependencies":
			copies[key] = c.below(members[key], name, key)
		default:
			c.wrong(name, "a list of names is expected for "+shortened(key), hasMember(key))
		}
	}
	c.copy[name] = copies
}

func hasMember(name string) func(any) bool {
	return func(value any) bool {
		members, _ := value.(map[string]any)
		_, has := members[name]
		return has
	}
}

func (c *copier) required(name string, value any) {
	list, is := value.([]any)
	if !is {
		c.wrong(name, "a list of names is expected, not "+jsonKind(value), isObject)
		return
	}
	if names := c.names(name, list, isObject); len(names) > 0 {
		c.copy[name] = names
	}
}

// names copies a list of names of members, each once.
func (c *copier) names(keyword string, list []any, needs func(any) bool) (names []any) {
	known := map[string]bool{}
	for _, item := range list {
		name, is := item.(string)
		switch {
		case !is:
			c.wrong(keyword, "a name is expected, not "+jsonKind(item), needs)
		case !known[name]:
			known[name] = true
			names = append(names, item)
		}
	}
	return names
}

func (c *copier) types(name string, value any) {
	list, is := value.([]any)
	if !is {
		list = []any{value}
	}
	var known []any
	for _, item := range list {
		text, _ := item.(string)
		switch {
		case !slices.Contains(typeNames, text):
			before := slices.Clone(known)
			c.wrong(name, plainly(item)+" is no type of JSON", func(value any) bool { return !fits(value, before) })
		case !slices.Contains(known, item):
			known = append(known, item)
		}
	}
	switch {
	case len(known) > 0:
		c.copy[name] = known
	case len(list) == 0:
		c.never()
	}
}

var typeNames = []string{"null", "boolean", "integer", "number", "string", "array", "object"}

// fits reports whether a value is of one of the types.
func fits(value any, types []any) bool {
	return slices.ContainsFunc(types, func(name any) bool {
		switch name {
		case "null":
			return value == nil
		case "boolean":
			_, is := value.(bool)
			return is
		case "number":
			return isNumber(value)
		case "integer":
			rational, is := rationalOf(value)
			return is && isNumber(value) && rational.IsInt()
		case "string":
			return isText(value)
		case "array":
			return isArray(value)
		}
		return isObject(value)
	})
}

func (c *copier) enum(name string, value any) {
	list, is := value.([]any)
	if !is {
		c.wrong(name, "a list of values is expected, not "+jsonKind(value), nil)
		return
	}
	if len(list) == 0 {
		c.never()
		return
	}
	seen := map[string]bool{}
	var values []any
	for _, item := range list {
		text, err := json.Marshal(item)
		if err == nil && !seen[string(text)] {
			seen[string(text)] = true
			values = append(values, item)
		}
	}
	c.copy[name] = values
}

func (c *copier) constant(name string, value any) { c.copy[name] = value }

func (c *copier) pattern(name string, value any) {
	text, is := value.(string)
	if !is {
		c.wrong(name, "a text is expected, not "+jsonKind(value), isText)
		return
	}
	if _, err := c.engine(text); err != nil {
		c.wrong(name, "the pattern "+shortened(text)+" can't be read: "+err.Error(), isText)
		return
	}
	c.copy[name] = text
}

// rationalOf reads a number. As in Python, true is 1.
func rationalOf(value any) (*big.Rat, bool) {
	switch value := value.(type) {
	case bool:
		if value {
			return big.NewRat(1, 1), true
		}
		return new(big.Rat), true
	case json.Number:
		// pyjson bounds exponents, which would take much memory here.
		return new(big.Rat).SetString(string(value))
	}
	return nil, false
}

func (c *copier) number(name string, value any) {
	number, is := rationalOf(value)
	switch {
	case !is:
		c.wrong(name, "a number is expected, not "+jsonKind(value), isNumber)
	case name != "multipleOf":
		c.copy[name] = numeral(value, number)
	case number.Sign() == 0:
		c.wrong(name, "nothing is a multiple of 0", isNumber)
	case number.Sign() > 0:
		c.copy[name] = numeral(value, number)
	default:
		c.copy[name] = json.Number(string(value.(json.Number))[1:])
	}
}

func numeral(value any, number *big.Rat) any {
	if text, is := value.(json.Number); is {
		return text
	}
	return json.Number(number.Num().String())
}

// exclusive says in draft 4 whether a bound is excluded, and is a bound later.
func (c *copier) exclusive(name string, value any) {
	if c.draft != jsonschema.Draft4 {
		c.number(name, value)
		return
	}
	bound := map[string]string{"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}[name]
	if _, bounded := c.members[bound]; bounded {
		c.copy[name] = truth(value)
	}
}

// count copies a number of things, rounded to what it means for them.
func (c *copier) count(name string, value any) {
	needs := map[byte]func(any) bool{'L': isText, 'I': isArray, 'C': isArray, 'P': isObject}[name[3]]
	number, is := rationalOf(value)
	if !is {
		c.wrong(name, "a number is expected, not "+jsonKind(value), needs)
		return
	}
	whole := new(big.Int).Div(number.Num(), number.Denom()) // rounds down
	if name[:3] == "min" && !number.IsInt() {
		whole.Add(whole, big.NewInt(1))
	}
	switch {
	case !whole.IsInt64() || whole.Int64() > 1<<31: // nothing is that long
		whole.SetInt64(1 << 31)
	case whole.Sign() < 0 && name[:3] == "min":
		return
	case whole.Sign() < 0:
		c.wrong(name, "it is less than 0", needs)
		return
	}
	c.copy[name] = json.Number(whole.String())
}

func (c *copier) unique(name string, value any) { c.copy[name] = truth(value) }

// jsonKind names the kind of a value.
func jsonKind(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case bool:
		return "true or false"
	case string:
		return "a text"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return "a number"
}

// plainly is a value as messages show it.
func plainly(value any) string {
	switch value := value.(type) {
	case string:
		return shortened(value)
	case []any, map[string]any:
		return jsonKind(value)
	}
	return shortened(fmt.Sprint(value))
}
