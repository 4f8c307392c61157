// SPDX-License-Identifier: GPL-3.0-or-later

package schema

import (
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Schemas of every draft are checked against its metaschema.
func TestEveryDraftChecksSchemas(t *testing.T) {
	for _, draft := range []*jsonschema.Draft{jsonschema.Draft4, jsonschema.Draft6, jsonschema.Draft7,
		jsonschema.Draft2019, jsonschema.Draft2020} {
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(
			`{"$schema": "` + draft.String() + `", "properties": {"port": {"type": "no such type"}}}`))
		if err != nil {
			t.Fatal(err)
		}
		compiler := jsonschema.NewCompiler()
		if err := compiler.AddResource("file:///schema.json", document); err != nil {
			t.Fatal(err)
		}
		if _, err := compiler.Compile("file:///schema.json"); err == nil {
			t.Errorf("%s: a wrong type is taken", draft)
		}
	}
}
