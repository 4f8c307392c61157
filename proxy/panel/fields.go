// SPDX-License-Identifier: GPL-3.0-or-later

package panel

import (
	"cmp"
	"context"
	"maps"
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
	// Called is the parameter's name, where the label is another.
	Called string
	Help   string
	// Kind is text, secret, number, choice, lines, numbers, items, any, json, fixed, group,
	// list, table or variant.
	Kind     string
	Value    string
	Default  string // what the release takes when there is no value
	Examples string
	Bounds   string // of a number
	Choices  []choice
	Required bool
	// Fields are those of a group, the items of a list, the rows of a table, or
	// what a variant has.
	Fields []field
	// Marker is the name of a hidden input that says that the value is there;
	// Marked is its value.
	Marker, Marked string
	// Key is the name of the input for the name of a row, and Row its value.
	Key, Row string
	// Remove is the name of a button that removes the item, Add of one that adds
	// an empty one.
	Remove, Add string
	// Folds is true for a large group, which is Open if something is in it.
	Folds, Open bool
	// Path is how mismatches name the value, Problems what they say of it.
	Path     string
	Problems []string
}

// choice is a value to choose.
type choice struct {
	Value, Label string
	Chosen       bool
}

// deepest bounds groups within groups that have no value: a button adds further
// ones. After mostFields no group is taken apart: the rest is JSON. mostParts
// bounds the schemas of one value.
const (
	deepest    = 4
	mostFields = 1000
	mostParts  = 200
)

// Bounds for what a form says, in bytes: each field may repeat what the schema
// says once. After mostText there are no more fields.
const (
	mostText  = 4 << 20
	mostHelp  = 4000 // of one field
	mostLabel = 300
	ownText   = 500 // of the page, for a field or a choice
)

// fieldsOf makes the fields of an object from its schema, with the values that
// it has. The values that no field shows are left over.
func fieldsOf(ctx context.Context, s *schema.Schema, a answers) (fields []field, others map[string]any) {
	b := builder{ctx: ctx, schema: s, answers: a}
	return b.all()
}

func (b *builder) all() (fields []field, others map[string]any) {
	fields, others = b.object(parts(b.schema.Schema, nil), b.values, spot{}, 0)
	number(fields, "f")
	fold(fields)
	return fields, others
}

// manyFields are as many as a group has at most that doesn't fold.
const manyFields = 8

// fold lets large groups fold. It returns how many fields there are, and whether
// somebody filled one in, or has to look at one.
func fold(fields []field) (count int, used bool) {
	for i := range fields {
		f := &fields[i]
		below, within := fold(f.Fields)
		used = used || within || f.Value != "" && f.Kind != "fixed" || len(f.Problems) > 0 || f.Marked != "" || f.Row != "" || f.Remove != "" ||
			slices.ContainsFunc(f.Choices, func(c choice) bool { return c.Chosen })
		f.Folds = f.Kind == "group" && below > manyFields
		f.Open = within || f.Required || f.Remove != ""
		count += 1 + below
	}
	return count, used
}

// number gives the fields their ids: names may hold what an id can't.
func number(fields []field, prefix string) {
	for i := range fields {
		fields[i].ID = prefix + strconv.Itoa(i)
		number(fields[i].Fields, fields[i].ID+"-")
	}
}

// below is the depth of what is within a value. What somebody has filled in, or
// added, is shown however deep it is.
func below(depth int, given bool) int {
	if given {
		return depth
	}
	return depth + 1
}

type builder struct {
	answers
	ctx    context.Context
	schema *schema.Schema
	fields int
	text   int // that they hold
	full   bool
	// pending are the schemas of a form that was chosen for the next object.
	pending []*jsonschema.Schema
}

// spot is where a value is: in the names of fields, and in the parameters.
type spot struct {
	pointer string
	at      []string
}

// below is the spot of a member that a step of the pointer leads to.
func (s spot) below(step, name string) spot {
	return spot{s.pointer + "/" + step, append(slices.Clone(s.at), name)}
}

func (s spot) member(name string) spot { return s.below(escapeStep.Replace(name), name) }

var escapeStep = strings.NewReplacer("~", "~0", "/", "~1")

// objectForm is the form of one object.
type objectForm struct {
	*builder
	spot
	members  map[string]any
	others   map[string]any
	seen     map[string]bool
	required map[string]bool
	fixed    map[string]any // constants of the variants that are chosen
	// described are the schemas of the object, with those of the variants that
	// are chosen; varying are the names that some variant describes.
	described []*jsonschema.Schema
	varying   map[string]bool
	bare      bool // there is no field of a property or a variant
	count     int  // of variants
	rows      int  // of tables
	depth     int
}

