// SPDX-License-Identifier: GPL-3.0-or-later

package docs_test

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestModule holds go.mod to its name and release line (D-23), to libraries as
// they were published (D-35), and to the revision of the supervisor's parts
// (D-4).
func TestModule(t *testing.T) {
	text, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := "v0.0.0-20210503132557-74b0760cc12e"
	name, release, parts := false, false, 0
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(strings.TrimPrefix(line, "require "))
		switch {
		case len(words) == 0:
		case slices.Equal(words, []string{"module", "slapos"}):
			name = true
		case len(words) == 2 && words[0] == "go":
			release = strings.HasPrefix(words[1]+".", "1.26.")
		case words[0] == "replace" || slices.Contains(words, "=>"):
			t.Errorf("a module is replaced: %s", line)
		case strings.HasPrefix(words[0], "github.com/ochinchina/supervisord"):
			parts++
			if words[1] != version {
				t.Errorf("not of %s: %s", version, line)
			}
		}
	}
	if !name || !release || parts == 0 {
		t.Errorf("module slapos: %v, Go 1.26: %v, %d parts of the supervisor", name, release, parts)
	}
	if _, err := os.Stat("../vendor"); err == nil {
		t.Error("there is a directory vendor")
	}
}
