// SPDX-License-Identifier: GPL-3.0-or-later

package schema

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// A program that validates nothing pays nothing for the metaschemas.
func TestMetaschemasAreCompiledWhenNeeded(t *testing.T) {
	program := exec.Command(os.Args[0], "-test.run=^$")
	program.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	trace, err := program.CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`init github.com/santhosh-tekuri/jsonschema/v6 .* (\d+) allocs`).FindSubmatch(trace)
	if line == nil {
		t.Fatalf("the trace names no start of the library:\n%s", trace)
	}
	if allocations, _ := strconv.Atoi(string(line[1])); allocations > 1000 {
		t.Errorf("%d allocations at the start: the metaschemas are compiled at once", allocations)
	}
}

// The first compiler of each draft knows its metaschema.
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
