// SPDX-License-Identifier: GPL-3.0-or-later

package panel

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"slapos/slap/schema"
)

// list makes the fields of the items of a list. Those of objects are added one
// by one; of others, an empty one waits at the end. Items that have a meaning
// each have their places.
func (b *builder) list(f field, k kind, list []any, given bool, at spot, depth int) field {
	f.Kind, f.Marker, f.Default = "list", "a"+at.pointer, ""
	if given {
		f.Marked = "1"
	}
	for i := range max(len(list), len(k.places)) {
		var value any
		if i < len(list) {
			value = list[i]
		}
		if i >= len(k.places) {
			f.Fields = append(f.Fields, b.item(itemOf(k.items), f.Label, value, true, i, at, depth))
			continue
		}
		place := at.below("~3"+strconv.Itoa(i), strconv.Itoa(i))
		all := parts(k.places[i], nil)
		item := b.make(all, "Value "+strconv.Itoa(i+1), value, i < len(list) && value != nil, place, below(depth, given))
		item.Called = ""
		f.Fields = append(f.Fields, item)
	}
	if len(k.places) > 0 {
		f.Marker = "p" + at.pointer
		if given && len(list) > 0 {
			f.Marked = ""
		}
	}
	if len(k.places) > 0 && k.items == nil {
		f.Kind = "group"
		return f
	}
	all := parts(k.items, nil)
	next := max(len(list), len(k.places))
	if kind := b.kindOf(all).name; kind == "group" || kind == "table" {
		f.Add = "o" + at.pointer + "/~3" + strconv.Itoa(next)
		return f
	}
	f.Fields = append(f.Fields, b.item(all, f.Label, nil, false, next, at, depth))
	return f
}

// itemOf describes an item of which perhaps nothing is said.
func itemOf(s *jsonschema.Schema) []*jsonschema.Schema {
	if s == nil {
		return anything
	}
	return parts(s, nil)
}

// item makes the field of an item, which is called as its schema or its list.
func (b *builder) item(all []*jsonschema.Schema, list string, value any, given bool, i int, at spot, depth int) field {
	at = at.below("~3"+strconv.Itoa(i), strconv.Itoa(i))
	item := b.make(all, strconv.Itoa(i+1), value, given, at, below(depth, given))
	item.Label, item.Called = cmp.Or(titleOf(all), list)+" "+strconv.Itoa(i+1), ""
	if given {
		item.Remove = "x" + at.pointer
		if item.Kind == "group" {
			item.Marked = "1"
		}
	}
	return item
}

func titleOf(all []*jsonschema.Schema) string {
	for _, part := range all {
		if part.Title != "" {
			return part.Title
		}
	}
	return ""
}

// table makes the rows of the members without a property of their own, if the
// schema says what they are. The rest describes those that it says nothing of.
func (o *objectForm) table(all, rest []*jsonschema.Schema) (table field, wanted bool) {
	describe := func(name string) (found []*jsonschema.Schema) {
		for _, part := range all {
			_, others := part.AdditionalProperties.(*jsonschema.Schema)
			matched := false
			for _, pattern := range sortedPatterns(part) {
				if name == "" && !others || name != "" && pattern.MatchString(name) {
					found, matched = parts(part.PatternProperties[pattern], found), true
					if name == "" {
						break
					}
				}
			}
			if additional, is := part.AdditionalProperties.(*jsonschema.Schema); is && !matched {
				found = parts(additional, found)
			}
		}
		return found
	}
	var patterns []string
	for _, part := range all {
		for _, pattern := range sortedPatterns(part) {
			if text := pattern.String(); text != ".*" && text != "^.*$" {
				patterns = append(patterns, text)
			}
		}
	}
	blank := describe("")
	if len(blank) == 0 && !closed(all) && (o.bare || len(o.others) > 0) {
		blank = rest
	}
	table = field{Kind: "table", Label: "Names and values", Path: schema.PlaceOf(o.at...)}
	if len(patterns) > 0 {
		table.Help = "Names match " + strings.Join(patterns, " or ") + "."
	}
	row := func(all []*jsonschema.Schema, name string, value any, given bool) {
		at := o.spot.below("~2"+strconv.Itoa(o.rows), name)
		f := o.make(all, name, value, given && value != any(unreadable("")), at, below(o.depth, given)) // which may be missing
		f.Key, f.Row, f.Label, f.Called = "k"+at.pointer, name, cmp.Or(titleOf(all), "Value"), ""
		if kind := o.kindOf(all).name; name != "" && emptyRows[kind] != nil && reflect.DeepEqual(value, emptyRows[kind]) {
			f.Kind, f.Name, f.Value = kind, letters[kind]+at.pointer, "" // a row that has a name is there
		}
		if given {
			f.Remove = "x" + at.pointer
			if f.Kind == "group" {
				f.Marked = "1"
			}
		}
		table.Fields = append(table.Fields, f)
		o.rows++
	}
	for _, name := range slices.Sorted(maps.Keys(o.others)) {
		described := describe(name)
		if len(described) == 0 {
			described = rest
		}
		if len(described) == 0 || name == "" && !o.posted {
			continue
		}
		row(described, name, o.others[name], true)
		delete(o.others, name)
	}
	if len(blank) == 0 {
		table.Kind, table.Label = "group", undescribed
		return table, len(table.Fields) > 0
	}
	if kind := o.kindOf(blank).name; kind == "group" || kind == "table" || kind == "variant" || kind == "list" {
		table.Add = "o" + o.pointer + "/~2" + strconv.Itoa(o.rows)
		if kind == "list" {
			table.Add = "a" + table.Add[1:]
		}
		if kind != "variant" {
			return table, true
		}
		table.Add = ""
	}
	row(blank, "", nil, false)
	return table, true
}

