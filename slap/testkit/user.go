// SPDX-License-Identifier: GPL-3.0-or-later

package testkit

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// User owns what belongs to others in tests, as partitions do: nobody if root
// runs the tests, else the user who runs them.
func User() int {
	if os.Geteuid() == 0 {
		return 65534
	}
	return os.Geteuid()
}

// HandOver gives a file to User.
func HandOver(t testing.TB, path string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	if err := os.Lchown(path, User(), User()); err != nil {
		t.Fatal(err)
	}
}

// InNamespace runs the calling test again in its own namespaces (flags of
// clone(2)) and returns whether this is that inner run, whose body is then the
// test.
func InNamespace(t *testing.T, flags uintptr) bool {
	t.Helper()
	const marker = "SLAPOS_TEST_INNER"
	if os.Getenv(marker) == t.Name() {
		return true
	}
	Namespaces(t)
	command := exec.Command("/proc/self/exe")
	command.Env = append(os.Environ(), marker+"="+t.Name())
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		command.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		command.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		command.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	RunAgain(t, command)
	return false
}

// AsUser runs work with an ordinary user's file system rights, whoever runs the
// test, in a directory that belongs to the user.
func AsUser(t testing.TB, work func(directory string)) {
	t.Helper()
	directory := t.TempDir()
	if os.Geteuid() != 0 {
		work(directory)
		return
	}
	if err := errors.Join(os.Chmod(filepath.Dir(directory), 0o755), os.Chown(directory, 29998, 29998)); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	become := func(id int) {
		_, _ = unix.SetfsgidRetGid(id)
		_, _ = unix.SetfsuidRetUid(id)
	}
	become(29998)
	defer become(0)
	work(directory)
}
