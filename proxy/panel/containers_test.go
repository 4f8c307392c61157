// SPDX-License-Identifier: GPL-3.0-or-later

package panel

import (
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"slapos/slap/schema"
)

const richSchema = `{
	"$schema": "https://json-schema.org/draft/2020-12/schema",
	"type": "object", "additionalProperties": false,
	"properties": {
		"password": {"type": "string", "format": "password", "default": "secret"},
		"level": {"title": "Log level", "oneOf": [{"const": 1, "title": "little"}, {"const": 2, "title": "much"}], "default": 1},
		"port": {"type": "integer", "minimum": 1024, "default": 8080, "examples": [8080, 9090], "x-order": 1},
		"numbers": {"type": "array", "items": {"type": "number"}},
		"flags": {"type": "array", "items": {"enum": ["a", "b"]}},
		"servers": {"type": "array", "items": {"title": "Server", "type": "object", "required": ["name"],
			"properties": {"name": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}}}}},
		"headers": {"type": "object", "additionalProperties": {"type": "string"}},
		"sites": {"type": "object", "patternProperties": {"^[a-z]+$": {"properties": {"port": {"type": "integer"}}}}, "additionalProperties": false},
		"storage": {"oneOf": [
			{"title": "On disk", "type": "object", "required": ["kind", "path"], "properties": {"kind": {"const": "disk"}, "path": {"type": "string"}}},
			{"title": "Elsewhere", "type": "object", "required": ["kind"], "properties": {"kind": {"const": "net"}, "url": {"type": "string", "format": "uri"}}}]},
		"either": {"anyOf": [{"type": "boolean"}, {"type": "array", "items": {"type": "string"}}]},
		"id": {"type": ["integer", "string"]},
		"nested": {"type": "object", "properties": {"on": {"type": "boolean"}}, "if": {"properties": {"on": {"const": true}}, "required": ["on"]},
			"then": {"properties": {"depth": {"type": "integer"}}}},
		"lost": {"$ref": "#/nowhere"}
	},
	"anyOf": [
		{"title": "Small", "required": ["size"], "properties": {"size": {"const": "s"}, "cpu": {"type": "integer"}}},
		{"title": "Large", "required": ["size"], "properties": {"size": {"const": "l"}, "nodes": {"type": "array", "items": {"type": "string"}}}}]
}`

const emptyForm = "secret s/password=; choice j/level=; number n/port=; numbers i/numbers=; list flags (choice j/flags/~30=); " +
	"list servers ()+o/servers/~30; table headers (=>text s/headers/~20=); " +
	"table sites ()+o/sites/~20; variant storage [On disk|Elsewhere] (); variant either [yes or no|a list] (); number n/id=; " +
	"group nested (choice j/nested/on=); any v/lost=; variant Variant [Small|Large] ()"

// TestContainers shows what holds other values, and reads it again.
func TestContainers(t *testing.T) {
	s := schemaOf(t, richSchema)
	for _, c := range []struct{ values, want string }{
		{`{}`, emptyForm},
		{`{"level": 2, "numbers": [1, 2.5], "flags": ["b"], "servers": [{"name": "x", "tags": ["y"]}, {}], "headers": {"A": "b", "C": ""},
			"sites": {"a": {"port": 1}, "b": {}}, "storage": {"kind": "net", "url": "http://x"}, "either": ["z"], "id": "i", "nested": {"on": true, "depth": 2},
			"size": "l", "nodes": ["n"]}`,
			"secret s/password=; choice j/level=2; number n/port=; numbers i/numbers=1\n2.5; list flags (choice j/flags/~30=\"b\"; choice j/flags/~31=); " +
				"list servers (group Server 1 (text s/servers/~30/name=x!; lines l/servers/~30/tags=y); group Server 2 (text s/servers/~31/name=!; lines l/servers/~31/tags=))+o/servers/~32; " +
				"table headers (A=>text s/headers/~20=b; C=>text s/headers/~21=; =>text s/headers/~22=); " +
				"table sites (a=>group Value (number n/sites/~20/port=1); b=>group Value (number n/sites/~21/port=))+o/sites/~22; " +
				"variant storage [On disk|Elsewhere*] (fixed j/storage/kind=\"net\"; text s/storage/url=http://x); variant either [yes or no|a list*] (lines l/either=z!); " +
				"number n/id=i; group nested (choice j/nested/on=true; number n/nested/depth=2); any v/lost=; " +
				"variant Variant [Small|Large*] (fixed j/size=\"l\"; lines l/nodes=n)"},
		// What is empty, or of another type, stays so.
		{`{"numbers": [], "flags": [], "servers": {"a": 1}, "headers": {}, "sites": [], "storage": {}, "either": 1, "nested": {}}`, ""},
	} {
		fields, others := fieldsOf(t.Context(), s, answers{values: values(t, c.values)})
		if got := outline(fields); got != c.want && c.want != "" {
			t.Errorf("%s:\n%s\nwant\n%s", c.values, got, c.want)
		}
		if got := answersOf(formOf(fields, others)); len(got.problems) > 0 || !reflect.DeepEqual(got.values, values(t, c.values)) {
			t.Errorf("%s comes back as %v, %q", c.values, got.values, got.problems)
		}
	}
}

