// SPDX-License-Identifier: GPL-3.0-or-later

package docs_test

import (
	"bytes"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A mutation takes a security check out of the program: a line of a file of the
// repository is replaced, and the test must fail.
type mutation struct {
	check    string // as its row in security.md begins
	file     string
	test     string // the function that must fail, in the package of file or in the one before the dot
	old, new string // old is there once
}

// mutations are the security checks of the program, in the order of security.md.
var mutations = slices.Concat(cacheMutations, slapMutations, confinedMutations, gridMutations, runMutations, serveMutations, joiningMutations, connectionMutations, commandMutations)

// TestSecurityTable holds security.md against the mutations: each check has a
// row, each row's test exists, and the code that a mutation replaces is there.
func TestSecurityTable(t *testing.T) {
	page, err := os.ReadFile("security.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{} // check → test
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|]+) \| [^|]+ \| `+"`([^`]+)`"+` \|$`).FindAllStringSubmatch(string(page), -1) {
		if _, found := rows[row[1]]; found {
			t.Errorf("security.md has two rows for %q", row[1])
		}
		rows[row[1]] = row[2]
	}
	for _, m := range mutations {
		switch test, found := rows[m.check]; {
		case !found:
			t.Errorf("security.md has no row for %q, or two mutations are of that name", m.check)
		case test != m.test:
			t.Errorf("%s: security.md names the test %s, the mutation %s", m.check, test, m.test)
		}
		delete(rows, m.check)
		if _, err := parser.ParseFile(token.NewFileSet(), m.file, m.apply(t), parser.SkipObjectResolution); err != nil {
			t.Errorf("%s: without it the file is no Go: %v", m.check, err)
		}
		directory, function := m.place()
		files, err := filepath.Glob(filepath.Join("..", directory, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(contents(t, files), "\nfunc "+function+"(") {
			t.Errorf("%s: there is no test %s in %s", m.check, function, directory)
		}
	}
	for check := range rows {
		t.Errorf("no mutation takes out %q", check)
	}
}

// apply is the content of the file without the check.
func (m mutation) apply(t *testing.T) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", m.file))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(content, []byte(m.old)); n != 1 {
		t.Fatalf("%s: %s has %d times %q, want once", m.check, m.file, n, m.old)
	}
	return bytes.Replace(content, []byte(m.old), []byte(m.new), 1)
}

// place is the directory and the name of the test.
func (m mutation) place() (directory, function string) {
	if at := strings.LastIndex(m.test, "."); at >= 0 {
		return m.test[:at], m.test[at+1:]
	}
	return filepath.Dir(m.file), m.test
}

func contents(t *testing.T, files []string) string {
	t.Helper()
	var all strings.Builder
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(content)
	}
	return all.String()
}
