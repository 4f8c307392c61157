// SPDX-License-Identifier: GPL-3.0-or-later

package docs_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const areas = "CLI|COL|FMT|GRID|MGR|NC|PROM|PROXY|SLAP|D"

var (
	// A number defines its rule where it stands first: row, heading, paragraph.
	definition = regexp.MustCompile(`(?m)^(?:\| (?:\*\*)?|#+ (?:[^\n]*?[( ])??|\*\*|)((?:` + areas + `)-[0-9]+)\b`)
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
		if filepath.Base(name) == "README.md" {
			continue // it shows the forms of numbers
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