// TestWritten has what people write into a form make the JSON that they mean.
func TestWritten(t *testing.T) {
	for _, c := range []struct {
		form     url.Values
		want     string
		problems int
	}{
		{url.Values{"s/a/~30/b": {"x"}, "o/a/~32": {"1"}, "a/a": {""}, "s/a/~35/b": {""}}, `{"a": [{"b": "x"}, {}]}`, 0},
		{url.Values{"s/a/~310": {"k"}, "s/a/~39": {"j"}}, `{"a": ["j", "k"]}`, 0},
		{url.Values{"a/a": {"1"}, "a/b": {""}, "o/c": {"1"}, "o/d": {""}}, `{"a": [], "c": {}}`, 0},
		{url.Values{"s/a/~30/b": {"x"}, "s/a/~31/b": {"y"}, "x/a/~30": {"1"}}, `{"a": [{"b": "y"}]}`, 0},
		{url.Values{"k/h/~20": {"A"}, "s/h/~20": {"b"}, "k/h/~21": {"C"}, "s/h/~21": {""}, "k/h/~22": {""}, "s/h/~22": {""}}, `{"h": {"A": "b", "C": ""}}`, 0},
		{url.Values{"k/h/~20": {"A"}, "n/h/~20": {"1"}, "k/h/~21": {"A"}, "n/h/~21": {"2"}}, `{"h": {"A": 1}}`, 1},
		{url.Values{"k/h/~20": {""}, "s/h/~20": {"b"}}, `{"h": {"": "b"}}`, 1},
		{url.Values{"k/h/~20": {"A"}, "k/h/~21": {"B/~1"}, "n/h/~21/p": {"1"}}, `{"h": {"B/~1": {"p": 1}}}`, 0},
		{url.Values{"p/p": {""}, "n/p/~30": {""}, "s/p/~31": {"x"}, "s/p/~32": {""}}, `{"p": [null, "x"]}`, 0},
		{url.Values{"p/p": {""}, "n/p/~30": {""}, "p/q": {"1"}, "p/r": {""}, "s/r/~32000000000": {"x"}}, `{"q": [], "r": [` + strings.Repeat("null, ", maximumPlaces) + `"x"]}`, 0},
		{url.Values{"v/a": {" 5"}, "v/b": {"5 apples"}, "v/c": {"[1, null]"}, "v/d": {"true"}, "v/e": {" "}, "v/f": {`"5"`}, "n/g": {"null"}}, `{"a": 5, "b": "5 apples", "c": [1, null], "d": true, "f": "5", "g": null}`, 0},
		{url.Values{"k/h/~20": {"A"}, "v/h/~20": {""}}, `{"h": {"A": ""}}`, 0},
		{url.Values{"i/n": {"1\r\n2.50\r\nx"}}, `{"n": [1, 2.50, "x"]}`, 0},
		{url.Values{"c/v/~40": {"1"}, "j/v/kind": {`"net"`}, "s/v/url": {"u"}}, `{"v": {"kind": "net", "url": "u"}}`, 0},
	} {
		got := answersOf(c.form)
		if !reflect.DeepEqual(got.values, values(t, c.want)) || len(got.problems) != c.problems {
			t.Errorf("%v: %v, %q", c.form, got.values, got.problems)
		}
	}
}

