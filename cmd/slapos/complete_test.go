// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"slapos/cmd/slapos/argv"
)

// Where the cursor stands decides what may stand there.
func TestCompleteValues(t *testing.T) {
	root := t.TempDir()
	for _, directory := range []string{"instances/etc", "instances/node0", "instances/node1", "software/0123"} {
		if err := os.MkdirAll(filepath.Join(root, directory), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/srv/software.cfg", filepath.Join(root, "instances/node1/software_release")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "software/0123/buildout.cfg"), []byte("[buildout]\nextends = /srv/software.cfg\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "slapos.cfg")
	text := fmt.Sprintf("[slapos]\nsoftware_root = %[1]s/software\ninstance_root = %[1]s/instances\n[slapformat]\npartition_base_name = node\n", root)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	partitions := []string{"node0", "node1 /srv/software.cfg"}
	for line, want := range map[string][]string{
		"":                                 nil,
		"node ":                            nil, // the tables of the script have commands
		"request one two --state ":         {"started", "stopped", "destroyed"},
		"request one two --state started ": nil,
		"--log-format text help service ": {"events show what happened to a service", "info show what the master knows of a service",
			"list list your services and their software", "log show the log of a service's last failure", "restart stop a service and start it again"},
		"help node format ":                                nil,
		"complete --shell ":                                {"bash", "fish", "none", "zsh"},
		"complete --name ":                                 nil,
		"node instance --cfg " + path + " --only ":         partitions,
		"-v node promise --cfg " + path + " --only-cp no":  partitions,
		"node software --only-sr 1 --cfg " + path + " ":    nil,
		"node software --cfg " + path + " --force --only ": {"0123 /srv/software.cfg"},
		"node instance --cfg " + path + ".none --only ":    nil,
	} {
		e, stdout, _ := newTestEnvironment(t)
		if err := runCompleteValues(t.Context(), e, strings.Split(line, " ")); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, found := range lines(strings.ReplaceAll(stdout.String(), "\t", " ")) {
			got = append(got, strings.TrimSpace(found))
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q gives %q, want %q", line, got, want)
		}
	}
}

// Names in the tables of sources are those of commands and options there are.
func TestCompletionSources(t *testing.T) {
	e, _, _ := newTestEnvironment(t)
	a := newApplication(e)
	for name := range argumentSources {
		words := strings.Fields(name)
		p := argv.PlaceOf(newApplication(e).commands, e.global.flags(), words)
		if p.Command == nil || !strings.Contains(" "+p.Command.ArgsUsage+" ", " "+words[len(words)-1]+" ") {
			t.Errorf("no command has the argument %s", name)
		}
	}
	options := a.completeTable()
	for name := range optionSources {
		if !strings.Contains(options, "--"+name+" ") {
			t.Errorf("no command has the option --%s", name)
		}
	}
}
