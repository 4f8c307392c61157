// SPDX-License-Identifier: GPL-3.0-or-later

package process

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"slapos/slap/testkit"
)

// What a promise leaves in the background ends with it, even if it forked twice
// and made its own session (PROM-45): as root and as anybody else.
func TestLeftovers(t *testing.T) {
	t.Run("agent", testLeftovers)
	t.Run("ordinary user", func(t *testing.T) {
		if os.Geteuid() != 0 || !testkit.AsOrdinaryUser(t) {
			testLeftovers(t)
		}
	})
}

func testLeftovers(t *testing.T) {
	directory := t.TempDir()
	if err := os.Chmod(filepath.Dir(directory), 0o755); err != nil {
		t.Fatal(err)
	}
	testkit.HandOver(t, directory)
	bystander := Command{Path: "/bin/sh", Args: []string{"-c", "exec sleep 0.2"}, Dir: directory, Env: CleanEnvironment(os.Environ(), "/")}
	ended := make(chan error, 1)
	command := Command{
		Path: "/bin/sh", Dir: directory, Env: CleanEnvironment(os.Environ(), "/"), EndAll: true,
		Args: []string{"-c", `sleep 1000 & echo $! >pids
setsid sh -c 'sleep 1001 & echo $! >>pids; echo $$ >>pids; exec sleep 1002' &
(setsid sh -c '(sleep 1003 & echo $! >>pids; echo >ready)' &)
while [ ! -e ready ] || [ $(wc -l <pids) -lt 4 ]; do sleep 0.01; done`},
	}
	if os.Geteuid() == 0 {
		command.User = &User{UID: testkit.User(), GID: testkit.User()}
		bystander.User = command.User
	}
	go func() { _, err := bystander.Run(t.Context()); ended <- err }()
	result, err := command.Run(t.Context())
	if err != nil || result.ExitCode != 0 {
		t.Fatalf("%+v, %v", result, err)
	}
	for number := range strings.FieldsSeq(testkit.ReadFile(t, filepath.Join(directory, "pids"))) {
		pid, err := strconv.Atoi(number)
		if err != nil {
			t.Fatal(err)
		}
		if _, present := readProcess(pid); present {
			t.Errorf("process %d is left", pid)
		}
	}
	if err := <-ended; err != nil {
		t.Errorf("another command: %v", err)
	}
}

// An ended child that isn't waited for yet isn't taken for an orphan of another
// command for the same user.
func TestChildrenAreNoOrphans(t *testing.T) {
	rounds := 20
	if os.Getenv("SLAPOS_TEST_LONG") != "" {
		rounds = 1000
	}
	var group sync.WaitGroup
	for i := range 32 {
		command := Command{Path: "/bin/sh", Args: []string{"-c", "exit 3"}, Dir: "/", Env: CleanEnvironment(os.Environ(), "/"), EndAll: i == 0}
		group.Go(func() {
			for range rounds {
				if result, err := command.Run(t.Context()); err != nil || result.ExitCode != 3 {
					t.Errorf("%+v, %v", result, err)
				}
			}
		})
	}
	group.Wait()
}
