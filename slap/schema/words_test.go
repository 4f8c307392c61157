// SPDX-License-Identifier: GPL-3.0-or-later

package schema

import (
	"errors"
	"strings"
	"testing"
)

// TestMessages reads what people are told of parameters that don't fit.
func TestMessages(t *testing.T) {
	const kinds = `{"oneOf": [
		{"title": "Directory", "type": "object", "required": ["kind", "path"], "properties": {"kind": {"const": "directory"}, "path": {"type": "string"}}},
		{"title": "Bucket", "type": "object", "required": ["kind", "url"], "properties": {"kind": {"const": "bucket"}, "url": {"type": "string"}}}]}`
	for _, c := range []struct{ schema, value, want string }{
		{`{"type": "integer", "minimum": 1024}`, `80`, "a must be at least 1024"},
		{`{"type": ["null", "number"]}`, `"x"`, "a must be a number or null"},
		{`{"enum": ["true", "false", "on", "5", "", " x"]}`, `true`, `a must be one of "true", "false", on, "5", empty, " x"`},
		{`{"const": "1"}`, `1`, `a must be "1"`},
		{kinds, `{"kind": "tape"}`, "a.kind must be one of directory, bucket"},
		{kinds, `{}`, "a.kind is required"},
		{kinds, `{"kind": "bucket"}`, "a.url is required"},
		{`{"oneOf": [{"title": "One", "required": ["x"]}, {"title": "Two", "required": ["y", "z"]}]}`, `{}`, "a fits none of the alternatives; the closest is One: a.x is required"},
		{`{"oneOf": [{"required": ["x"]}, {"required": ["y", "z"]}]}`, `{}`, "a fits none of the alternatives; in the closest: a.x is required"},
		{`{"oneOf": [{"$ref": "#/definitions/one"}, {"required": ["y", "z"]}]}`, `{}`, "a fits none of the alternatives; the closest is First: a.x is required"},
		{`{"anyOf": [{"oneOf": [{"title": "One", "required": ["x"]}, {"required": ["w", "v"]}]}, {"required": ["y", "z"]}]}`, `{}`, "a fits none of the alternatives; in the closest: a.x is required"},
		{`{"oneOf": [{"title": "One", "type": "string"}, {"title": "Two", "minLength": 1}]}`, `"x"`, "a fits more than one of the alternatives: One, Two"},
		{`{"oneOf": [{"type": "string"}, {"title": "Two", "minLength": 1}]}`, `"x"`, "a fits more than one of the alternatives"},
		{`{"properties": {"b c": {"type": "string"}}}`, `{"b c": 1}`, `"a.b c" must be text`},
		{`{"additionalProperties": false}`, `{"b": 1}`, "a.b is not a parameter of this software type"},
		{`{"dependentRequired": {"b": ["c"]}}`, `{"b": 1}`, "a.c is required together with b"},
		{`{"pattern": "^https?://"}`, `"x"`, "a must begin with http:// or https://"},
		{`{"pattern": "^(http|https|ftp)://.+"}`, `"x"`, "a must begin with http://, https:// or ftp://"},
		{`{"pattern": "^$|^/.*"}`, `"x"`, "a must be empty or begin with /"},
		{`{"pattern": "^([Yy]([Ee][Ss])?|1|[Nn]([Oo])?)$"}`, `"x"`, "a must be y, yes, 1, n or no, in small or capital letters"},
		{`{"pattern": "^(?i:on|off)$"}`, `"x"`, "a must be on or off, in small or capital letters"},
		{`{"pattern": "^\\S+$"}`, `"x y"`, "a must be one word, without blanks"},
		{`{"pattern": "^[0-9]+$"}`, `"x"`, "a must have digits only"},
		{`{"pattern": "^[a-z]+@[a-z]+$"}`, `"x"`, "a must match the pattern ^[a-z]+@[a-z]+$"},
		{`{"pattern": "^[a-z]+@[a-z]+$", "examples": ["me@here"]}`, `"x"`, "a must match the pattern ^[a-z]+@[a-z]+$, such as me@here"},
		{`{"pattern": "https?:"}`, `"x"`, "a must match the pattern https?:"},
		{`{"pattern": "^[a-z]{2}$"}`, `"x"`, "a must match the pattern ^[a-z]{2}$"},
		{`{"pattern": "^(?!-)x"}`, `"y"`, "a must match the pattern ^(?!-)x"},
		{`{"pattern": "^` + strings.Repeat("a?", 90) + `$"}`, `"y"`, "a must match the pattern ^" + strings.Repeat("a?", 90) + "$"}, // in many ways
		{`{"pattern": "^.*x"}`, `"y"`, "a must match the pattern ^.*x"},
	} {
		s, err := compiled(t, `{"$schema": "https://json-schema.org/draft/2020-12/schema", "properties": {"a": `+c.schema+`}, "definitions": {"one": {"title": "First", "required": ["x"]}}}`)
		if err != nil {
			t.Fatal(err)
		}
		var found Mismatch
		if err := s.Check(t.Context(), []byte(`{"a": `+c.value+`}`)); !errors.As(err, &found) || found.Error() != c.want {
			t.Errorf("%s, %s:\n%v\nwant\n%s", c.schema, c.value, err, c.want)
		}
	}
}
