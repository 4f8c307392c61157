// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"slapos/cmd/slapos/pytext"
	"slapos/slap/testkit"
)

// packagedExample reads an example of the packages, as it is and with every key in force.
func packagedExample(t *testing.T, name string) (plain, full *pytext.Configuration, text string) {
	t.Helper()
	path := filepath.Join("../../docs/packaging/etc", name)
	text = testkit.ReadFile(t, path)
	plain, err := pytext.ParseConfiguration(path, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	uncommented := regexp.MustCompile(`(?m)^#(\[|[a-z][\w-]* =|  \S)`).ReplaceAllString(text, "$1")
	full, err = pytext.ParseConfiguration(path, []byte(uncommented))
	if err != nil {
		t.Fatalf("%v\n%s", err, uncommented)
	}
	return plain, full, text
}

// documentedKeys are the keys that stand in the first column of a page's tables.
func documentedKeys(t *testing.T, pages ...string) (keys []string) {
	t.Helper()
	key := regexp.MustCompile("`(?:\\[\\w+\\] )?([a-z]+[_-][a-z0-9_-]+|jobs|python|buildout|pidfile|develop|port|host|testing)`")
	for _, page := range pages {
		text := documents(t)[filepath.Join("docs", page)]
		for table := range strings.SplitSeq(text, "\n\n") {
			head, _, _ := strings.Cut(table, "\n")
			if !strings.HasPrefix(head, "| key |") && !strings.HasPrefix(head, "| option | |") && !strings.HasPrefix(head, "| section, key |") {
				continue
			}
			for line := range strings.Lines(table) {
				cells := strings.Split(line, "|")
				if len(cells) < 3 {
					continue
				}
				cell := cells[1]
				if strings.Contains(cell, "`[slapproxy]`") { // its keys are in the third
					continue
				}
				for _, m := range key.FindAllStringSubmatch(cell, -1) {
					keys = append(keys, m[1])
				}
			}
		}
	}
	if len(keys) < 20 {
		t.Fatalf("only %d keys in %q", len(keys), pages)
	}
	return keys
}

// The examples of the packages have every key, each under a comment, in a section
// that is read; values are such that the program takes them.
func TestPackagedExamples(t *testing.T) {
	tables := keyTables(t)
	comments := 0
	for name, of := range map[string]struct {
		sections []string
		embedded string
		pages    []string
		other    string // how keys of the other file begin that stand on these pages
	}{
		"slapos.cfg.example": {
			[]string{"slapos", "slapformat", "networkcache", "collect", "firewall", "manager:devperm"}, nodeExample,
			[]string{"configuration.md", "format.md", "collect.md", "networkcache.md"},
			"shacache_",
		},
		"slapos-proxy.cfg.example": {
			[]string{"slapos", "slapproxy", "multimaster/https://slap.example.com"}, proxyExample[strings.Index(proxyExample, "[slapproxy]"):],
			[]string{"proxy.md"}, "-",
		},
	} {
		plain, full, text := packagedExample(t, name)
		if got := full.Sections(); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(of.sections))) {
			t.Errorf("%s: sections %q", name, got)
		}
		values := map[string]string{}
		for _, section := range full.Sections() {
			for key, value := range full.Raw(section) {
				values[key] = value
				for _, rule := range keyRules {
					if rule.section == section && rule.name == key {
						if _, err := tables[key].read(map[string]string{key: value}); err != nil {
							t.Errorf("%s: [%s] %s: %v", name, section, key, err)
						}
					}
				}
			}
		}
		for _, section := range plain.Sections() {
			for key, value := range plain.Raw(section) {
				if value == "" {
					t.Errorf("%s: [%s] %s is empty", name, section, key)
				}
			}
		}
		wanted := documentedKeys(t, of.pages...)
		for _, rule := range keyRules {
			if slices.Contains(of.sections, rule.section) && (rule.section != "slapos" || name == "slapos.cfg.example") {
				wanted = append(wanted, rule.name)
			}
		}
		for _, m := range regexp.MustCompile(`(?m)^#?([a-z][\w-]*) =`).FindAllStringSubmatch(of.embedded, -1) {
			wanted = append(wanted, m[1])
		}
		for _, key := range wanted {
			if _, found := values[key]; !found && !strings.HasPrefix(key, of.other) {
				t.Errorf("%s says nothing of %s", name, key)
			}
		}
		everything := ""
		for _, page := range documents(t) {
			everything += page
		}
		for key := range values {
			if !strings.Contains(everything, "`"+key+"`") && !strings.Contains(everything, "] "+key+"`") {
				t.Errorf("%s has %s, of which no page tells", name, key)
			}
		}
		// A key has a comment above it, or above the keys it stands with.
		explained := false
		for line := range strings.Lines(text) {
			switch {
			case strings.HasPrefix(line, "# "):
				explained = true
				comments++
			case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "["):
				explained = false
			case !explained && !strings.HasPrefix(line, "#["):
				t.Errorf("%s: no comment above %s", name, line)
			}
		}
	}
	if comments < 100 {
		t.Errorf("only %d lines of comments", comments)
	}
}
