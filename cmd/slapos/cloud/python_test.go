// SPDX-License-Identifier: GPL-3.0-or-later

package cloud

import (
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"slapos/grid/buildout"
)

// The environment of a cloud gets what the tests run with, and messages name it.
func TestRequirements(t *testing.T) {
	file, err := os.ReadFile(filepath.Join("..", "..", "..", ".ci", "requirements.txt"))
	if err != nil {
		t.Fatal(err)
	}
	section := func(text string) string {
		return regexp.MustCompile(`(?m)^(#.*)?\n`).ReplaceAllString(text, "")
	}
	var want string
	for _, text := range strings.Split(string(file), "\n# [") {
		if name, text, _ := strings.Cut(text, "]"); name == "build" || name == "buildout" {
			_, text, _ = strings.Cut(text, "\n")
			want += section(text + "\n")
		}
	}
	have := string(pins)
	if have := section(have); have == "" || have != section(want) {
		t.Errorf("cmd/slapos/cloud/requirements.txt is not what .ci/requirements.txt has in build and buildout:\n%s", have)
	}
	for _, name := range strings.Fields(buildout.Packages) {
		if !strings.Contains(have, "\n"+strings.Replace(name, "zc.", "zc-", 1)+" \\\n") {
			t.Errorf("%s is not in cmd/slapos/cloud/requirements.txt", name)
		}
	}
}

// TestPython has a Python that records its arguments.
func TestPython(t *testing.T) {
	for _, test := range []struct{ name, env, want, told string }{
		{"none has it", "", "", "--no-deps --require-hashes -r ROOT/python/requirements.txt\n"},
		{"too old", "OLD=1", "is older than Python 3.11: install a newer python3 with venv, or name a Python with zc.buildout with --python", ""},
		{"no network", "OFFLINE=1", "can't make a Python environment with zc.buildout (-m pip: no route): name a Python that has it with --python", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			bin, root := t.TempDir(), t.TempDir()
			python := `#!/bin/sh
case $* in
"-c import sys;"*) exit ${OLD:-0} ;;
"-c import zc"*) [ -e "$0.told" ] ;;
"-m venv"*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
"-m pip install"*) [ -z "$OFFLINE" ] || { echo no route; exit 1; }; shift 5; echo "$@" >"$0.told" ;;
*) exit 1 ;;
esac
`
			if err := os.WriteFile(filepath.Join(bin, "python3"), []byte(python), 0o755); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", bin+":/usr/bin:/bin")
			if name, value, set := strings.Cut(test.env, "="); set {
				t.Setenv(name, value)
			}
			s := &Cloud{options: Options{Root: root, Logger: slog.New(slog.DiscardHandler)}}
			err := s.findPython(t.Context(), "")
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.HasSuffix(err.Error(), test.want)) {
				t.Fatalf("error %v, want %q", err, test.want)
			}
			told, _ := os.ReadFile(filepath.Join(root, "python/bin/python.told"))
			if want := strings.ReplaceAll(test.told, "ROOT", root); string(told) != want {
				t.Errorf("pip got %q, want %q", told, want)
			}
			if err == nil {
				if written, err := os.ReadFile(filepath.Join(root, "python/requirements.txt")); err != nil || string(written) != string(pins) {
					t.Errorf("%q, %v", written, err)
				}
				// The next start takes what is there.
				if err := os.Remove(filepath.Join(bin, "python3")); err != nil {
					t.Fatal(err)
				}
				next := &Cloud{options: s.options}
				if err := next.findPython(t.Context(), ""); err != nil || next.Settings.Python != filepath.Join(root, "python/bin/python") {
					t.Errorf("%q, %v", next.Settings.Python, err)
				}
			}
		})
	}
}
