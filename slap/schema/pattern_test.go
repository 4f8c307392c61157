// SPDX-License-Identifier: GPL-3.0-or-later

package schema

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestPatternsAreBounded compares with patterns that would take minutes and
// gigabytes (PROXY-183).
func TestPatternsAreBounded(t *testing.T) {
	const seven = "http://json-schema.org/draft-07/schema#"
	for name, pattern := range map[string]string{
		"long":     strings.Repeat("(x|y?)", 1000),
		"repeated": strings.Repeat("(a?){1000}", 20),
	} {
		for _, format := range []string{`{"pattern": %q}`, `{"patternProperties": {%q: {}}}`} {
			if s, err := compiled(t, fmt.Sprintf(format, pattern)); err != nil || len(s.Flaws) != 1 {
				t.Errorf("%s: %s is taken: %v", name, format, err)
			}
		}
	}
	const slow = `(a{0,10}){0,100}b$`
	long := strings.Repeat("a", 4<<20)
	for schema, value := range map[string]string{
		`{"pattern": "` + slow + `"}`:                 `"` + long + `"`,
		`{"patternProperties": {"` + slow + `": {}}}`: `{"` + long + `": 1}`,
		doubled(seven, `{"pattern": "a", "allOf": [{"$ref": "#/definitions/a%d"}, {"$ref": "#/definitions/a%d"}]}`, `{"pattern": "a"}`): `"a"`,
	} {
		compiled, err := compiled(t, schema)
		if err != nil {
			t.Fatal(err)
		}
		if err := compiled.Check(t.Context(), []byte(value)); err == nil || !strings.Contains(err.Error(), "more than 500000 steps") {
			t.Errorf("%.100s: %v", schema, err)
		}
	}
	compiled, err := compiled(t, `{"$schema": "`+seven+`", "properties": {"a": {"pattern": "^[a-z]{3,20}$"}, "b": {"pattern": "^.x.$"}}}`)
	if err != nil {
		t.Fatal(err)
	}
	if err := compiled.Check(t.Context(), []byte(`{"a": "abcd", "b": "^x$"}`)); err != nil {
		t.Error(err)
	}
	for _, wrong := range []string{"(", strings.Repeat("x?", 2000)} {
		var found Mismatch
		if err := compiled.Check(t.Context(), []byte(`{"a": "ab", "b": "`+wrong+`"}`)); !errors.As(err, &found) || len(found) != 2 {
			t.Errorf("%.10s: %v", wrong, err)
		}
	}
}

// TestMismatchesAreBounded has many values, each wrong in a way that takes many
// words (PROXY-183).
func TestMismatchesAreBounded(t *testing.T) {
	const seven = "http://json-schema.org/draft-07/schema#"
	long := strings.Repeat("z", 100_000)
	numbers := `[` + strings.Repeat("1,", 5000) + `1]`
	text := `"` + long + `"`
	all := func(schema string) string {
		return `{"$schema": "` + seven + `", "allOf": [` + strings.Repeat(schema+",", 200) + `true]}`
	}
	for name, c := range map[string]struct{ schema, value string }{
		"enum":       {`{"items": {"enum": [` + text + `, 2]}}`, numbers},
		"const":      {`{"items": {"const": ` + text + `}}`, numbers},
		"required":   {`{"items": {"type": "object", "required": [` + text + `]}}`, `[` + strings.Repeat("{},", 5000) + `{}]`},
		"pattern":    {all(`{"pattern": "x"}`), text},
		"name":       {all(`{"additionalProperties": false}`), `{` + text + `: 1}`},
		"names":      {all(`{"propertyNames": {"maxLength": 1}}`), `{` + text + `: 1}`},
		"place":      {`{"additionalProperties": {"items": {"type": "string"}}}`, `{` + text + `: ` + numbers + `}`},
		"dependency": {all(`{"dependencies": {` + `"a": ["` + long[:200] + `"]}}`), `{"a": 1}`},
	} {
		compiled, err := compiled(t, c.schema)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var found Mismatch
		if err := compiled.Check(t.Context(), []byte(c.value)); !errors.As(err, &found) || len(found) == 0 {
			t.Errorf("%s: %.200v", name, err)
		}
		if n := len(found.Error()); n > 1000*(maximumText+200) {
			t.Errorf("%s: %d lines of %d bytes", name, len(found), n)
		}
	}
}

// TestPointersAreBounded has long names inside long names, from which gigabytes
// would be made: by the library, and in looking for anchors where nothing refers to.
func TestPointersAreBounded(t *testing.T) {
	name := `{"properties": {"` + strings.Repeat("k", 8000) + `": `
	long := strings.Repeat(name, 60) + `{}` + strings.Repeat("}}", 60)
	for place, text := range map[string]string{"the schema": long, "definitions that nothing uses": `{"definitions": {"unused": ` + long + `}}`} {
		if _, err := compiled(t, text); err == nil || !strings.Contains(err.Error(), "too long") {
			t.Errorf("%s: %v", place, err)
		}
	}
}
