// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"slapos/cmd/slapos/argv"
)

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Programs started from here don't inherit descriptors that our parent left
// open, but we keep them: systemd passes sockets that way.
func TestKeepDescriptorsFromChildren(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	inherited, err := unix.Dup(int(write.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	keepDescriptorsFromChildren()
	if err := exec.Command("sh", "-c", fmt.Sprintf("test ! -e /proc/self/fd/%d", inherited)).Run(); err != nil {
		t.Error("a child inherited the descriptor")
	}
	if _, err := unix.Write(inherited, []byte("x")); err != nil {
		t.Error(err)
	}
	for _, err := range []error{unix.Close(inherited), write.Close(), read.Close()} {
		if err != nil {
			t.Error(err)
		}
	}
}

// Ctrl-C and SIGTERM end what waits for a master.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	released := make(chan struct{})
	master := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		cancel()
		<-released
	}))
	defer master.Close()
	defer close(released)
	e, _, stderr := newTestEnvironment(t)
	path := filepath.Join(t.TempDir(), "client.cfg")
	if err := os.WriteFile(path, []byte("[slapos]\nmaster_url = "+master.URL+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := run(ctx, e, []string{"slapos", "supply", "a", "b", "--cfg", path}); code != 130 || !strings.HasSuffix(stderr.String(), " ERROR interrupted\n") {
		t.Errorf("code %d, %s", code, stderr)
	}
}

// D-19: the program has other names.
func TestPrograms(t *testing.T) {
	known := newApplication(newEnvironment()).commands
	for name, words := range programs {
		if _, command, _, err := argv.FindCommand(known, nil, words); err != nil || command == nil {
			t.Errorf("%s stands for %q: %v", name, words, err)
		}
	}
	// Programs of slapos.core before 1.1.1, which are commands since.
	for _, name := range []string{"slapgrid", "slapgrid-cp", "slapgrid-sr", "slapgrid-ur", "slapformat", "slapconsole", "slapproxy", "bang"} {
		if _, _, _, err := argv.FindCommand(known, nil, []string{name}); err == nil || programs[name] != nil {
			t.Errorf("%s is a program or a command", name)
		}
	}
}

// What the help promises of each command: what it does, its options and its
// exit codes; and no two names for one option.
func TestHelpOfAllCommands(t *testing.T) {
	e, _, _ := newTestEnvironment(t)
	newApplication(e).each(func(path []string, command *cli.Command) {
		name := strings.Join(path, " ")
		var help strings.Builder
		if err := e.commandHelp(&help, path, command); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"usage: slapos " + name, command.Usage, "Exit codes: ", "-h, --help"} {
			if !strings.Contains(help.String(), want) {
				t.Errorf("the help of %s does not say %q", name, want)
			}
		}
		seen := map[string]bool{}
		for _, f := range append(e.global.flags(), command.Flags...) {
			for _, option := range argv.Spelled(f) {
				if seen[option] {
					t.Errorf("%s has %s twice", name, option)
				}
				seen[option] = true
			}
		}
	})
}
