// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"slapos/cmd/slapos/argv"
)

// documents are the pages of docs by their names, and the README.
func documents(t *testing.T) map[string]string {
	t.Helper()
	root := filepath.Join("..", "..")
	paths, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{}
	for _, path := range append(paths, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name, _ := filepath.Rel(root, path)
		pages[name] = string(text)
	}
	return pages
}

// Commands that the documentation shows can be typed: the words are those of a
// command that there is, with options that it has.
func TestCommandsInDocuments(t *testing.T) {
	e, _, _ := newTestEnvironment(t)
	known := newApplication(e).commands
	end := regexp.MustCompile(`\s*(;|&&|\|\||\||>|<|#|\s&$).*`)
	for page, text := range documents(t) {
		if page == filepath.Join("docs", "commands.md") { // shows usage lines
			continue
		}
		for _, line := range strings.Split(text, "\n") {
			command, found := strings.CutPrefix(line, "    slapos ")
			if !found {
				continue
			}
			command = end.ReplaceAllString(command, "")
			_, err := argv.Read(known, e.global.flags(), strings.Fields(command))
			if err != nil && !strings.Contains(command, "...") && !strings.Contains(command, "|") {
				t.Errorf("%s shows slapos %s: %v", page, command, err)
			}
		}
	}
}

// Pages link to files that there are.
func TestLinksInDocuments(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	for page, text := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			path := filepath.Join("..", "..", filepath.Dir(page), m[1])
			if !exists(path) {
				t.Errorf("%s links to %s, which there is not", page, m[1])
			}
		}
	}
}

// docs/configuration.md tells of every key in the examples; it, or a page of a
// section that it names, of every key with a rule.
func TestKeysInDocuments(t *testing.T) {
	text := documents(t)[filepath.Join("docs", "configuration.md")]
	key := regexp.MustCompile(`(?m)^#?([a-z][\w-]*) =`)
	for _, example := range []string{nodeExample, proxyExample, clientExample} {
		for _, m := range key.FindAllStringSubmatch(example, -1) {
			if !strings.Contains(text, "`"+m[1]+"`") {
				t.Errorf("docs/configuration.md says nothing of the key %s", m[1])
			}
		}
	}
	for _, page := range []string{"format.md", "proxy.md", "networkcache.md", "collect.md"} {
		text += documents(t)[filepath.Join("docs", page)]
	}
	for _, rule := range keyRules {
		if !strings.Contains(text, "`"+rule.name+"`") {
			t.Errorf("docs/configuration.md and the pages of sections say nothing of the key %s", rule.name)
		}
	}
}