// undescribed is the label of members that the schema doesn't admit.
const undescribed = "Not in the schema"

// emptyRows are the values of rows that have a name, and else are empty.
var emptyRows = map[string]any{"text": "", "secret": "", "any": "", "lines": []any{}, "numbers": []any{}, "items": []any{}}

func sortedPatterns(part *jsonschema.Schema) []jsonschema.Regexp {
	return slices.SortedFunc(maps.Keys(part.PatternProperties), func(a, b jsonschema.Regexp) int { return strings.Compare(a.String(), b.String()) })
}

// variant is a choice between schemas for a whole object.
type variant struct {
	id           string
	alternatives []*jsonschema.Schema
	chosen       int // -1: none
	inner        []variant
}

// mostVariants bounds the choices of one object.
const mostVariants = 50

// choose finds the variants of an object, and which are chosen. The prefix
// tells those within a variant from others.
func (o *objectForm) choose(all []*jsonschema.Schema, prefix string) (found []variant) {
	for _, part := range all {
		for _, alternatives := range [][]*jsonschema.Schema{part.OneOf, part.AnyOf} {
			if o.count++; o.count > mostVariants || !showable(alternatives) {
				continue
			}
			v := variant{id: prefix + strconv.Itoa(len(found)), alternatives: alternatives}
			for _, alternative := range alternatives {
				for _, part := range parts(alternative, nil) {
					for name := range part.Properties {
						o.varying[name] = true
					}
				}
			}
			v.chosen = o.chosen(v.id, alternatives, o.members, len(o.members) > 0, o.at)
			if v.chosen >= 0 {
				chosen := parts(alternatives[v.chosen], nil)
				o.described = slices.Concat(o.described, chosen)
				o.require(chosen)
				o.fix(chosen, o.posted)
				v.inner = o.choose(chosen, v.id+"."+strconv.Itoa(v.chosen)+".")
			}
			found = append(found, v)
		}
	}
	return found
}

// fix notes the constants of a variant: to choose it is to choose them. One
// that was found to be the closest may have others.
func (o *objectForm) fix(all []*jsonschema.Schema, chosen bool) {
	for _, part := range all {
		for name, property := range part.Properties {
			values := constantsOf(parts(property, nil))
			if len(values) != 1 {
				continue
			}
			value, given := o.members[name]
			if chosen && (given || o.required[name]) || given && jsonText(value) == jsonText(values[0].value) {
				o.fixed[name] = values[0].value
			}
		}
	}
}

// showable reports whether some of the alternatives have fields of their own.
func showable(alternatives []*jsonschema.Schema) bool {
	return slices.ContainsFunc(alternatives, func(s *jsonschema.Schema) bool {
		return slices.ContainsFunc(parts(s, nil), func(part *jsonschema.Schema) bool {
			return len(part.Properties) > 0 || len(part.PatternProperties) > 0
		})
	})
}

