// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every command is run by a script of testdata/script, or its name or the first
// word of it is that of a test file.
func TestEveryCommandHasAScript(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("testdata", "script", "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var scripts strings.Builder
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		scripts.Write(text)
	}
	e, _, _ := newTestEnvironment(t)
	for _, name := range newApplication(e).names() {
		run := regexp.MustCompile(`slapos( -[-=\w]+)* ` + regexp.QuoteMeta(name) + `( |\n)`)
		group, _, _ := strings.Cut(name, " ")
		tested := exists(strings.ReplaceAll(name, " ", "_")+"_test.go") || exists(group+"_test.go")
		if !tested && !run.MatchString(scripts.String()) {
			t.Errorf("no script runs slapos %s", name)
		}
	}
}
