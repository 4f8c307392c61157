// SPDX-License-Identifier: GPL-3.0-or-later

package child_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"slapos/slap/child"
	"slapos/slap/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// begin starts a program whose descriptors 3 and 4 are a directory and a pipe, and
// returns what it and the pipe said, and how it ended.
func begin(t *testing.T, start child.Start, directory string) (output, status string, err error) {
	t.Helper()
	opened, err := os.Open(directory)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	readEnd, writeEnd, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer readEnd.Close()
	command := &exec.Cmd{Path: child.Program, ExtraFiles: []*os.File{opened, writeEnd}}
	command.Args, command.Env = start.Command()
	text, failure := command.CombinedOutput()
	writeEnd.Close()
	told := make([]byte, 100)
	size, _ := readEnd.Read(told)
	return string(text), string(told[:size]), failure
}

const show = `umask; pwd -P; for fd in /proc/self/fd/*; do readlink "$fd"; done | grep -v /proc; printf '%s\n' "$0" "$@"`

// TestStart is about what a program is given: this and nothing else.
func TestStart(t *testing.T) {
	directory, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	// The runtime of this program would obey the first two.
	env := []string{"GODEBUG=inittrace=1", "GOTRACEBACK=crash", "A==b", "EMPTY=", "PATH=" + os.Getenv("PATH"), "LINES=one\ntwo"}
	for _, start := range []child.Start{
		{Entered: 3, Status: 4},
		{Directory: directory, Entered: 0, Status: 4},
	} {
		start.Path, start.Umask, start.Env = "/bin/sh", 0o27, env
		start.Args = []string{"sh", "-c", "env; " + show, "name", "", "two\nlines", "-x"}
		output, status, err := begin(t, start, directory)
		if err != nil || status != "" {
			t.Errorf("it ended with %v, status %q", err, status)
		}
		for _, part := range append([]string{"\n0027\n" + directory + "\n", "\nname\n\ntwo\nlines\n-x\n"}, env...) {
			if !strings.Contains("\n"+output, part) {
				t.Errorf("no %q in\n%s", part, output)
			}
		}
		if strings.Contains(output, "init ") {
			t.Errorf("the variables were obeyed:\n%s", output)
		}
		// The directory stays open where it isn't for this.
		if start.Entered != 0 && strings.Count(output, directory+"\n") > 2 { // PWD, pwd
			t.Errorf("it has the directory, too:\n%s", output)
		}
	}
}

// TestFailure has nothing to begin.
func TestFailure(t *testing.T) {
	directory := t.TempDir()
	garbage, closed := filepath.Join(directory, "garbage"), filepath.Join(directory, "closed")
	for path, mode := range map[string]os.FileMode{garbage: 0o700, closed: 0o600} {
		if err := os.WriteFile(path, []byte("\x00"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		start child.Start
		errno syscall.Errno
		text  string
	}{
		{child.Start{Path: "/nonexistent/x", Args: []string{"x"}}, syscall.ENOENT, "couldn't exec x: ENOENT"},
		{child.Start{Path: garbage, Args: []string{"g"}}, syscall.ENOEXEC, "couldn't exec g: ENOEXEC"},
		{child.Start{Path: closed, Args: []string{"c"}}, syscall.EACCES, "couldn't exec c: EACCES"},
		{child.Start{Path: "/bin/true", Args: []string{"true"}, Directory: garbage}, syscall.ENOTDIR, "couldn't chdir to " + garbage + ": ENOTDIR"},
		{child.Start{Path: "/bin/true", Args: []string{"true"}, Entered: 4}, syscall.ENOTDIR, "couldn't chdir: ENOTDIR"},
	} {
		test.start.Umask = -1
		output, status, err := begin(t, test.start, directory)
		if want := "supervisor: " + test.text + "\nsupervisor: child process was not spawned\n"; output != want || status != "" || !exits(err, 127) {
			t.Errorf("%+v: %v, %q, status %q", test.start, err, output, status)
		}
		if test.start.Entered == 0 {
			test.start.Status = 4
			output, status, err = begin(t, test.start, directory)
			if output != "" || child.Failure([]byte(status)) != test.errno || !exits(err, 127) {
				t.Errorf("%+v: %v, %q, status %q", test.start, err, output, status)
			}
		}
	}
	for _, text := range []string{"", "0", "x", "-1", "99999999999", "2\x00"} {
		if err := child.Failure([]byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func exits(err error, status int) bool {
	var ended *exec.ExitError
	return errors.As(err, &ended) && ended.ExitCode() == status
}

// TestUser becomes another user, with these groups and no others, for good.
func TestUser(t *testing.T) {
	if os.Geteuid() != 0 {
		testkit.SeveralUsers(t)
		testkit.RunAgain(t, exec.CommandContext(t.Context(), "unshare", "--user", "--map-root-user", "--map-auto", os.Args[0]))
		return
	}
	start := child.Start{Path: "/bin/sh", Args: []string{"sh", "-c", "grep -E '^(Uid|Gid|Groups|CapEff|CapPrm)' /proc/self/status"}, Umask: -1, Entered: 3, Status: 4,
		Env: []string{"PATH=" + os.Getenv("PATH")}, User: &syscall.Credential{Uid: 1001, Gid: 1002, Groups: []uint32{1002, 1003}}}
	output, status, err := begin(t, start, "/")
	if err != nil || status != "" {
		t.Fatalf("%v, status %q: %s", err, status, output)
	}
	want := "Uid: 1001 1001 1001 1001 Gid: 1002 1002 1002 1002 Groups: 1002 1003 CapPrm: 0000000000000000 CapEff: 0000000000000000"
	if got := strings.Join(strings.Fields(output), " "); got != want {
		t.Errorf("it is %s", got)
	}
	start.User.Groups = nil
	if output, _, _ = begin(t, start, "/"); !strings.Contains(strings.Join(strings.Fields(output), " "), "Groups: Cap") {
		t.Errorf("without groups it is %s", output)
	}
	// What the user may not enter stops him.
	directory := t.TempDir()
	if err := os.Chmod(directory, 0o700); err != nil {
		t.Fatal(err)
	}
	if output, status, err = begin(t, start, directory); child.Failure([]byte(status)) != syscall.EACCES || output != "" || !exits(err, 127) {
		t.Errorf("%v, status %q: %s", err, status, output)
	}
}

func TestVariables(t *testing.T) {
	for _, test := range []struct {
		environ, want string
		begins        bool
	}{
		{"A=1\x00B=+2\x00", `["A=1" "B=+2"]`, false},
		{"+A=1\x00++B=\x00", `["A=1" "+B="]`, true},
		{"+A=1\x00B=2\x00", `["+A=1" "B=2"]`, false},
		{"", `[""]`, false},
	} {
		variables, begins := child.Variables([]byte(test.environ))
		if got := fmt.Sprintf("%q", variables); got != test.want || begins != test.begins {
			t.Errorf("%q: %s, %v", test.environ, got, begins)
		}
	}
}
