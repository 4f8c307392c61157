// SPDX-License-Identifier: GPL-3.0-or-later

package panel

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"slapos/slap/schema"
)

// field is an input of a form that a schema describes.
type field struct {
	// Name says where the value belongs, and how it is written (answers.go);
	// ID is that of the input on the page.
	Name  string
	ID    string
	Label string
	Help  string
	// Kind is text, secret, number, choice, lines, json or group.
	Kind     string
	Value    string
	Example  string // shown while there is no value
	Choices  []choice
	Required bool
	Fields   []field // of a group
	// Path is how mismatches name the value, Problems what they say of it.
	Path     string
	Problems []string
}

// choice is a value to choose.
type choice struct {
	Value, Label string
	Chosen       bool
}

// deepest bounds groups within groups, mostFields the fields after which no group
// is taken apart: the rest is JSON. mostParts bounds the schemas of one value.
const (
	deepest    = 4
	mostFields = 1000
	mostParts  = 200
)

// fieldsOf makes the fields of an object from its schema, with the values that
// it has. The values that no field shows are left over.
func fieldsOf(s *schema.Schema, values map[string]any, problems []schema.Problem) (fields []field, others map[string]any) {
	b := builder{schema: s, problems: problems}
	fields, others = b.object(s.Schema, values, "", "$", 0)
	number(fields, "f")
	return fields, others
}

// number gives the fields their ids: names may hold what an id can't.
func number(fields []field, prefix string) {
	for i := range fields {
		fields[i].ID = prefix + strconv.Itoa(i)
		number(fields[i].Fields, fields[i].ID+"-")
	}
}

type builder struct {
	schema   *schema.Schema
	problems []schema.Problem
	fields   int
}

func (b *builder) object(s *jsonschema.Schema, values map[string]any, pointer, path string, depth int) (fields []field, others map[string]any) {
	others = map[string]any{}
	for name, value := range values {
		others[name] = value
	}
	seen := map[string]bool{}
	required := map[string]bool{}
	all := parts(s, nil)
	for _, part := range all {
		for _, name := range part.Required {
			required[name] = true
		}
	}
	for _, part := range all {
		for _, name := range b.schema.Properties(part) {
			// "$schema" is for editors of files, not for a form (SLAP-91).
			if seen[name] || name == "$schema" {
				continue
			}
			seen[name] = true
			value, given := values[name]
			delete(others, name)
			f := b.field(part.Properties[name], name, value, given, pointer+"/"+escapeStep.Replace(name), path+"."+name, depth)
			f.Required = required[name]
			fields = append(fields, f)
		}
	}
	return fields, others
}

var escapeStep = strings.NewReplacer("~", "~0", "/", "~1")

// parts are the schemas that together describe a value: those behind
// references, and those of allOf.
func parts(s *jsonschema.Schema, before []*jsonschema.Schema) []*jsonschema.Schema {
	if s == nil || len(before) >= mostParts || slices.Contains(before, s) {
		return before
	}
	before = parts(s.Ref, append(before, s))
	for _, part := range s.AllOf {
		before = parts(part, before)
	}
	return before
}

// field makes the field of a property.
func (b *builder) field(s *jsonschema.Schema, name string, value any, given bool, pointer, path string, depth int) field {
	all := parts(s, nil)
	b.fields++
	f := field{Label: name, Path: path}
	for _, part := range all {
		f.Label = cmp.Or(part.Title, f.Label)
		if part.Title != "" {
			break
		}
	}
	for _, part := range all {
		f.Help = cmp.Or(f.Help, part.Description)
		if part.Default != nil && f.Example == "" {
			f.Example = plainText(*part.Default)
		}
	}
	for _, problem := range b.problems {
		if problem.Place == path {
			f.Problems = append(f.Problems, problem.Text)
		}
	}
	members, isObject := value.(map[string]any)
	if depth < deepest && b.fields <= mostFields && hasProperties(all) && (isObject && len(members) > 0 || !given) {
		f.Kind = "group"
		var others map[string]any
		f.Fields, others = b.object(s, members, pointer, path, depth+1)
		if len(others) > 0 {
			f.Fields = append(f.Fields, field{Name: "j" + pointer, Label: "Other members of " + f.Label, Kind: "json", Value: jsonText(others), Path: path})
		}
		return f
	}
	f.Kind, f.Choices = kindOf(all)
	f.write(value, given, pointer)
	return f
}

