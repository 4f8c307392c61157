// SPDX-License-Identifier: GPL-3.0-or-later

package testkit

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// What a machine lacks makes the tests that need it step aside: they are skipped,
// with one of the reasons below, which `make test` counts at its end. A reason
// says what is needed and how to get it.

// Program returns the path of a program, in the folders of administrators too,
// which aren't on the PATH of an ordinary user of Debian. Without it the test
// steps aside and names the package that has it.
func Program(t testing.TB, name, packageName string) string {
	t.Helper()
	if path := findProgram(name); path != "" {
		return path
	}
	t.Skipf("needs %s: install package %s", name, packageName)
	return ""
}

func findProgram(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, folder := range administrators {
		if path, err := exec.LookPath(filepath.Join(folder, name)); err == nil {
			return path
		}
	}
	return ""
}

var administrators = []string{"/usr/local/sbin", "/usr/sbin", "/sbin"}

// AdministratorPath is PATH with the folders of administrators.
func AdministratorPath() string {
	folders := filepath.SplitList(os.Getenv("PATH"))
	for _, folder := range administrators {
		if !slices.Contains(folders, folder) {
			folders = append(folders, folder)
		}
	}
	return strings.Join(folders, string(filepath.ListSeparator))
}

// Browser returns the path of Chromium, or of a browser that is one in all but name.
func Browser(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"chromium-browser", "google-chrome"} {
		if path := findProgram(name); path != "" {
			return path
		}
	}
	return Program(t, "chromium", "chromium")
}

// PostgreSQL returns the directory of the newest server's programs.
func PostgreSQL(t testing.TB) string {
	t.Helper()
	directory := postgreSQL()
	if directory == "" {
		t.Skip("needs PostgreSQL: install package postgresql")
	}
	return directory
}

func postgreSQL() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // where Debian has it
	slices.SortFunc(found, func(a, b string) int {
		if len(a) != len(b) { // 9 is before 15
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	for _, path := range slices.Backward(found) {
		if path, err := exec.LookPath(path); err == nil {
			return filepath.Dir(path)
		}
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(path)
	}
	return ""
}

// Root is for tests of what only root can do.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: run the tests as root")
	}
}

// Namespaces is for tests in namespaces of their own, which anybody can make where
// user namespaces are allowed.
func Namespaces(t testing.TB) {
	t.Helper()
	if namespaces() != nil {
		t.Skip(NoNamespaces)
	}
}

// NoNamespaces is the reason of tests that need [Namespaces].
const NoNamespaces = "needs namespaces: run the tests as root of a machine, or allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone=1)"

var namespaces = sync.OnceValue(func() error {
	command := exec.Command("/bin/true")
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		command.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		command.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		command.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return command.Run()
})

// HasNamespaces tells whether [Namespaces] would let a test go on.
func HasNamespaces() bool { return namespaces() == nil }

// UserNamespaces is for tests that root runs as an ordinary user of a namespace.
func UserNamespaces(t testing.TB) {
	t.Helper()
	if userNamespaces() != nil {
		t.Skip("needs user namespaces: allow them (sysctl user.max_user_namespaces)")
	}
}

var userNamespaces = sync.OnceValue(func() error {
	return exec.Command("unshare", "--user", "--map-user=1", "--map-group=1", "true").Run()
})

// HasUserNamespaces tells whether [UserNamespaces] would let a test go on.
func HasUserNamespaces() bool { return userNamespaces() == nil }

// SeveralUsers is for tests that an ordinary user runs as root of a namespace in
// which there are other users.
func SeveralUsers(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 && severalUsers() != nil {
		t.Skip("needs root, or a namespace of several users: install package uidmap and give the account ids in /etc/subuid and /etc/subgid")
	}
}

var severalUsers = sync.OnceValue(func() error {
	return exec.Command("unshare", "--user", "--mount", "--map-root-user", "--map-auto", "true").Run()
})

// AsOrdinaryUser runs a test again as an ordinary user of a namespace, when the
// tests run as root. It tells whether it did so: then the test is over.
func AsOrdinaryUser(t testing.TB) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		return false
	}
	UserNamespaces(t)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "unshare", "--user", "--map-user=1", "--map-group=1", program,
		"-test.run=^"+t.Name()+"$", "-test.timeout=10m", "-test.v")
	output, err := command.CombinedOutput()
	ended(t, output, err)
	return true
}

// ended takes over what became of a test that was run again in another process:
// if it stepped aside there, it does so here.
func ended(t testing.TB, output []byte, err error) {
	t.Helper()
	if err == nil && bytes.Contains(output, []byte("--- SKIP: "+t.Name()+" ")) {
		for line := range strings.Lines(string(output)) {
			if _, reason, found := strings.Cut(line, ".go:"); found {
				if _, reason, found = strings.Cut(reason, ": "); found && strings.HasPrefix(reason, "needs ") {
					t.Skip(strings.TrimSpace(reason))
				}
			}
		}
		t.Skip("stepped aside in a process of its own")
	}
	if err != nil || !bytes.Contains(output, []byte("--- PASS: "+t.Name()+" ")) {
		t.Fatalf("in a process of its own: %v\n%s", err, output)
	}
}

// RunAgain runs the calling test again by a command of the test's program, to
// which the arguments for that are added: it passes, fails or steps aside as the
// test does there.
func RunAgain(t testing.TB, command *exec.Cmd) {
	t.Helper()
	command.Args = append(command.Args, "-test.run=^"+t.Name()+"$", "-test.v")
	output, err := command.CombinedOutput()
	ended(t, output, err)
}

// IPv6 is for tests that listen on the loopback's address of IPv6.
func IPv6(t testing.TB) {
	t.Helper()
	listener, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skip("needs IPv6 on the loopback: allow it (sysctl net.ipv6.conf.lo.disable_ipv6=0)")
	}
	listener.Close()
}

// Long is for tests that take minutes. They run where an environment variable
// is set, whose value is returned, as a target of the Makefile does.
func Long(t testing.TB, variable, target string) string {
	t.Helper()
	value := os.Getenv(variable)
	if value == "" {
		t.Skipf("takes long: `make %s` runs it", target)
	}
	return value
}

// StepAside skips a test: what it needs and how to get that.
func StepAside(t testing.TB, need, remedy string, arguments ...any) {
	t.Helper()
	t.Skipf("needs %s: %s", need, fmt.Sprintf(remedy, arguments...))
}
