// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Pages are made of the macros that man knows, and text never looks like one.
func TestManual(t *testing.T) {
	e, _, _ := newTestEnvironment(t)
	macro := regexp.MustCompile(`^\.(TH|SH|PP|TP|nf|fi|BR)\b`)
	pages := newApplication(e).manual()
	if pages[0].name != "slapos" || len(pages[0].commands) != len(pages)-1 {
		t.Errorf("the first page is %s and lists %d of %d commands", pages[0].name, len(pages[0].commands), len(pages)-1)
	}
	for _, page := range pages {
		text := page.roff()
		for _, section := range []string{".SH NAME\n", ".SH SYNOPSIS\n", ".SH OPTIONS\n", ".SH EXIT STATUS\n"} {
			if !strings.Contains(text, section) {
				t.Errorf("%s has no section %q", page.name, section)
			}
		}
		for _, line := range strings.Split(text, "\n") {
			if strings.HasPrefix(line, "'") || strings.HasPrefix(line, ".") && !macro.MatchString(line) {
				t.Errorf("%s: %q would be taken for a macro", page.name, line)
			}
		}
	}
}

func TestRoffText(t *testing.T) {
	if got, want := roffText(".a-b\n'c\\d\nx.y"), "\\&.a\\-b\n\\&'c\\ed\nx.y"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// docs/commands.md has every command with every option.
func TestReference(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "commands.md"))
	if err != nil {
		t.Fatal(err)
	}
	chapters := map[string]string{}
	for _, chapter := range strings.Split(string(text), "\n## ")[1:] {
		name, rest, _ := strings.Cut(chapter, "\n")
		chapters[name] = rest
	}
	e, _, _ := newTestEnvironment(t)
	for _, page := range newApplication(e).manual() {
		for _, option := range page.options {
			if !strings.Contains(chapters[page.name], "| `"+strings.ReplaceAll(option.name, "|", `\|`)+"` |") {
				t.Errorf("docs/commands.md lacks %s of %s: run make docs", option.name, page.name)
			}
		}
		delete(chapters, page.name)
	}
	for name := range chapters {
		t.Errorf("docs/commands.md has %s, which there is not: run make docs", name)
	}
}