// chosen is the alternative that was chosen, or that fits the value.
func (b *builder) chosen(id string, alternatives []*jsonschema.Schema, value any, given bool, at []string) int {
	if text, posted := b.choices[choiceAt(at, id)]; posted {
		if i, err := strconv.Atoi(text); err == nil && i >= 0 && i < len(alternatives) {
			return i
		}
		return -1
	}
	if !given {
		return -1
	}
	return b.schema.Closest(b.ctx, alternatives, value)
}

// variant makes the choice of an object's form, and the fields of what is
// chosen.
func (o *objectForm) variant(v variant) field {
	f := field{Kind: "variant", Label: "Variant", Name: "c" + o.pointer + "/~4" + v.id}
	f.Choices = o.labels(v.alternatives, v.chosen)
	if v.chosen < 0 {
		return f
	}
	all := parts(v.alternatives[v.chosen], nil)
	f.Help = descriptionOf(all)
	f.Fields = o.properties(all, true)
	for _, inner := range v.inner {
		f.Fields = append(f.Fields, o.variant(inner))
	}
	if table, wanted := o.table(all, nil); wanted {
		f.Fields = append(f.Fields, table)
	}
	return f
}

func descriptionOf(all []*jsonschema.Schema) string {
	for _, part := range all {
		if part.Description != "" {
			return part.Description
		}
	}
	return ""
}

// variantField makes the field of a value that has one of several forms.
func (b *builder) variantField(f field, all, alternatives []*jsonschema.Schema, value any, given bool, at spot, depth int) field {
	f.Kind, f.Name = "variant", "c"+at.pointer+"/~40"
	chosen := b.chosen("0", alternatives, value, given, at.at)
	f.Choices = b.labels(alternatives, chosen)
	if chosen < 0 {
		if given { // it fits none, or none is chosen
			rest := field{Label: "Value", Kind: "json", Path: f.Path}
			rest.write(value, true, at.pointer)
			f.Fields = []field{rest}
		}
		return f
	}
	own := parts(alternatives[chosen], nil)
	for _, part := range all { // what holds for all forms, without the choice itself
		if len(part.OneOf) == 0 && len(part.AnyOf) == 0 {
			own = parts(part, own)
		}
	}
	label := f.Choices[chosen].Label
	b.pending = own
	form := b.make(own, label, value, given, at, depth+1) // even if given: a form may be one of its own forms
	b.pending = nil
	form.Problems, form.Called = nil, ""
	switch form.Kind {
	case "group":
		f.Fields, f.Marker, f.Marked = form.Fields, form.Marker, "1"
		f.Help = strings.TrimSpace(f.Help + " " + form.Help)
	default:
		form.Required = true
		if len(form.Choices) == 1 && (b.posted || form.Choices[0].Chosen) { // to choose the form is to choose it
			form = field{Kind: "fixed", Name: form.Name, Value: form.Choices[0].Value, Path: f.Path}
		}
		f.Fields = []field{form}
	}
	return f
}

// labels are the choices between alternatives.
func (b *builder) labels(alternatives []*jsonschema.Schema, chosen int) (choices []choice) {
	for i, alternative := range alternatives {
		choices = append(choices, choice{strconv.Itoa(i), cut(b.labelOf(alternative, i), mostLabel), i == chosen})
	}
	b.measure(choices)
	return choices
}

// measure counts the text of choices.
func (b *builder) measure(choices []choice) {
	for _, c := range choices {
		b.text += ownText/10 + len(c.Value) + len(c.Label)
	}
}

// labelOf names an alternative as its author did, or by what is special to it.
func (b *builder) labelOf(s *jsonschema.Schema, i int) string {
	all := parts(s, nil)
	if title := titleOf(all); title != "" {
		return title
	}
	for _, part := range all {
		for _, name := range b.schema.Properties(part) {
			if values := constantsOf(parts(part.Properties[name], nil)); len(values) == 1 {
				return name + ": " + cmp.Or(values[0].title, shortText(values[0].value))
			}
		}
	}
	for _, part := range all {
		if len(part.Required) > 0 {
			return "with " + strings.Join(part.Required, ", ")
		}
	}
	if values := constantsOf(all); len(values) > 0 {
		var texts []string
		for _, value := range values {
			texts = append(texts, shortText(value.value))
		}
		return strings.Join(texts, ", ")
	}
	if types := typesOf(all); len(types) == 1 {
		return map[string]string{"string": "text", "number": "a number", "integer": "a whole number", "boolean": "yes or no",
			"array": "a list", "object": "a group of values", "null": "null"}[slices.Collect(maps.Keys(types))[0]]
	}
	return "form " + strconv.Itoa(i+1)
}
