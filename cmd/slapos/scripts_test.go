// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every command is run by a script of testdata/script, or typed by a test.
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
	// Some need more than a script can have: a test of this package types them.
	paths, err = filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var tests strings.Builder
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		tests.Write(text)
	}
	e, _, _ := newTestEnvironment(t)
	for _, name := range newApplication(e).names() {
		run := regexp.MustCompile(`slapos( -[-=\w]+)* ` + regexp.QuoteMeta(name) + `( |\n)`)
		group, last, _ := strings.Cut(name, " ")
		typed := regexp.MustCompile(`"` + group + `", "` + last + `"|\.` + group + `\(\d, "` + last + `"`)
		if !run.MatchString(scripts.String()) && !typed.MatchString(tests.String()) {
			t.Errorf("no script and no test runs slapos %s", name)
		}
	}
}
