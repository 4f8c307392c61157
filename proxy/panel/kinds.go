// SPDX-License-Identifier: GPL-3.0-or-later

package panel

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// kind is how a value is shown.
type kind struct {
	name         string
	choices      []choice             // of a choice
	items        *jsonschema.Schema   // of a list
	hint         string               // of JSON
	alternatives []*jsonschema.Schema // of a variant
}

// kindOf chooses an input: one that the user need not know JSON for, where
// that can be.
func (b *builder) kindOf(all []*jsonschema.Schema) kind {
	if constants := constantsOf(all); len(constants) > 0 {
		k := kind{name: "choice"}
		for _, value := range constants {
			k.choices = append(k.choices, choice{Value: jsonText(value.value), Label: cmp.Or(value.title, shortText(value.value), "empty")})
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
	if len(alternatives) > 0 {
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
	delete(types, "null")
	switch {
	case types["boolean"] && len(types) == 1:
		return kind{name: "choice", choices: []choice{{Value: "true", Label: "yes"}, {Value: "false", Label: "no"}}}
	case types["array"] && len(types) == 1:
		return b.arrayKind(all)
	case types["object"] && len(types) == 1:
		if describesMembers(all) {
			return kind{name: "table"}
		}
		if closed(all) {
			return kind{name: "group"} // which is there or not
		}
		return kind{name: "json", hint: `{"name": "value"}`}
	case types["array"], types["object"], len(types) == 0:
		return kind{name: "json"}
	case types["boolean"]:
		return kind{name: "json"}
	case types["integer"], types["number"]:
		return kind{name: "number"}
	}
	for _, part := range all {
		if format := b.schema.Keyword(part, "format"); part.WriteOnly || format == "password" {
			return kind{name: "secret"}
		}
	}
	return kind{name: "text"}
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
	for _, part := range all {
		if of, is := part.Items.(*jsonschema.Schema); is {
			items = of
		}
		if part.Items2020 != nil {
			items = part.Items2020
		}
		if list, is := part.Items.([]*jsonschema.Schema); is && len(list) > 0 {
			return kind{name: "json", hint: tupleHint(list)}
		}
		if len(part.PrefixItems) > 0 {
			return kind{name: "json", hint: tupleHint(part.PrefixItems)}
		}
	}
	if items == nil {
		return kind{name: "items"}
	}
	switch of := b.kindOf(parts(items, nil)); of.name {
	case "text":
		return kind{name: "lines"}
	case "number":
		return kind{name: "numbers"}
	case "json":
		if of.hint != "" {
			of.hint = "[" + of.hint + ", …]"
		}
		return of
	}
	return kind{name: "list", items: items}
}

// tupleHint shows a list whose items have a meaning each.
func tupleHint(items []*jsonschema.Schema) string {
	var names []string
	for i, item := range items {
		names = append(names, jsonLine(cmp.Or(titleOf(parts(item, nil)), "value "+strconv.Itoa(i+1))))
	}
	return "[" + strings.Join(names, ", ") + "]"
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
	return slices.ContainsFunc(all, func(s *jsonschema.Schema) bool { return s.AdditionalProperties == false })
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
	if len(types) > 1 {
		delete(types, "null")
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
var letters = map[string]string{"text": "s", "secret": "s", "number": "n", "lines": "l", "numbers": "i", "items": "t", "choice": "j", "json": "j"}

// write puts a value into the field. What doesn't fit its kind, or would come
// back as something else, is written as JSON.
func (f *field) write(value any, given bool, pointer string) {
	letter := letters[f.Kind]
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
		return text, fits && strings.TrimSpace(text) != "" && !strings.Contains(text, "\r") && (f.Kind == "text" || !strings.Contains(text, "\n"))
	case "number":
		number, isNumber := value.(json.Number)
		return string(number), isNumber
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
	_, isUnread := value.(unreadable)
	return jsonText(value), !isUnread
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
			if text, isText := item.(string); isText {
				items = append(items, text)
				continue
			}
			return jsonLine(value)
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