func hasProperties(all []*jsonschema.Schema) bool {
	return slices.ContainsFunc(all, func(s *jsonschema.Schema) bool { return len(s.Properties) > 0 })
}

// kindOf chooses an input: one that the user need not know JSON for, where
// that can be.
func kindOf(all []*jsonschema.Schema) (kind string, choices []choice) {
	types := map[string]bool{}
	secret, textItems, alternatives := false, false, false
	for _, s := range all {
		for _, value := range constants(s) {
			choices = append(choices, choice{Value: jsonText(value.value), Label: cmp.Or(value.title, plainText(value.value))})
		}
		if s.Types != nil {
			for _, name := range s.Types.ToStrings() {
				types[name] = true
			}
		}
		secret = secret || s.WriteOnly
		textItems = textItems || itemsAreText(s)
		alternatives = alternatives || len(s.OneOf) > 0 || len(s.AnyOf) > 0
	}
	switch {
	case len(choices) > 0:
		return "choice", choices
	case alternatives && len(types) == 0:
		return "json", nil
	case types["boolean"] && len(types) == 1:
		return "choice", []choice{{Value: "true", Label: "yes"}, {Value: "false", Label: "no"}}
	case types["array"] && len(types) == 1 && textItems:
		return "lines", nil
	case types["array"], types["object"], len(types) == 0:
		return "json", nil
	case types["integer"], types["number"]:
		return "number", nil
	case secret:
		return "secret", nil
	}
	return "text", nil
}

type constant struct {
	value any
	title string
}

// constants are the values that a schema admits when it names them all.
func constants(s *jsonschema.Schema) (list []constant) {
	if s.Const != nil {
		return []constant{{*s.Const, s.Title}}
	}
	if s.Enum != nil {
		for _, value := range s.Enum.Values {
			list = append(list, constant{value, ""})
		}
		return list
	}
	for _, alternative := range append(slices.Clone(s.OneOf), s.AnyOf...) {
		if alternative.Const == nil {
			return nil
		}
		list = append(list, constant{*alternative.Const, alternative.Title})
	}
	return list
}

func itemsAreText(s *jsonschema.Schema) bool {
	items, _ := s.Items.(*jsonschema.Schema)
	if items == nil {
		items = s.Items2020
	}
	return items != nil && items.Types != nil && slices.Equal(items.Types.ToStrings(), []string{"string"})
}

// write puts a value into the field. What doesn't fit its kind, or would come
// back as something else, is written as JSON.
func (f *field) write(value any, given bool, pointer string) {
	letter := map[string]string{"text": "s", "secret": "s", "number": "n", "lines": "l", "choice": "j", "json": "j"}[f.Kind]
	if given {
		text, fits := f.form(value)
		if !fits {
			f.Kind, letter, text = "json", "j", jsonText(value)
			if unread, ok := value.(unreadable); ok {
				text = string(unread)
			}
		}
		f.Value = text
	}
	f.Name = letter + pointer
}

func (f *field) form(value any) (text string, fits bool) {
	switch f.Kind {
	case "text", "secret":
		text, fits = value.(string)
		return text, fits && text != "" && (f.Kind == "text" || !strings.ContainsAny(text, "\r\n"))
	case "number":
		number, isNumber := value.(json.Number)
		return string(number), isNumber
	case "lines":
		return linesOf(value)
	case "choice":
		text, fits = jsonText(value), false
		for i := range f.Choices {
			f.Choices[i].Chosen = f.Choices[i].Value == text
			fits = fits || f.Choices[i].Chosen
		}
		return text, fits
	}
	_, isUnread := value.(unreadable)
	return jsonText(value), !isUnread
}

func linesOf(value any) (text string, fits bool) {
	list, ok := value.([]any)
	var lines []string
	for _, item := range list {
		line, isText := item.(string)
		if !isText || line == "" || line != strings.TrimSpace(line) || strings.ContainsAny(line, "\r\n") {
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

// plainText is a value as a person would write it.
func plainText(value any) string {
	if text, ok := value.(string); ok {
		return text
	}
	return jsonText(value)
}