// TestKinds has a field for what a schema says in a few words, empty and with
// values, which come back unchanged.
func TestKinds(t *testing.T) {
	for _, c := range []struct{ schema, values, want string }{
		{`{}`, `{}`, "any v/a="},
		{`{}`, `{"a": "5"}`, `any v/a="5"`},
		{`{}`, `{"a": 5}`, "any v/a=5"},
		{`{}`, `{"a": null}`, "any v/a=null"},
		{`{}`, `{"a": "two words"}`, "any v/a=two words"},
		{`{}`, `{"a": [1]}`, "json j/a=[\n  1\n]"},
		{`{"type": "object"}`, `{}`, "table a (=>any v/a/~20=)"},
		{`{"type": "object"}`, `{"a": {"x": "", "y": [], "z": true}}`, "table a (x=>any v/a/~20=; y=>json j/a/~21=[]; z=>any v/a/~22=true; =>any v/a/~23=)"},
		{`{"type": "object", "properties": {"x": {"type": "string"}}}`, `{"a": {"y": 1}}`, "group a (text s/a/x=; table More names and values (y=>any v/a/~20=1; =>any v/a/~21=))"},
		{`{"type": "object", "properties": {"x": {"type": "string"}}, "unevaluatedProperties": false}`, `{"a": {"y": 1}}`, "group a (text s/a/x=; group Not in the schema (y=>any v/a/~20=1))"},
		{`{"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}}`, `{"a": {"x": []}}`, "table a (x=>lines l/a/~20=; =>lines l/a/~21=)"},
		{`{"type": ["number", "null"]}`, `{"a": null}`, "number n/a=null"},
		{`{"type": ["integer", "string"]}`, `{"a": "many"}`, "number n/a=many"},
		{`{"type": ["boolean", "null"]}`, `{"a": null}`, "choice j/a=null"},
		{`{"type": "null"}`, `{}`, "choice j/a="},
		{`{"type": ["string", "boolean"]}`, `{}`, "variant a [yes or no|text] ()"},
		{`{"type": ["string", "boolean"]}`, `{"a": true}`, "variant a [yes or no*|text] (choice j/a=true!)"},
		{`{"type": ["object", "null"], "properties": {"x": {"type": "string"}}}`, `{"a": {"x": "y"}}`, "variant a [a group of values*|null] (text s/a/x=y)"},
		{`{"type": ["object", "null"], "properties": {"x": {"type": "string"}}}`, `{"a": null}`, "variant a [a group of values|null*] (fixed j/a=null)"},
		{`{"oneOf": [{"const": "auto", "title": "Automatic"}, {"type": "integer"}]}`, `{"a": "auto"}`, `variant a [Automatic*|a whole number] (fixed j/a="auto")`},
		{`{"anyOf": [{"anyOf": [{"type": "boolean"}, {"type": "array", "items": {"type": "string"}}]}, {"type": "integer"}]}`, `{"a": ["x"]}`, "variant a [yes or no|a list*|a whole number] (lines l/a=x!)"},
		{`{"type": "array", "prefixItems": [{"title": "From", "type": "integer"}, {"type": "string"}]}`, `{}`, "group a (number n/a/~30=; text s/a/~31=)"},
		{`{"type": "array", "prefixItems": [{"title": "From", "type": "integer"}, {"type": "string"}]}`, `{"a": [null, "x", 3]}`, "group a (number n/a/~30=; text s/a/~31=x; any v/a/~32=3)"},
		{`{"type": "array", "prefixItems": [{}, {}]}`, `{"a": [null]}`, "json j/a=[\n  null\n]"},
		{`{"type": "array", "prefixItems": [{"type": "integer"}], "items": {"type": "string"}}`, `{"a": []}`, "list a (number n/a/~30=; text s/a/~31=)"},
		{`{"type": "array", "items": {"type": ["number", "null"]}}`, `{"a": [1, null]}`, "list a (number n/a/~30=1; number n/a/~31=null; number n/a/~32=)"},
		{`{"properties": {"kind": true, "more": {}}, "oneOf": [{"title": "X", "properties": {"kind": {"const": "x"}, "more": {"type": "integer"}}, "required": ["kind"]}, {"title": "Y"}]}`, `{"a": {"kind": "x", "more": 2}}`,
			`group a (variant Variant [X*|Y] (fixed j/a/kind="x"; number n/a/more=2))`},
	} {
		fields, others := fieldsOf(t.Context(), schemaOf(t, `{"$schema": "https://json-schema.org/draft/2020-12/schema", "properties": {"a": `+c.schema+`}}`), answers{values: values(t, c.values)})
		if got := outline(fields); got != c.want {
			t.Errorf("%s, %s:\n%s\nwant\n%s", c.schema, c.values, got, c.want)
		}
		if got := answersOf(formOf(fields, others)); len(got.problems) > 0 || !reflect.DeepEqual(got.values, values(t, c.values)) {
			t.Errorf("%s, %s: it comes back as %v, %q", c.schema, c.values, got.values, got.problems)
		}
	}
	// What was chosen by its form needs no second choice.
	s := schemaOf(t, `{"properties": {"a": {"type": ["string", "object", "null"]}}}`)
	fields, _ := fieldsOf(t.Context(), s, answersOf(url.Values{"c/a/~40": {"2"}}))
	if got := outline(fields); got != "variant a [a group of values|text|null*] (fixed j/a=null)" {
		t.Error(got)
	}
	// A group too deep to be shown empty is added by a button.
	s = schemaOf(t, `{"properties": {"a": {"$ref": "#"}, "list": {"type": "array", "items": {"type": "array", "items": {"enum": [1]}}}}}`)
	fields, _ = fieldsOf(t.Context(), s, answers{})
	deep := fields[0].Fields[0].Fields[0].Fields[0].Fields[0]
	if deep.Kind != "group" || deep.Add != "o/a/a/a/a/a" || deep.Marker != "" || len(deep.Fields) > 0 {
		t.Errorf("%+v", deep)
	}
	fields, _ = fieldsOf(t.Context(), s, answersOf(url.Values{deep.Add: {"1"}}))
	if shown := fields[0].Fields[0].Fields[0].Fields[0].Fields[0]; len(shown.Fields) != 2 || shown.Add != "" {
		t.Errorf("%+v", shown)
	}
}

