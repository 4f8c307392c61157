// SPDX-License-Identifier: GPL-3.0-or-later

package docs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	here  = regexp.MustCompile(`^(done|changed|dropped)\b`)
	named = regexp.MustCompile("^`([^`]+)`$")
)

// TestHistory holds docs/history.md to its form: each row has four columns, says
// what became of its capability, and names tests that exist.
func TestHistory(t *testing.T) {
	text, err := os.ReadFile("history.md")
	if err != nil {
		t.Fatal(err)
	}
	rows, faults := faultsOfHistory(string(text), testsOfRepository(t))
	for _, fault := range faults {
		t.Error("history.md:" + fault)
	}
	if rows < 400 {
		t.Errorf("only %d rows", rows)
	}
}

// faultsOfHistory counts the rows of the page's tables, and finds what is wrong with them.
func faultsOfHistory(text string, tests map[string]bool) (rows int, faults []string) {
	inTable := false
	for i, line := range strings.Split(text, "\n") {
		fault := func(format string, arguments ...any) {
			faults = append(faults, fmt.Sprintf("%d: ", i+1)+fmt.Sprintf(format, arguments...))
		}
		if !strings.HasPrefix(line, "|") {
			inTable = false
			continue
		}
		if !inTable || strings.HasPrefix(line, "|---") {
			if !inTable && line != "| since | capability | here | test |" {
				fault("%s: a table has the columns since, capability, here, test", line)
			}
			inTable = true
			continue
		}
		rows++
		cells := strings.Split(strings.TrimSuffix(strings.TrimPrefix(line, "| "), " |"), " | ")
		if len(cells) != 4 {
			fault("%d columns, want 4", len(cells))
			continue
		}
		for _, cell := range cells {
			if cell == "" || cell != strings.TrimSpace(cell) {
				fault("the cell %q is empty or has spaces around it", cell)
			}
		}
		became := here.FindString(cells[2])
		if became == "" {
			fault("%q says neither done, changed nor dropped", cells[2])
		}
		if cells[3] == "–" {
			if became != "dropped" {
				fault("%q is %s, but names no test", cells[1], became)
			}
			continue
		}
		for _, cell := range strings.Split(cells[3], ", ") {
			if name := named.FindStringSubmatch(cell); name == nil {
				fault("%s is no name of a test", cell)
			} else if !tests[testOf(name[1])] {
				fault("there is no test %s: name the one that shows %q", name[1], cells[1])
			}
		}
	}
	return rows, faults
}

// testOf is the test that a name means: of a sub-test, the one it belongs to.
func testOf(name string) string {
	if at := strings.Index(name, ".Test"); at >= 0 {
		if end := strings.IndexByte(name[at:], '/'); end >= 0 {
			return name[:at+end]
		}
	}
	return name
}

// testsOfRepository are the names of all tests: package.TestName with the path of
// the package's directory, script/name for those of cmd/slapos.
func testsOfRepository(t *testing.T) map[string]bool {
	t.Helper()
	tests := map[string]bool{}
	for directory, files := range testFiles(t) {
		for _, path := range files {
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, declaration := range file.Decls {
				function, ok := declaration.(*ast.FuncDecl)
				if ok && function.Recv == nil && function.Name.Name != "TestMain" && strings.HasPrefix(function.Name.Name, "Test") {
					tests[strings.TrimPrefix(filepath.ToSlash(directory), "../")+"."+function.Name.Name] = true
				}
			}
		}
	}
	scripts, err := filepath.Glob("../cmd/slapos/testdata/script/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range scripts {
		tests["script/"+strings.TrimSuffix(filepath.Base(path), ".txt")] = true
	}
	return tests
}

// TestHistoryRules shows that a row which names no test, or one of another name, is found.
func TestHistoryRules(t *testing.T) {
	tests := map[string]bool{"grid.TestPass": true, "grid/buildout.TestRun": true, "script/usage": true}
	const head = "text\n\n| since | capability | here | test |\n|---|---|---|---|\n"
	for row, want := range map[string]string{
		"| 1.0 | a | done | `grid.TestPass` |":                                          "",
		"| 1.0 | a | changed: b | `grid/buildout.TestRun/sub.test`, `script/usage` |":   "",
		"| 1.0 | a | dropped: b | – |":                                                  "",
		"| 1.0 | a | dropped: b | `script/usage` |":                                     "",
		"| 1.0 | a | done | – |":                                                        "names no test",
		"| 1.0 | a | changed: b | – |":                                                  "names no test",
		"| 1.0 | a | done | |":                                                          "columns",
		"| 1.0 | a | done |  |":                                                         "empty",
		"| 1.0 | a | done |":                                                            "columns",
		"| 1.0 | a | doing | `grid.TestPass` |":                                         "neither",
		"| 1.0 | a | donee | `grid.TestPass` |":                                         "neither",
		"| 1.0 | a | done | grid.TestPass |":                                            "no name",
		"| 1.0 | a | done | `grid.TestPasses` |":                                        "no test",
		"| 1.0 | a | done | `buildout.TestRun` |":                                       "no test",
		"| 1.0 | a | done | `grid.TestPass`, `script/used` |":                           "no test",
		"| 1.0 | a | dropped: b | `grid.TestGone` |":                                    "no test",
		"\n| since | capability | test |\n|---|---|---|\n| 1.0 | a | `grid.TestPass` |": "has the columns",
	} {
		_, faults := faultsOfHistory(head+row+"\n", tests)
		if want == "" && len(faults) > 0 || want != "" && !slices.ContainsFunc(faults, func(fault string) bool { return strings.Contains(fault, want) }) {
			t.Errorf("%s: found %q, want %q", row, faults, want)
		}
	}
}
