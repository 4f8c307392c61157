// SPDX-License-Identifier: GPL-3.0-or-later

package docs_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const areas = "AGENT|CLI|COL|FMT|GRID|MGR|NC|PROM|PROXY|SLAP|D"

var (
	// A number defines its rule where it stands first: row, heading, paragraph.
	definition = regexp.MustCompile(`(?m)^(?:\| (?:\*\*)?|#+ (?:[^\n]*?[( ])??|\*\*|)((?:` + areas + `)-[0-9]+)\b`)
	// A row of docs/spec/untested.md.
	untestedRow = regexp.MustCompile(`(?m)^\| ((?:` + areas + `)-[0-9]+) \|([^\n]*)\|$`)
	// What cites: one number, then more by comma, "and", slash, or as the end of a range.
	citation = regexp.MustCompile(`(?:^|[^A-Za-z0-9_-])(` + areas + `)-([0-9]+)(?:(?:\.\.| to )(?:(` + areas + `)-)?([0-9]+))?\b`)
)

// definedNumbers are those that a page of the specification defines, each with its page.
func definedNumbers(pages map[string][]byte) map[string]string {
	defined := map[string]string{}
	for page, text := range pages {
		for _, match := range definition.FindAllSubmatch(text, -1) {
			defined[string(match[1])] = page
		}
	}
	return defined
}

// citedNumbers are those that a text cites. Of a range, both ends, and what is defined between them.
func citedNumbers(text []byte, defined map[string]string) []string {
	var cited []string
	for _, match := range citation.FindAllSubmatch(text, -1) {
		area := string(match[1])
		cited = append(cited, area+"-"+string(match[2]))
		if len(match[4]) == 0 || (len(match[3]) > 0 && string(match[3]) != area) {
			continue
		}
		first, _ := strconv.Atoi(string(match[2]))
		last, _ := strconv.Atoi(string(match[4]))
		cited = append(cited, area+"-"+string(match[4]))
		for number := first + 1; number < last; number++ {
			if name := fmt.Sprintf("%s-%d", area, number); defined[name] != "" {
				cited = append(cited, name)
			}
		}
	}
	return cited
}

// specification reads the pages of docs/spec.
func specification(t *testing.T) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("spec/*.md")
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string][]byte{}
	for _, name := range names {
		switch filepath.Base(name) {
		case "README.md", "untested.md":
			continue // they show the forms of numbers, and rules that stand elsewhere
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		pages[name] = text
	}
	return pages
}

