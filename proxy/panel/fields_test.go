// SPDX-License-Identifier: GPL-3.0-or-later

package panel

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"slapos/proxy/store"
	"slapos/proxy/usage"
	"slapos/slap"
	"slapos/slap/schema"
)

// schemaOf compiles a schema of requests.
func schemaOf(t testing.TB, text string) *schema.Schema {
	t.Helper()
	folder := t.TempDir()
	for name, text := range map[string]string{
		"sr.cfg.json": `{"serialisation": "xml", "software-type": {"default": {"request": "in.json"}}}`,
		"in.json":     text,
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	release, err := schema.Read(t.Context(), filepath.Join(folder, "sr.cfg"))
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := release.Types[0].Compile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

const exampleSchema = `{
	"$schema": "http://json-schema.org/draft-07/schema#",
	"required": ["name"],
	"allOf": [{"properties": {"late": {"type": "boolean"}}}],
	"properties": {
		"$schema": {"type": "string"},
		"name": {"type": "string", "title": "Name", "description": "What it is called."},
		"count": {"type": "integer", "default": 3, "title": "How many", "description": "How many."},
		"size": {"enum": ["small", "large", 5]},
		"mode": {"oneOf": [{"const": "a", "title": "First"}, {"const": "b"}]},
		"hosts": {"type": "array", "items": {"type": "string"}},
		"free": {"type": "object"},
		"key": {"type": "string", "writeOnly": true},
		"mixed": {"type": ["string", "integer"]},
		"a/b": {"$ref": "#/definitions/group"}
	},
	"definitions": {"group": {"type": "object", "properties": {"inner": {"type": "string"}, "deep": {"$ref": "#/definitions/group"}}}}
}`

func values(t testing.TB, text string) map[string]any {
	t.Helper()
	value, err := readJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	return value.(map[string]any)
}

// outline writes fields in short: name, kind and value.
func outline(fields []field) string {
	var lines []string
	for _, f := range fields {
		line := f.Kind + " " + f.Name + "=" + f.Value
		switch f.Kind {
		case "group":
			line = "group " + f.Label + " (" + outline(f.Fields) + ")"
		case "list", "table":
			line = f.Kind + " " + f.Label + " (" + outline(f.Fields) + ")"
			if f.Add != "" {
				line += "+" + f.Add
			}
		case "variant":
			line = "variant " + f.Label + " ["
			for i, c := range f.Choices {
				if i > 0 {
					line += "|"
				}
				line += c.Label
				if c.Chosen {
					line += "*"
				}
			}
			line += "] (" + outline(f.Fields) + ")"
		}
		if f.Key != "" {
			line = f.Row + "=>" + line
		}
		if f.Required {
			line += "!"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "; ")
}

func TestFields(t *testing.T) {
	s := schemaOf(t, exampleSchema)
	for _, c := range []struct{ values, want, others string }{
		{`{}`, "text s/name=!; number n/count=; choice j/size=; choice j/mode=; lines l/hosts=; table free (=>any v/free/~20=); secret s/key=; number n/mixed=; " +
			"group a/b (text s/a~1b/inner=; group deep (text s/a~1b/deep/inner=; group deep (text s/a~1b/deep/deep/inner=; " +
			"group deep (text s/a~1b/deep/deep/deep/inner=; group deep ())))); choice j/late=", `{}`},
		{`{"name": "n", "count": 5, "size": 5, "mode": "b", "hosts": ["x", "y"], "free": {"a": 1}, "mixed": "t", "a/b": {"inner": "i", "more": 2}, "late": false, "extra": [1]}`,
			"text s/name=n!; number n/count=5; choice j/size=5; choice j/mode=\"b\"; lines l/hosts=x\ny; table free (a=>any v/free/~20=1; =>any v/free/~21=); secret s/key=; number n/mixed=t; " +
				"group a/b (text s/a~1b/inner=i; group deep (text s/a~1b/deep/inner=; group deep (text s/a~1b/deep/deep/inner=; " +
				"group deep (text s/a~1b/deep/deep/deep/inner=; group deep (text s/a~1b/deep/deep/deep/deep/inner=; " +
				"group deep ())))); table More names and values (more=>any v/a~1b/~20=2; =>any v/a~1b/~21=)); choice j/late=false", `{"extra":[1]}`},
		// What doesn't fit is JSON.
		{`{"name": "", "count": "many", "size": "huge", "hosts": ["a b ", 1], "a/b": 1}`,
			"any v/name=\"\"!; number n/count=many; any v/size=huge; choice j/mode=; json j/hosts=[\n  \"a b \",\n  1\n]; table free (=>any v/free/~20=); secret s/key=; number n/mixed=; " +
				"any v/a~1b=1; choice j/late=", `{}`},
	} {
		fields, others := fieldsOf(t.Context(), s, answers{values: values(t, c.values)})
		if got := outline(fields); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.values, got, c.want)
		}
		if text, _ := json.Marshal(others); string(text) != c.others {
			t.Errorf("%s: others %s", c.values, text)
		}
		if got := answersOf(formOf(fields, others)); len(got.problems) > 0 || !reflect.DeepEqual(got.values, values(t, c.values)) {
			t.Errorf("%s comes back as %v, %q", c.values, got.values, got.problems)
		}
	}
	fields, _ := fieldsOf(t.Context(), s, answers{problems: []schema.Problem{{Place: "$.count", Text: "too many"}, {Place: "$.a/b.inner", Text: "wrong"}}})
	if fields[1].Problems[0] != "too many" || fields[1].Default != "3" || fields[0].Label != "Name" || fields[0].Help != "What it is called." || fields[1].Help != "" ||
		fields[8].Fields[0].Problems[0] != "wrong" {
		t.Errorf("%+v", fields)
	}
}

// formOf is what a browser sends when nobody changed anything.
func formOf(fields []field, others map[string]any) url.Values {
	form := url.Values{}
	for _, f := range fields {
		for name, list := range formOf(f.Fields, nil) {
			form[name] = list
		}
		switch f.Kind {
		case "group", "list", "table":
		case "variant":
			form.Set(f.Name, "")
			for _, c := range f.Choices {
				if c.Chosen {
					form.Set(f.Name, c.Value)
				}
			}
		default:
			form.Set(f.Name, strings.ReplaceAll(f.Value, "\n", "\r\n"))
		}
		if f.Marker != "" {
			form.Set(f.Marker, f.Marked)
		}
		if f.Key != "" {
			form.Set(f.Key, f.Row)
		}
	}
	if len(others) > 0 {
		form.Set("j", jsonText(others))
	}
	return form
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		form     url.Values
		want     string
		problems []schema.Problem
	}{
		{url.Values{"s/a": {"x"}, "s/b": {""}, "n/c": {" 12 "}, "n/d": {"twelve"}, "l/e": {"1\r\n\r\n 2"}, "j/f": {"true"}, "other": {"z"}, "x/y": {"z"}},
			`{"a": "x", "c": 12, "d": "twelve", "e": ["1", "2"], "f": true}`, nil},
		{url.Values{"s/g/h": {"x"}, "j/g": {`{"i": 1}`}, "j": {`{"k": null}`}}, `{"g": {"h": "x", "i": 1}, "k": null}`, nil},
		{url.Values{"s/a": {"x"}, "j": {`{"a": 1}`}}, `{"a": "x"}`, []schema.Problem{{Place: "$", Text: "a is set twice"}}},
		{url.Values{"s/a": {"x"}, "s/a/b": {"y"}}, `{"a": {"b": "y"}}`, []schema.Problem{{Place: "$.a", Text: "a: it is set twice"}}},
		{url.Values{"j": {`[1]`}}, `{}`, []schema.Problem{{Place: "$", Text: "expected a JSON object: names and values in braces"}}},
		{url.Values{"j": {`{`}}, `{}`, []schema.Problem{{Place: "$", Text: "invalid JSON (line 1: the text ends too soon)"}}},
		{url.Values{"j": {`{} {}`}}, `{}`, []schema.Problem{{Place: "$", Text: "invalid JSON (line 1: unexpected text after the value)"}}},
	} {
		got := answersOf(c.form)
		if !reflect.DeepEqual(got.values, values(t, c.want)) || !reflect.DeepEqual(got.problems, c.problems) {
			t.Errorf("%v: %v, %q", c.form, got.values, got.problems)
		}
	}
	// What can't be read keeps its place.
	fields, _ := fieldsOf(t.Context(), schemaOf(t, exampleSchema), answersOf(url.Values{"j/free": {"{oops"}}))
	if f := fields[5]; f.Value != "{oops" || f.Kind != "json" || len(f.Problems) != 1 {
		t.Errorf("%+v", f)
	}
}