// object makes the fields of an object that some schemas describe together.
func (b *builder) object(all []*jsonschema.Schema, members map[string]any, at spot, depth int) (fields []field, others map[string]any) {
	o := objectForm{
		builder: b, spot: at, members: members, others: maps.Clone(members), seen: map[string]bool{},
		required: map[string]bool{}, fixed: map[string]any{}, varying: map[string]bool{}, depth: depth,
	}
	if o.others == nil {
		o.others = map[string]any{}
	}
	for i := 0; i < len(all) && i < mostParts; i++ { // which grows
		all = o.conditional(all, all[i])
	}
	o.require(all)
	o.fix(b.pending, b.posted)
	b.pending = nil
	o.described = all
	variants := o.choose(all, "")
	fields = o.properties(all, false)
	for _, v := range variants {
		fields = append(fields, o.variant(v))
	}
	o.bare = len(fields) == 0
	var rest []*jsonschema.Schema
	if len(at.at) > 0 { // those of the parameters themselves have a place of their own
		rest = anything
	}
	if table, wanted := o.table(all, rest); wanted {
		if len(fields) > 0 && table.Kind == "table" {
			table.Label = "More names and values"
		}
		fields = append(fields, table)
	}
	return fields, o.others
}

func (o *objectForm) require(all []*jsonschema.Schema) {
	for _, part := range all {
		for _, name := range part.Required {
			o.required[name] = true
		}
	}
}

