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

// If a machine lacks something, the tests that need it step aside: they are
// skipped with one of the reasons below, which `make test` counts at its end. A
// reason says what is needed and how to get it.

// Program returns the path of a program. It also searches the directories for
// administrators, which aren't on the PATH of Debian's ordinary users. Without
// the program the test steps aside and names its package.
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

// AdministratorPath returns PATH with the directories for administrators.
func AdministratorPath() string {
	folders := filepath.SplitList(os.Getenv("PATH"))
	for _, folder := range administrators {
		if !slices.Contains(folders, folder) {
			folders = append(folders, folder)
		}
	}
	return strings.Join(folders, string(filepath.ListSeparator))
}

// Browser returns the path of Chromium, or of an equivalent browser.
func Browser(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"chromium-browser", "google-chrome"} {
		if path := findProgram(name); path != "" {
			return path
		}
	}
	return Program(t, "chromium", "chromium")
}

// PostgreSQL returns the directory with the newest server's programs.
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
		if len(a) != len(b) { // 9 comes before 15
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

// Namespaces is for tests in their own namespaces, which everybody can make if
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

// HasNamespaces reports whether [Namespaces] would let a test go on.
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

// HasUserNamespaces reports whether [UserNamespaces] would let a test go on.
func HasUserNamespaces() bool { return userNamespaces() == nil }

// SeveralUsers is for tests that an ordinary user runs as root of a namespace
// with other users.
func SeveralUsers(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 && severalUsers() != nil {
		t.Skip("needs root, or a namespace of several users: install package uidmap and give the account ids in /etc/subuid and /etc/subgid")
	}
}

var severalUsers = sync.OnceValue(func() error {
	return exec.Command("unshare", "--user", "--mount", "--map-root-user", "--map-auto", "true").Run()
})

// AsOrdinaryUser runs a test again as an ordinary user of a namespace if the
// tests run as root. If it returns true, it did, and the test is over.
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

// ended adopts the result of a test that ran again in another process: if it
// stepped aside there, it does so here.
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

// RunAgain runs the calling test again with a command for the test's program,
// to which it adds the arguments for that: the test passes, fails or steps
// aside as it does there.
func RunAgain(t testing.TB, command *exec.Cmd) {
	t.Helper()
	command.Args = append(command.Args, "-test.run=^"+t.Name()+"$", "-test.v")
	output, err := command.CombinedOutput()
	ended(t, output, err)
}

// IPv6 is for tests that listen on the IPv6 loopback address.
func IPv6(t testing.TB) {
	t.Helper()
	listener, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skip("needs IPv6 on the loopback: allow it (sysctl net.ipv6.conf.lo.disable_ipv6=0)")
	}
	listener.Close()
}

// Long is for tests that take minutes. They run if an environment variable is
// set, as by a target of the Makefile, and get its value.
func Long(t testing.TB, variable, target string) string {
	t.Helper()
	value := os.Getenv(variable)
	if value == "" {
		t.Skipf("takes long: `make %s` runs it", target)
	}
	return value
}

// StepAside skips a test with a reason: what it needs and how to get that.
func StepAside(t testing.TB, need, remedy string, arguments ...any) {
	t.Helper()
	t.Skipf("needs %s: %s", need, fmt.Sprintf(remedy, arguments...))
}