// What a partition has published may look like a link: only one that a browser
// opens as a page is shown as one.
func TestLinks(t *testing.T) {
	for text, want := range map[string]bool{
		"https://h/x": true, "http://[::1]:80/": true, "javascript:alert(1)": false, "data:text/html,x": false, "javascript://h/%0aalert(1)": false,
		"http:": false, "//h/x": false, "": false, "ftp://h": false, "HTTPS://h": true,
	} {
		if got := isLink(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestTyped(t *testing.T) {
	got := values(t, `{"count": "5", "late": "True", "name": "7", "size": "5", "mixed": "1", "free": "{}", "other": "1"}`)
	typed(schemaOf(t, exampleSchema).Schema, got)
	if want := values(t, `{"count": 5, "late": true, "name": "7", "size": "5", "mixed": "1", "free": "{}", "other": "1"}`); !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
}

func TestValues(t *testing.T) {
	got := valuesOf(slap.Dict{"url": "http://x", "_": `{"z": "line\nline", "a": {"b": 1}}`, "n": nil})
	want := []value{{"z", "line\nline", true}, {"a", "{\n  \"b\": 1\n}", true}, {"n", "None", false}, {"url", "http://x", false}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	for text, want := range map[string]bool{"http://x": true, "https://x/y": true, "javascript:alert(1)": false, "x": false, "http:": false} {
		if isLink(text) != want {
			t.Error(text)
		}
	}
}

func TestUsage(t *testing.T) {
	u := usageOf(store.UsageReport{Time: 1, Report: `<journal><transaction type="x"><movement><resource>r</resource><title>t</title><reference>slappart0</reference><quantity>1.5</quantity></movement></transaction></journal>`})
	if want := (usage.Movement{Reference: "slappart0", Title: "t", Resource: "r", Quantity: "1.5"}); u.Text != "" || u.Time != 1 || u.Movements[0] != want {
		t.Errorf("%+v", u)
	}
	for report, want := range map[string]string{"no XML": "no XML", "bad \xff": "bad \uFFFD", strings.Repeat("x", shownText+1): strings.Repeat("x", shownText) + " …"} {
		if u := usageOf(store.UsageReport{Report: report}); u.Text != want || u.Report != nil {
			t.Errorf("%+v", u)
		}
	}
}

// treeSchema has lists, tables, choices of form, and a tree.
const treeSchema = `{"type": "object", "properties": {
	"any": {"type": "array"},
	"pairs": {"type": "array", "items": {"type": "array", "prefixItems": [{"title": "From", "type": "integer"}, {"type": "string"}]}},
	"sites": {"type": "array", "items": {"type": "object", "properties": {"host": {"type": "string"},
		"aliases": {"type": "array", "items": {"type": "object", "properties": {"parts": {"type": "array", "items": {"$ref": "#/properties/sites/items"}}}}}}}},
	"more": {"type": "object", "patternProperties": {"^l": {"type": "array", "items": {"type": "string"}}}, "additionalProperties": {"type": "integer"}},
	"store": {"oneOf": [{"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
		{"type": "object", "properties": {"url": {"type": "string"}}, "required": ["url"]}]},
	"loop": {"$ref": "#/definitions/loop"},
	"tree": {"$ref": "#/definitions/tree"}},
	"definitions": {"tree": {"type": "object", "properties": {"child": {"$ref": "#/definitions/tree"}}},
		"loop": {"anyOf": [{"type": "array", "items": {"$ref": "#/definitions/loop"}}, {"anyOf": [{"$ref": "#/definitions/loop"}, {"type": "boolean"}]}]}}}`

// What has no schema of its own can be filled in without JSON, and what was added is
// shown however deep it is.
func TestDeepFields(t *testing.T) {
	s := schemaOf(t, treeSchema)
	fields, _ := fieldsOf(t.Context(), s, answers{})
	got := outline(fields)
	for _, want := range []string{"items t/any=", "list pairs (group pairs 1 (number n/pairs/~30/~30=; text s/pairs/~30/~31=))", "table more (=>number n/more/~20=)"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	deep := `{"host": "a", "aliases": [{"parts": [{"host": "b", "aliases": [{"parts": [{"host": "c"}]}]}]}]}`
	fields, others := fieldsOf(t.Context(), s, answers{values: values(t, `{"any": ["a", "b"], "sites": [`+deep+`], "more": {"list": ["x"], "n": 2}}`)})
	got = outline(fields)
	for _, want := range []string{"items t/any=a\nb", "s/sites/~30/aliases/~30/parts/~30/aliases/~30/parts/~30/host=c", "list=>lines l/more/~20=x", "n=>number n/more/~21=2"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	if len(others) > 0 {
		t.Errorf("without field: %v", others)
	}
	// A list of anything is lines, or JSON.
	for text, want := range map[string]string{"a\n b \n\n": `["a","b"]`, ` [1, {"a": null}]`: `[1,{"a":null}]`, "{": `["{"]`} {
		got := answersOf(url.Values{"t/any": {text}})
		if list, _ := json.Marshal(got.values["any"]); string(list) != want || len(got.problems) > 0 {
			t.Errorf("%q is %s, %v", text, list, got.problems)
		}
	}
	if got := answersOf(url.Values{"t/any": {"[1,"}}); len(got.problems) != 1 {
		t.Errorf("half a list: %v", got.problems)
	}
}

// FuzzAnswers reads forms of any content, and shows what they hold again.
func FuzzAnswers(f *testing.F) {
	f.Add("s/name=x&n/count=5&j=%7B%22a%22:1%7D&l/hosts=a%0D%0Ab&j/free=%7B")
	f.Add("j/a~1b={\"deep\":{}}&s/a~1b/inner=1&s//=&s/~2=x")
	f.Add("t/any=a%0D%0Ab&s/sites/~30/host=x&a/sites/~30/aliases=1&k/more/~20=n&n/more/~20=1&c/store/~40=1&s/store/url=u")
	f.Add("p/pairs/~30=&n/pairs/~30/~30=&s/pairs/~30/~31=x&a/pairs=1&v/free=%5B1%5D&k/free/~20=x&v/free/~20=5")
	f.Add("t/any=%5B1,%7B%7D%5D&o/tree/child/child/child/child=1&l/more/~21=x&k/more/~21=l&j/pairs=%5B%5B1,%22a%22%5D%5D")
	both := []*schema.Schema{schemaOf(f, exampleSchema), schemaOf(f, treeSchema)}
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(query))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		form, err := fieldsIn(r)
		if err != nil {
			return
		}
		for _, s := range both {
			got := answersOf(form)
			fields, others := fieldsOf(t.Context(), s, answers{values: got.values, problems: got.problems})
			if len(got.problems) > 0 {
				return
			}
			again := answersOf(formOf(fields, others))
			first, _ := json.Marshal(got.values)
			second, _ := json.Marshal(again.values)
			if len(again.problems) > 0 || string(first) != string(second) {
				t.Errorf("%s comes back as %s, %q", first, second, again.problems)
			}
		}
	})
}