// TestFold folds large groups, unless there is something in them.
func TestFold(t *testing.T) {
	large := `{"type": "object", "properties": {"b": {"type": "boolean"}`
	for i := range manyFields {
		large += fmt.Sprintf(`, "x%d": {"type": "string"}`, i)
	}
	large += "}}"
	s := schemaOf(t, `{"required": ["needed"], "properties": {"a": `+large+`, "small": {"properties": {"x": {"type": "string"}}}, "needed": `+large+`, "list": {"type": "array", "items": `+large+`}}}`)
	for _, c := range []struct {
		answers     answers
		folds, open bool
	}{
		{answers{}, true, false},
		{answers{values: values(t, `{"a": {}}`)}, true, false},
		{answers{values: values(t, `{"a": {"x1": "y"}}`)}, true, true},
		{answers{values: values(t, `{"a": {"b": false}}`)}, true, true},
		{answers{problems: []schema.Problem{{Place: "$.a.x2", Text: "wrong"}}}, true, true},
	} {
		fields, _ := fieldsOf(t.Context(), s, c.answers)
		if fields[0].Folds != c.folds || fields[0].Open != c.open || fields[1].Folds || !fields[2].Folds || !fields[2].Open {
			t.Errorf("%+v: folds %v, open %v", c.answers, fields[0].Folds, fields[0].Open)
		}
	}
	fields, _ := fieldsOf(t.Context(), s, answersOf(url.Values{"o/list/~30": {"1"}}))
	if item := fields[3].Fields[0]; item.Label != "list 1" || !item.Folds || !item.Open {
		t.Errorf("what was just added: %+v", item)
	}
}

