// SPDX-License-Identifier: GPL-3.0-or-later

package schema

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

// flawed are schemas as authors write them: parts of them can't be used. Each
// is compared with some parameters, here and by the original.
var flawed = map[string]struct {
	document   string
	parameters []string
}{
	"a reference below properties": {`{"type": "object", "properties": {"$ref": "#/definitions/x", "port": {"minimum": 1024}}, "definitions": {"x": {}}}`,
		[]string{`{}`, `{"port": 80}`, `{"port": 8080}`, `{"$ref": 1}`}},
	"a pointer to nowhere": {`{"properties": {"a": {"$ref": "#/definitions/gone"}, "b": {"type": "string"}}, "definitions": {}}`,
		[]string{`{}`, `{"a": 1}`, `{"b": 1}`, `{"b": "x"}`, `{"a": 1, "b": 1}`}},
	"a pointer into nowhere of a list": {`{"properties": {"a": {"$ref": "#/allOf/7"}}, "allOf": [{"type": "object"}]}`, []string{`{}`, `{"a": 1}`}},
	"a file that isn't there":          {`{"properties": {"a": {"$ref": "gone.json"}, "b": {"$ref": "gone.json#/b"}, "c": {"type": "integer"}}}`, []string{`{}`, `{"a": 1}`, `{"b": 1}`, `{"c": "1"}`, `{"c": 1}`}},
	"a file that isn't JSON":           {`{"properties": {"a": {"$ref": "odd.json"}, "c": {"type": "integer"}}}`, []string{`{}`, `{"a": 1}`, `{"c": "1"}`}},
	"a bad pattern":                    {`{"properties": {"a": {"pattern": "("}, "b": {"maxLength": 2}}}`, []string{`{}`, `{"a": "x"}`, `{"a": 1}`, `{"b": "abc"}`}},
	"patterns that look ahead": {`{"properties": {"a": {"pattern": "^(?!-)(?=.{2,4}$)[a-z-]+$"}, "b": {"pattern": "^(?!(x|y)z)"}, "c": {"pattern": "^[(?!a]\\Z"}, "d": {"pattern": "^\\u00e9(a|b)$"}}}`,
		[]string{`{"a": "ab"}`, `{"a": "-b"}`, `{"a": "abcde"}`, `{"a": "a"}`, `{"b": "yz"}`, `{"b": "y"}`, `{"c": "("}`, `{"c": "(a"}`, `{"d": "éa"}`, `{"d": "é"}`}},
	"a bad pattern of names":       {`{"patternProperties": {"(": {}, "^x": {"type": "string"}}, "additionalProperties": false}`, []string{`{}`, `{"x": "y"}`}},
	"an unknown draft":             {`{"$schema": "http://example.com/draft-99/schema", "properties": {"a": {"const": 1}}}`, []string{`{}`, `{"a": 1}`, `{"a": 2}`}},
	"required as a flag":           {`{"properties": {"a": {"type": "string", "required": true}, "b": {"required": true}}}`, []string{`{}`, `{"a": "x"}`, `{"a": 1}`, `{"b": {}}`, `{"b": 1}`}},
	"an unknown type":              {`{"properties": {"a": {"type": "text"}, "b": {"type": ["string", "text"]}}}`, []string{`{}`, `{"a": "x"}`, `{"b": "x"}`, `{"b": 1}`}},
	"a type of another type":       {`{"properties": {"a": {"type": 3}}}`, []string{`{}`, `{"a": "x"}`}},
	"texts as numbers":             {`{"properties": {"a": {"minimum": "1", "type": "integer"}, "b": {"maxLength": "3"}, "c": {"maxItems": null}}}`, []string{`{}`, `{"a": 1}`, `{"a": "x"}`, `{"b": "x"}`, `{"b": 1}`, `{"c": []}`, `{"c": 1}`}},
	"bounds of draft 4 in another": {`{"properties": {"a": {"minimum": 0, "exclusiveMinimum": true}}}`, []string{`{"a": 0}`, `{"a": 1}`, `{"a": 2}`}},
	"draft 4":                      {`{"$schema": "http://json-schema.org/draft-04/schema#", "properties": {"a": {"minimum": 0, "exclusiveMinimum": true}, "b": {"const": 1}}, "required": []}`, []string{`{"a": 0}`, `{"a": 1}`, `{"b": 2}`}},
	"a list of alternatives that isn't": {`{"properties": {"a": {"anyOf": {"x": {}}}, "b": {"oneOf": []}, "c": {"allOf": []}, "d": {"enum": []}}}`,
		[]string{`{}`, `{"a": 1}`, `{"b": 1}`, `{"c": 1}`, `{"d": 1}`}},
	"a schema that is text":        {`{"properties": {"a": "string", "b": {"items": "string"}, "c": null}}`, []string{`{}`, `{"a": "x"}`, `{"b": []}`, `{"b": [1]}`, `{"c": 1}`}},
	"properties that are a list":   {`{"properties": ["a"], "required": ["b"]}`, []string{`{}`}},
	"an alternative with a flaw":   {`{"properties": {"a": {"anyOf": [{"type": "string"}, {"$ref": "#/gone"}]}}}`, []string{`{"a": "x"}`, `{"a": 1}`}},
	"references through folders":   {`{"properties": {"a": {"$ref": "below/one.json"}, "b": {"$ref": "below/one.json#/definitions/name"}}}`, []string{`{"a": {"two": 1}}`, `{"a": {"two": "x"}}`, `{"b": 1}`, `{"b": "x"}`}},
	"an address of its own":        {`{"properties": {"a": {"$ref": "#named"}, "b": {"$ref": "#/$defs/y"}}, "$defs": {"x": {"$anchor": "named", "type": "string"}, "y": {"type": "integer"}}}`, []string{`{"a": 1}`, `{"a": "x"}`, `{"b": "x"}`}},
	"a pointer without its slash":  {`{"properties": {"a": {"$ref": "#$defs/x"}}, "$defs": {"x": {"type": "string"}}}`, []string{`{"a": 1}`, `{"a": "x"}`}},
	"hidden by a reference":        {`{"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {"$ref": "#/definitions/x", "minimum": 5, "title": "A"}}, "definitions": {"x": {"type": "integer"}}}`, []string{`{"a": 1}`, `{"a": "x"}`}},
	"beside a reference":           {`{"properties": {"a": {"$ref": "#/$defs/x", "minimum": 5}}, "$defs": {"x": {"type": "integer"}}}`, []string{`{"a": 1}`, `{"a": 5}`}},
	"formats":                      {`{"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {"format": "ipv4"}}}`, []string{`{"a": "x"}`}},
	"odd words for readers":        {`{"title": 1, "description": ["x"], "examples": {"a": 1}, "$comment": 1, "x-order": 3, "properties": {"a": {"title": null, "default": {"$ref": "x"}, "type": "string"}}}`, []string{`{}`, `{"a": 1}`}},
	"a part that nobody refers to": {`{"definitions": {"x": {"type": "nothing", "properties": 3}, "y": 1}, "type": "object"}`, []string{`{}`}},
	"no end":                       {`{"properties": {"a": {"$ref": "#/properties/a"}, "b": {"type": "string"}}}`, []string{`{}`, `{"a": 1}`, `{"b": 1}`}},
	"other members, half said":     {`{"properties": {"a": {"properties": {"x": {}}, "additionalProperties": "no"}, "b": {"properties": {"x": {}}, "additionalProperties": ""}}}`, []string{`{"a": {"y": 1}}`, `{"b": {"y": 1}}`, `{"b": {"x": 1}}`}},
	"dependencies":                 {`{"$schema": "http://json-schema.org/draft-07/schema#", "dependencies": {"a": ["b"], "c": {"required": ["d"]}, "e": "f"}}`, []string{`{"a": 1}`, `{"a": 1, "b": 1}`, `{"c": 1}`, `{"e": 1}`, `{"g": 1}`}},
}

