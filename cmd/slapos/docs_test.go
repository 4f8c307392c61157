// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"slapos/cmd/slapos/argv"
	"slapos/cmd/slapos/check"
	"slapos/slap/testkit"
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
		if !slices.Contains(check.Keys[rule.section], rule.name) {
			t.Errorf("configure check says that nobody reads the key %s of section [%s]", rule.name, rule.section)
		}
	}
	for section, keys := range check.Keys {
		for _, key := range keys {
			key = strings.Replace(key, "only_", "only-", 1) // "also with an underscore"
			if !regexp.MustCompile("[`\\[ ]" + regexp.QuoteMeta(key) + "`").MatchString(text) {
				t.Errorf("docs/configuration.md and the pages of sections say nothing of the key %s of section [%s]", key, section)
			}
		}
	}
}

// slapos configure check knows every key of the examples.
func TestKeysOfExamples(t *testing.T) {
	for name, example := range map[string]string{
		"node": nodeExample, "proxy": proxyExample, "client": clientExample,
		"package's node":  testkit.ReadFile(t, "../../docs/packaging/etc/slapos.cfg.example"),
		"package's proxy": testkit.ReadFile(t, "../../docs/packaging/etc/slapos-proxy.cfg.example"),
	} {
		section := ""
		line := regexp.MustCompile(`(?m)^#?(?:\[([^\]]+)\]|([a-z][\w-]*) =)`)
		for _, m := range line.FindAllStringSubmatch(example, -1) {
			if m[1] != "" {
				section = strings.TrimPrefix(m[1], "disabled-")
				continue
			}
			if keys, known := check.Known(section); known != !strings.HasPrefix(section, "manager:") || known && !slices.Contains(keys, m[2]) {
				t.Errorf("configure check says that nobody reads the key %s of section [%s], which the %s example has", m[2], section, name)
			}
		}
	}
}