// conditional adds the schemas that hold for the values that there are.
func (o *objectForm) conditional(all []*jsonschema.Schema, part *jsonschema.Schema) []*jsonschema.Schema {
	if part.If != nil && (part.Then != nil || part.Else != nil) {
		if o.schema.Fits(o.ctx, part.If, orEmpty(o.members)) {
			all = parts(part.Then, all)
		} else {
			all = parts(part.Else, all)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(part.DependentSchemas)) {
		if _, given := o.members[name]; given {
			all = parts(part.DependentSchemas[name], all)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(part.Dependencies)) {
		if dependent, is := part.Dependencies[name].(*jsonschema.Schema); is && o.members[name] != nil {
			all = parts(dependent, all)
		}
	}
	return all
}

func orEmpty(members map[string]any) map[string]any {
	if members == nil {
		return map[string]any{}
	}
	return members
}

// anything describes a value of which nothing is said.
var anything = []*jsonschema.Schema{{}}

// properties makes the fields of the properties that have none yet. One that
// only variants say anything of has its field there.
func (o *objectForm) properties(all []*jsonschema.Schema, inVariant bool) (fields []field) {
	for _, part := range all {
		for _, name := range o.schema.Properties(part) {
			if o.isFull() {
				return fields
			}
			// "$schema" is for editors of files, not for a form (SLAP-91).
			if o.seen[name] || name == "$schema" {
				continue
			}
			if own := parts(part.Properties[name], nil); !inVariant && o.varying[name] && o.kindOf(own).name == "any" && titleOf(own)+descriptionOf(own) == "" {
				continue
			}
			o.seen[name] = true
			value, given := o.members[name]
			delete(o.others, name)
			at := o.spot.member(name)
			if constant, fixed := o.fixed[name]; fixed {
				fields = append(fields, field{Kind: "fixed", Name: "j" + at.pointer, Value: jsonText(constant), Label: name, Path: schema.PlaceOf(at.at...)})
				continue
			}
			f := o.field(o.described, part.Properties[name], name, value, given, at, o.depth)
			f.Required = o.required[name]
			fields = append(fields, f)
		}
	}
	return fields
}

// isFull reports whether there can be no more fields.
func (b *builder) isFull() bool {
	b.full = b.full || b.text > mostText || b.ctx.Err() != nil
	return b.full
}

// cut is a text that a schema may make of any length.
func cut(text string, most int) string {
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

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

// field makes the field of a property. Siblings are the schemas of the object:
// more than one may describe the property.
func (b *builder) field(siblings []*jsonschema.Schema, s *jsonschema.Schema, name string, value any, given bool, at spot, depth int) field {
	all := parts(s, nil)
	for _, sibling := range siblings {
		all = parts(sibling.Properties[name], all)
	}
	return b.make(all, name, value, given, at, depth)
}

// make makes the field of a value that some schemas describe together.
func (b *builder) make(all []*jsonschema.Schema, name string, value any, given bool, at spot, depth int) field {
	b.fields++
	f := b.about(all, name, at)
	members, isObject := value.(map[string]any)
	list, isList := value.([]any)
	k := b.kindOf(all)
	fits := !given || k.name == "variant" || isObject && k.name != "list" || isList && k.name == "list"
	if n := len(list); 0 < n && n <= len(k.places) && list[n-1] == nil {
		fits = false // an empty item at the end would be none
	}
	over := b.fields > mostFields || len(at.at) >= maximumDepth/2
	switch k.name {
	case "group", "table", "list", "variant":
		switch {
		case !fits, given && over, k.name == "variant" && depth >= 2*deepest:
			k.name = "any"
		case k.name == "variant":
			return b.variantField(f, all, k.alternatives, value, given, at, depth)
		case !given && (over || depth >= deepest):
			return f.added(k.name, at.pointer)
		case k.name == "list":
			return b.list(f, k, list, given, at, depth)
		default:
			return b.group(f, all, members, given, at, depth)
		}
	}
	f.Kind, f.Choices = k.name, k.choices
	b.measure(f.Choices)
	if f.Kind == "number" {
		f.Bounds = boundsOf(all)
		if k.null {
			f.Bounds = cmp.Or(f.Bounds, "A number") + ", or null"
		}
	}
	f.nameDefault(all)
	for _, problem := range b.problems { // of what the field holds
		if rest, within := strings.CutPrefix(problem.Place, f.Path); within && (strings.HasPrefix(rest, ".") || strings.HasPrefix(rest, "[")) {
			f.Problems = append(f.Problems, problem.Text)
		}
	}
	f.write(value, given, at.pointer)
	return f
}

// added is a group or list that isn't there, and has no fields before it is
// added.
func (f field) added(kind, pointer string) field {
	f.Kind, f.Default, f.Add = "group", "", "o"+pointer
	if kind == "list" {
		f.Kind, f.Add = "list", "a"+pointer
	}
	return f
}

// nameDefault says the default as its choice does.
func (f *field) nameDefault(all []*jsonschema.Schema) {
	for _, part := range all {
		if part.Default == nil {
			continue
		}
		for _, c := range f.Choices {
			if c.Value == jsonText(*part.Default) {
				f.Default = c.Label
			}
		}
		return
	}
}

// about is what a field says of itself.
func (b *builder) about(all []*jsonschema.Schema, name string, at spot) field {
	f := field{Label: name, Path: schema.PlaceOf(at.at...)}
	for _, part := range all {
		if part.Title != "" {
			f.Label, f.Called = cut(part.Title, mostLabel), name
			break
		}
	}
	if strings.EqualFold(strings.NewReplacer(" ", "", "-", "", "_", "").Replace(f.Label), strings.NewReplacer("-", "", "_", "").Replace(f.Called)) {
		f.Called = ""
	}
	for _, part := range all {
		if !strings.EqualFold(strings.TrimSuffix(part.Description, "."), f.Label) { // which says no more
			f.Help = cmp.Or(f.Help, part.Description)
		}
		if part.Default != nil && *part.Default != nil && f.Default == "" {
			f.Default = shortText(*part.Default)
		}
		if f.Examples == "" {
			examples, _ := b.schema.Keyword(part, "examples").([]any)
			var texts []string
			for _, example := range examples[:min(len(examples), 5)] {
				texts = append(texts, shortText(example))
			}
			f.Examples = strings.Join(texts, ", ")
		}
	}
	for _, problem := range b.problems {
		if problem.Place == f.Path {
			f.Problems = append(f.Problems, problem.Text)
		}
	}
	f.Label, f.Help, f.Default, f.Examples = cut(f.Label, mostLabel), cut(f.Help, mostHelp), cut(f.Default, mostLabel), cut(f.Examples, mostLabel)
	b.text += ownText + 4*len(at.pointer) + 4*len(name) + len(f.Label) + len(f.Help)
	return f
}

// group makes the fields of an object.
func (b *builder) group(f field, all []*jsonschema.Schema, members map[string]any, given bool, at spot, depth int) field {
	f.Kind, f.Default = "group", ""
	f.Marker = "o" + at.pointer
	if given && len(members) == 0 {
		f.Marked = "1"
	}
	var others map[string]any
	f.Fields, others = b.object(all, members, at, below(depth, given))
	if len(f.Fields) == 1 && f.Fields[0].Kind == "table" { // and nothing else
		table := f.Fields[0]
		f.Kind, f.Fields, f.Add = "table", table.Fields, table.Add
		f.Help = strings.TrimSpace(f.Help + " " + table.Help)
	}
	if f.Kind == "group" && (len(f.Fields) == 0 || f.Fields[0].Label == undescribed) { // it is there or not, and no field can say so
		if given {
			f.Remove = "x" + at.pointer
		} else {
			f.Marker, f.Add = "", f.Marker
		}
	}
	if len(others) > 0 {
		f.Fields = append(f.Fields, field{Name: "j" + at.pointer, Label: "Other members of " + f.Label, Kind: "json", Value: jsonText(others), Path: f.Path})
	}
	return f
}