// TestChosen shows the fields of the form that was chosen, whatever the values.
func TestChosen(t *testing.T) {
	s := schemaOf(t, richSchema)
	for _, c := range []struct {
		form url.Values
		want string
	}{
		{url.Values{"c/storage/~40": {"0"}}, "variant storage [On disk*|Elsewhere] (fixed j/storage/kind=\"disk\"; text s/storage/path=!)"},
		{url.Values{"c/storage/~40": {"1"}, "j/storage/kind": {`"disk"`}, "s/storage/path": {"/x"}},
			"variant storage [On disk|Elsewhere*] (fixed j/storage/kind=\"net\"; text s/storage/url=; table More names and values (path=>any v/storage/~20=/x; =>any v/storage/~21=))"},
		{url.Values{"c/storage/~40": {""}}, "variant storage [On disk|Elsewhere] ()"},
	} {
		fields, _ := fieldsOf(t.Context(), s, answersOf(c.form))
		if got := outline(fields[8:9]); got != c.want {
			t.Errorf("%v:\n%s\nwant\n%s", c.form, got, c.want)
		}
	}
	fields, _ := fieldsOf(t.Context(), s, answersOf(url.Values{"c/~40": {"0"}}))
	if got, want := outline(fields[len(fields)-1:]), `variant Variant [Small*|Large] (fixed j/size="s"; number n/cpu=)`; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	problems := []schema.Problem{{Place: "$.numbers[1]", Text: "numbers[1] must be at least 2"}, {Place: "$.portable", Text: "another"}}
	if fields, _ := fieldsOf(t.Context(), s, answers{problems: problems}); len(fields[3].Problems) != 1 || len(fields[2].Problems) != 0 {
		t.Errorf("problems %+v", fields[2:4])
	}
	if f := fields[2]; f.Default != "8080" || f.Examples != "8080, 9090" || fields[1].Default != "little" || fields[1].Label != "Log level" || fields[1].Called != "level" {
		t.Errorf("%+v", fields[:3])
	}
}

// TestEmptyGroup shows a closed object without members, which can only be there
// or not: a button adds it, and one removes it.
func TestEmptyGroup(t *testing.T) {
	s := schemaOf(t, `{"properties": {
		"on": {"type": "object", "additionalProperties": false},
		"how": {"oneOf": [{"title": "Plain", "type": "object", "additionalProperties": false},
			{"title": "Deep", "type": "object", "required": ["depth"], "properties": {"depth": {"type": "integer"}}}]}}}`)
	for _, c := range []struct {
		values, want, added, removed string
	}{
		{`{}`, "group on (); variant how [Plain|Deep] ()", "o/on", ""},
		{`{"on": {}, "how": {}}`, "group on (); variant how [Plain*|Deep] ()", "", "x/on"},
		{`{"on": {"a": 1}}`, "group on (group Not in the schema (a=>any v/on/~20=1)); variant how [Plain|Deep] ()", "", "x/on"},
		{`{"on": 1}`, "any v/on=1; variant how [Plain|Deep] ()", "", ""},
	} {
		fields, others := fieldsOf(t.Context(), s, answers{values: values(t, c.values)})
		if got := outline(fields); got != c.want || fields[0].Add != c.added || fields[0].Remove != c.removed {
			t.Errorf("%s: %s, add %q, remove %q", c.values, got, fields[0].Add, fields[0].Remove)
		}
		if got := answersOf(formOf(fields, others)); len(got.problems) > 0 || !reflect.DeepEqual(got.values, values(t, c.values)) {
			t.Errorf("%s comes back as %v, %q", c.values, got.values, got.problems)
		}
	}
}

// TestBounds says below a number which ones are admitted, also of draft 4.
func TestBounds(t *testing.T) {
	for text, want := range map[string]string{
		`{"type": "integer", "minimum": 1024, "maximum": 65535, "multipleOf": 2}`:                                                              "At least 1024, at most 65535, a multiple of 2",
		`{"type": "number", "exclusiveMinimum": 0, "allOf": [{"exclusiveMaximum": 1.50}]}`:                                                     "More than 0, less than 1.5",
		`{"$schema": "http://json-schema.org/draft-04/schema#", "type": "number", "minimum": 0, "exclusiveMinimum": true, "multipleOf": 0.25}`: "More than 0, a multiple of 0.25",
		`{"type": "integer", "minimum": -1e3000, "multipleOf": 1e-3000, "maximum": 1}`:                                                         "At most 1",
		`{"type": "integer"}`:              "",
		`{"type": "string", "minimum": 1}`: "",
		`{"enum": [1, 2], "minimum": 1}`:   "",
	} {
		fields, _ := fieldsOf(t.Context(), schemaOf(t, `{"properties": {"n": `+text+`}}`), answers{})
		if fields[0].Bounds != want {
			t.Errorf("%s: %q, want %q", text, fields[0].Bounds, want)
		}
	}
}
