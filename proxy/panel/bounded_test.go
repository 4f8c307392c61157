// SPDX-License-Identifier: GPL-3.0-or-later

package panel

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// TestFormsAreBounded makes forms of schemas that say one long thing for many
// fields, or have many alternatives (PROXY-183).
func TestFormsAreBounded(t *testing.T) {
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(strings.ReplaceAll(format, "%d", fmt.Sprint(i)))
		}
		return b.String()
	}
	fields := `{"properties": {` + many(3000, `"p%d": {"$ref": "#/definitions/d"}`) + `}, "definitions": {"d": `
	long := strings.Repeat("x", 1<<20)
	for name, text := range map[string]string{
		"a long description": fields + `{"type": "string", "title": "` + long + `", "description": "` + long + `"}}}`,
		"a long default":     fields + `{"type": "string", "default": "` + long + `", "examples": ["` + long + `"]}}}`,
		"many constants":     fields + `{"enum": [` + many(5000, `"value %d"`) + `]}}}`,
		"a long constant":    fields + `{"enum": ["` + long + `", 1]}}}`,
		"many alternatives":  fields + `{"oneOf": [` + many(2000, `{"type": "object", "properties": {"a%d": {"type": "object"}}}`) + `]}}}`,
		"a long name":        fields + `{"properties": {"` + long + `": {"type": "string"}}}}}`,
		"a tree":             fields + `{"properties": {` + many(20, `"p%d": {"$ref": "#/definitions/d"}`) + `}}}}`,
		"nested choices":     fields + `{"oneOf": [` + many(9, `{"oneOf": [{"$ref": "#/definitions/d"}, {"const": %d}]}`) + `]}}}`,
		"many lists":         fields + `{"type": "array", "items": {"type": "array", "items": {"$ref": "#/definitions/d"}}}}}`,
		"many tables":        fields + `{"patternProperties": {` + many(300, `"^%d": {"$ref": "#/definitions/d"}`) + `}}}}`,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), fieldsTimeout)
		b := builder{ctx: ctx, schema: schemaOf(t, text), answers: answers{values: map[string]any{"p0": map[string]any{"p1": "x"}, "other": "y"}}}
		found, others := b.all()
		cancel()
		if size := sizeOf(found); size > 2*mostText {
			t.Errorf("%s: %d bytes", name, size)
		}
		if others["other"] != "y" {
			t.Errorf("%s: values are lost", name)
		}
	}
}

// sizeOf is about how long fields are on a page.
func sizeOf(fields []field) (size int) {
	for _, f := range fields {
		size += ownText + len(f.Label) + len(f.Called) + len(f.Help) + len(f.Default) + len(f.Examples) + len(f.Value) + len(f.Name) + len(f.Path) + sizeOf(f.Fields)
		for _, c := range f.Choices {
			size += len(c.Value) + len(c.Label)
		}
	}
	return size
}
