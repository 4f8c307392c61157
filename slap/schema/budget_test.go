// SPDX-License-Identifier: GPL-3.0-or-later

package schema

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

// compiled returns the schema of a release with the given text.
func compiled(t *testing.T, text string) (*Schema, error) {
	t.Helper()
	url := serve(t, map[string]string{"/sr.cfg.json": `{"software-type": {"default": {"request": "s.json"}}}`, "/s.json": text}) + "/sr.cfg"
	release, err := Read(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	schema, err := release.Types[0].Compile(t.Context())
	if err == nil {
		schema.budget.patience = testkit.Patience // steps are what counts, on a busy machine too
	}
	return schema, err
}

// doubled is a schema whose definitions refer twice to the next.
func doubled(draft, format, leaf string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"$schema": %q, "$ref": "#/definitions/a0", "definitions": {`, draft)
	for i := range 60 {
		fmt.Fprintf(&b, `"a%d": `+format+`,`, i, i+1, i+1)
	}
	return b.String() + `"a60": ` + leaf + `}}`
}

// TestBudget compares with schemas whose references multiply beyond any end
// (PROXY-183).
func TestBudget(t *testing.T) {
	const seven, twenty = "http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema"
	for _, format := range []string{
		`{"allOf": [{"$ref": "#/definitions/a%d"}, {"$ref": "#/definitions/a%d"}]}`,
		`{"anyOf": [{"$ref": "#/definitions/a%d"}, {"$ref": "#/definitions/a%d"}]}`,
		`{"oneOf": [{"$ref": "#/definitions/a%d"}, {"$ref": "#/definitions/a%d"}]}`,
		`{"not": {"dependencies": {"a": {"$ref": "#/definitions/a%d"}, "b": {"$ref": "#/definitions/a%d"}}}}`,
		`{"if": {"$ref": "#/definitions/a%d"}, "else": {"$ref": "#/definitions/a%d"}}`,
	} {
		for _, draft := range []string{seven, twenty} {
			schema, err := compiled(t, doubled(draft, format, `{"required": ["z"]}`))
			if err != nil {
				t.Errorf("%s: %v", format, err)
				continue
			}
			if err := schema.Check(t.Context(), []byte(`{"a": 1, "b": 1}`)); err != nil && !strings.Contains(err.Error(), "500000 steps") && !errors.As(err, new(Mismatch)) {
				t.Errorf("%s: %v", format, err)
			}
		}
	}
	schema, err := compiled(t, doubled(seven, `{"allOf": [{"$ref": "#/definitions/a%d"}, {"$ref": "#/definitions/a%d"}]}`, `{"minProperties": 1}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Check(t.Context(), []byte(`{}`)); err == nil || !strings.Contains(err.Error(), "more than 500000 steps") {
		t.Errorf("doubled references: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := schema.Check(ended, []byte(`{}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("a request that ended: %v", err)
	}
	// A schema's steps keep counting, and so does the next budget.
	schema, err = compiled(t, `{"properties": {"a": {"pattern": "^1[.]2[.]3[.]4$"}, "b": {"$ref": "#/definitions/c"}}, "definitions": {"c": {"enum": [1, 2]}}, "$schema": "`+seven+`"}`)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := schema.Check(t.Context(), []byte(`{"a": "1.2.3.4", "b": 2}`)); err != nil {
			t.Error(err)
		}
		var found Mismatch
		if err := schema.Check(t.Context(), []byte(`{"a": "1.2.3", "b": 3}`)); !errors.As(err, &found) || len(found) != 2 {
			t.Error(err)
		}
	}
}

// TestSchemasAreBounded has more documents, and more in them, than anybody would read.
func TestSchemasAreBounded(t *testing.T) {
	if _, err := compiled(t, `{"allOf": [`+strings.Repeat(`{"a":1},`, 20_000)+`{}]}`); err == nil || !strings.Contains(err.Error(), "more than 30000 values") {
		t.Errorf("many values: %v", err)
	}
	files := map[string]string{"/sr.cfg.json": `{"software-type": {"default": {"request": "0.json"}}}`}
	for i := range 200 {
		files[fmt.Sprintf("/%d.json", i)] = fmt.Sprintf(`{"$ref": "%d.json"}`, i+1)
	}
	release, err := Read(t.Context(), serve(t, files)+"/sr.cfg")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := release.Types[0].Compile(t.Context()); err == nil || !strings.Contains(err.Error(), "more than 100 documents") {
		t.Errorf("many documents: %v", err)
	}
}
