// SPDX-License-Identifier: GPL-3.0-or-later

// Package testenv is what the tests of the node agent share. [Main] gives them
// what they need of the machine: directories and users to work with, and a
// reachable Python, both for root and for an ordinary user. A [Node] is a node
// to run passes on, with a [Master] that gives a test's answers, a supervisor,
// and a [Recorder] of its log.
package testenv

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"slapos/slap/testkit"
)

// Directory is like t.TempDir, but testkit.User can reach its content.
func Directory(t testing.TB) string {
	t.Helper()
	directory, err := os.MkdirTemp("", "grid")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(directory); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	return directory
}

const reachable = "SLAPOS_TEST_PYTHON_REACHABLE"

// Main runs the tests of a package, or is the supervisor that one of them
// started. If root runs the tests, the interpreter of the test environment may
// be somewhere in root's home, where testkit.User can't reach it: then the
// tests run in a mount namespace that makes it reachable.
func Main(m *testing.M) {
	if os.Args[0] == "supervisord" {
		supervise()
	}
	if os.Geteuid() == 0 && os.Getenv(reachable) == "" {
		if err := reachPython(); err != nil {
			fmt.Fprintln(os.Stderr, "make Python reachable:", err)
			os.Exit(1)
		}
	}
	// The tests mostly wait for processes.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	testkit.Main(m)
}

// reachPython returns if nothing needs to be done, else it runs this program
// again.
func reachPython() error {
	environment, err := testkit.Find()
	if err != nil {
		return nil // the tests that need it will say so
	}
	path, err := filepath.EvalSymlinks(filepath.Join(environment, "bin", "python"))
	if err != nil {
		return err
	}
	closed := closedAncestor(path)
	if closed == "" {
		return nil
	}
	below, _, _ := strings.Cut(strings.TrimPrefix(path, closed+"/"), "/")
	below = filepath.Join(closed, below)
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	handle, err := unix.Open(below, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Mount("none", closed, "tmpfs", 0, "mode=0755"); err != nil {
		return err
	}
	if err := os.Mkdir(below, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", handle), below, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	executable, err := exec.LookPath("/proc/self/exe")
	if err != nil {
		return err
	}
	return syscall.Exec(executable, os.Args, append(os.Environ(), reachable+"=1"))
}

// closedAncestor returns the first directory on the way to path that others may
// not enter.
func closedAncestor(path string) string {
	for i := 1; i < len(path); i++ {
		if path[i] != '/' {
			continue
		}
		if info, err := os.Stat(path[:i]); err == nil && info.Mode()&0o001 == 0 {
			return path[:i]
		}
	}
	return ""
}
