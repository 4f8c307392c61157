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

// Each command line of the packages' units and cron file is one that the
// program understands, and units name only units that there are.
func TestPackagedCommands(t *testing.T) {
	const directory = "../../docs/packaging"
	e, _, _ := newTestEnvironment(t)
	found, units := 0, 0
	err := filepath.WalkDir(directory, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(path, ".md") {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for text := range strings.Lines(string(content)) {
			if strings.HasPrefix(text, "#") {
				continue
			}
			if _, command, is := strings.Cut(text, "slapos node "); is && !strings.HasPrefix(text, "Description") {
				command, _, _ = strings.Cut(strings.ReplaceAll(command, "%i", "instance"), ">")
				found++
				if _, err := argv.Read(commands(e), e.global.flags(), append([]string{"node"}, strings.Fields(command)...)); err != nil {
					t.Errorf("%s: %s%v", path, text, err)
				}
			}
			for _, unit := range regexp.MustCompile(`\bslapos-[a-z]+@?[a-z]*\.(service|timer)\b`).FindAllString(text, -1) {
				units++
				if at := strings.Index(unit, "@"); at >= 0 {
					unit = unit[:at+1] + ".service"
				}
				if _, err := os.Stat(filepath.Join(directory, "systemd", unit)); err != nil {
					t.Errorf("%s: there is no %s", path, unit)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 9 || units < 10 {
		t.Errorf("only %d commands and %d names of units", found, units)
	}
}