// beside are the files that the schemas refer to.
var beside = map[string]string{
	"odd.json":       `{"a": `,
	"below/one.json": `{"properties": {"two": {"$ref": "two.json"}}, "definitions": {"name": {"$ref": "./two.json"}}}`,
	"below/two.json": `{"type": "string"}`,
}

// releasesOf writes a release for each schema, and returns their addresses.
func releasesOf(t *testing.T) map[string]string {
	t.Helper()
	urls := map[string]string{}
	for name, c := range flawed {
		folder := t.TempDir()
		write := func(file, text string) {
			path := filepath.Join(folder, file)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		for file, text := range beside {
			write(file, text)
		}
		write("sr.cfg.json", `{"serialisation": "xml", "software-type": {"default": {"request": "in.json"}}}`)
		write("in.json", c.document)
		urls[name] = filepath.Join(folder, "sr.cfg")
	}
	return urls
}

// verdictOf is valid, invalid, or warning when the schema couldn't be used.
func verdictOf(t *testing.T, url, parameters string) string {
	t.Helper()
	release, err := Read(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	s, err := release.Types[0].Compile(t.Context())
	if err != nil {
		return "warning " + err.Error()
	}
	switch err := s.Check(t.Context(), []byte(parameters)); {
	case err == nil:
		return "valid"
	case errors.As(err, new(Mismatch)):
		return "invalid"
	}
	return "warning"
}

// TestVerdicts compares with what the original says of the same schemas (D-34).
func TestVerdicts(t *testing.T) {
	python := testkit.Python(t)
	urls := releasesOf(t)
	var script, wants strings.Builder
	type pair struct{ name, parameters string }
	var pairs []pair
	for name, c := range flawed {
		for _, parameters := range c.parameters {
			pairs = append(pairs, pair{name, parameters})
			wants.WriteString(urls[name] + "\t" + parameters + "\n")
		}
	}
	script.WriteString(`
import json, sys, warnings
from slapos.util import SoftwareReleaseSchema, SoftwareReleaseSchemaValidationError
warnings.simplefilter("ignore")
for line in sys.stdin:
    url, parameters = line.rstrip("\n").split("\t")
    try:
        SoftwareReleaseSchema(url, None).validateInstanceParameterDict(json.loads(parameters))
        print("valid")
    except SoftwareReleaseSchemaValidationError:
        print("invalid")
    except Exception:
        print("warning")
`)
	command := exec.CommandContext(t.Context(), python, "-c", script.String())
	command.Stdin = strings.NewReader(wants.String())
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	verdicts := strings.Fields(string(out))
	if len(verdicts) != len(pairs) {
		t.Fatalf("%d verdicts for %d pairs", len(verdicts), len(pairs))
	}
	for i, pair := range pairs {
		if got := verdictOf(t, urls[pair.name], pair.parameters); got != verdicts[i] {
			t.Errorf("%s: %s is %s, the original says %s", pair.name, pair.parameters, got, verdicts[i])
		}
	}
}