// textsOfRepository calls read with each text file but docs/spec/README.md and this file.
func textsOfRepository(t *testing.T, read func(path string, text []byte)) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := entry.Name(); entry.IsDir() && (name == ".git" || name == "bin" || name == "var") {
			return fs.SkipDir
		}
		switch path {
		case "../docs/spec/README.md", "../docs/spec_test.go":
			return nil
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(path)
		if err == nil && !bytes.ContainsRune(text[:min(len(text), 8000)], 0) {
			read(path, text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Every number that anything in the repository cites is defined by the specification.
func TestSpecificationHasWhatIsCited(t *testing.T) {
	defined := definedNumbers(specification(t))
	places := map[string][]string{}
	textsOfRepository(t, func(path string, text []byte) {
		for _, number := range citedNumbers(text, defined) {
			if !slices.Contains(places[number], path) {
				places[number] = append(places[number], path)
			}
		}
	})
	outside := 0
	for number, paths := range places {
		if defined[number] == "" {
			t.Errorf("%s is cited, but not defined in docs/spec: %s", number, strings.Join(paths, ", "))
		}
		if slices.ContainsFunc(paths, func(path string) bool { return !strings.HasPrefix(path, "../docs/spec/") }) {
			outside++
		}
	}
	t.Logf("%d numbers defined, %d cited outside the specification", len(defined), outside)
	if len(defined) < 600 || outside < 400 {
		t.Errorf("too few: %d defined, %d cited", len(defined), outside)
	}
}

// untestedNumbers are the rows of docs/spec/untested.md: numbers, each with its reason.
func untestedNumbers(text []byte) (map[string]string, error) {
	reasons := map[string]string{}
	for _, match := range untestedRow.FindAllSubmatch(text, -1) {
		number, reason := string(match[1]), strings.TrimSpace(string(match[2]))
		if _, twice := reasons[number]; twice {
			return nil, fmt.Errorf("%s stands twice", number)
		}
		if len(strings.Fields(reason)) < 3 {
			return nil, fmt.Errorf("%s has no reason: %q", number, reason)
		}
		reasons[number] = reason
	}
	return reasons, nil
}

// isTest says whether a file can show that a rule holds.
func isTest(path string) bool {
	return strings.HasSuffix(path, "_test.go") ||
		strings.HasPrefix(path, "../cmd/slapos/testdata/script/") && strings.HasSuffix(path, ".txt")
}

// Every number of the specification is cited by a test, or stands in docs/spec/untested.md with the reason why none does.
func TestSpecificationIsTested(t *testing.T) {
	defined := definedNumbers(specification(t))
	text, err := os.ReadFile("spec/untested.md")
	if err != nil {
		t.Fatal(err)
	}
	untested, err := untestedNumbers(text)
	if err != nil {
		t.Fatalf("spec/untested.md: %v", err)
	}
	tests := map[string][]string{}
	textsOfRepository(t, func(path string, text []byte) {
		if !isTest(path) {
			return
		}
		for _, number := range citedNumbers(text, defined) {
			if !slices.Contains(tests[number], path) {
				tests[number] = append(tests[number], path)
			}
		}
	})
	shown := 0
	for _, number := range slices.Sorted(maps.Keys(defined)) {
		_, listed := untested[number]
		switch {
		case len(tests[number]) > 0 && listed:
			t.Errorf("%s is cited by %s: take it off spec/untested.md", number, strings.Join(tests[number], ", "))
		case len(tests[number]) == 0 && !listed:
			t.Errorf("%s (%s) is cited by no test: cite it at the test that shows it, or give the reason in spec/untested.md", number, defined[number])
		case !listed:
			shown++
		}
	}
	for number := range untested {
		if defined[number] == "" {
			t.Errorf("%s stands in spec/untested.md, but docs/spec doesn't define it", number)
		}
	}
	t.Logf("%d numbers: %d cited by tests, %d untested with reasons", len(defined), shown, len(untested))
}

// The list of untested rules is read with its reasons; a row without one, or that stands twice, is refused.
func TestSpecificationUntested(t *testing.T) {
	got, err := untestedNumbers([]byte("| number | reason |\n|---|---|\n| CLI-1 | no test can do it |\n| D-2 | told by NC-3 alone |\n"))
	want := map[string]string{"CLI-1": "no test can do it", "D-2": "told by NC-3 alone"}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{"| CLI-1 |  |\n", "| CLI-1 | - |\n", "| D-2 | not built yet |\n| D-2 | not built yet |\n"} {
		if got, err := untestedNumbers([]byte(text)); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
	for path, want := range map[string]bool{
		"../grid/pass/pass_test.go": true, "../cmd/slapos/testdata/script/request.txt": true,
		"../grid/pass/pass.go": false, "../docs/spec/cli.md": false, "../promise/testdata/script/a.txt": false,
	} {
		if isTest(path) != want {
			t.Errorf("isTest(%q) is not %v", path, want)
		}
	}
}

// The reading of numbers finds each form of a definition and of a citation, and so what is missing.
func TestSpecificationNumbers(t *testing.T) {
	defined := definedNumbers(map[string][]byte{"page": []byte("| CLI-1 | a, as CLI-8 |\n| **NC-89** | e |\n### CLI-2 Options (after CLI-8)\n" +
		"## Database (CLI-3; text)\n**NC-90** b\nNC-91. c\nNC-92: d\nsee NC-93\n")})
	for number, want := range map[string]bool{
		"CLI-1": true, "CLI-2": true, "CLI-3": true, "NC-89": true, "NC-90": true, "NC-91": true, "NC-92": true,
		"CLI-8": false, "NC-93": false,
	} {
		if got := defined[number] != ""; got != want {
			t.Errorf("%s: defined is %v, want %v", number, got, want)
		}
	}
	for text, want := range map[string][]string{
		"// CLI-1":                  {"CLI-1"},
		"(CLI-1, CLI-5)":            {"CLI-1", "CLI-5"},
		"CLI-1/CLI-2 and D-3":       {"CLI-1", "CLI-2", "D-3"},
		"NC-90..92":                 {"NC-90", "NC-92", "NC-91"},
		"NC-90 to NC-95":            {"NC-90", "NC-95", "NC-91", "NC-92"},
		"NC-90 to 92":               {"NC-90", "NC-92", "NC-91"},
		"SYNC-1, X-D-2, NC-x, aD-3": nil,
	} {
		if got := citedNumbers([]byte(text), defined); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
