// SPDX-License-Identifier: GPL-3.0-or-later

package testkit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A Machine is a copy of this one with systemd as its first process: in its own
// namespaces and control group, on top of this machine's files or others. It can change
// neither those nor the kernel's settings. Nothing of it is left after the
// test.
type Machine struct {
	t   testing.TB
	pid string
}

// machineScript mounts an overlay over the files below $3, and starts systemd
// there. That starts only what basic.target wants, and nothing of this machine.
const machineScript = `set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755,size=1g none "$1"
cd "$1"
mkdir upper work root proc
mount -t overlay overlay -o lowerdir="$3",upperdir=upper,workdir=work root
cd root
mount -t proc proc proc
mount -t proc proc ../proc
mount --bind proc/sys proc/sys # settings of the kernel are the whole machine's,
mount -o remount,bind,ro proc/sys
mount --bind ../proc/sys/net proc/sys/net # but for those of the network
mount -t sysfs -o ro sysfs sys # nor are there devices for udev
mount -t cgroup2 none sys/fs/cgroup
mount -t tmpfs none run
mkdir -p etc/tmpfiles.d # the test's files may be below /tmp: it is neither covered nor emptied
ln -sf /dev/null etc/systemd/system/tmp.mount
ln -sf /dev/null etc/tmpfiles.d/tmp.conf
mount -t tmpfs -o mode=755 none dev
mkdir dev/net dev/pts dev/shm
for name in null zero full random urandom tty net/tun; do
	[ -e /dev/$name ] || continue
	touch dev/$name
	mount --bind /dev/$name dev/$name
done
mount -t devpts -o newinstance,ptmxmode=666 none dev/pts
ln -s pts/ptmx dev/ptmx
rm -f etc/machine-id
echo 0123456789abcdef0123456789abcdef > etc/machine-id
mkdir -p mnt/before
PATH=$PATH:/usr/sbin:/sbin pivot_root . mnt/before # not chroot: there no user namespace can be made
cd /
umount -l /mnt/before
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin "$2" --system --log-target=journal systemd.unit=basic.target`

// NewMachine starts a machine, and waits until it is up.
func NewMachine(t testing.TB) *Machine { return NewMachineOn(t, "/") }

// NewMachineOn starts a machine with the files of a system that lies below root,
// which it doesn't change either.
func NewMachineOn(t testing.TB, root string) *Machine {
	t.Helper()
	Root(t)
	Program(t, "nsenter", "util-linux")
	Program(t, "systemctl", "systemd")
	const systemd = "/lib/systemd/systemd"
	if !Exists(filepath.Join(root, systemd)) {
		StepAside(t, systemd, "install package systemd")
	}
	groups := controlGroups()
	if groups == "" {
		StepAside(t, "control groups of version 2", "mount them (mount -t cgroup2 none /sys/fs/cgroup)")
	}
	group, err := os.MkdirTemp(groups, "slapos-test-")
	if err != nil {
		StepAside(t, "control groups of version 2", "mount them for writing")
	}
	t.Cleanup(func() { removeGroups(t, group) })
	directory, err := os.OpenFile(group, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer directory.Close()
	var output bytes.Buffer
	command := exec.Command("sh", "-c", machineScript, "sh", t.TempDir(), systemd, root)
	command.Stdout, command.Stderr = &output, &output
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS |
			syscall.CLONE_NEWIPC | syscall.CLONE_NEWCGROUP,
		UseCgroupFD: true, CgroupFD: int(directory.Fd()), Pdeathsig: syscall.SIGKILL,
	}
	started, ended := make(chan error), make(chan error, 1)
	go func() { // the machine ends with the thread that started it
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := command.Start()
		started <- err
		if err == nil {
			ended <- command.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill() // all of its processes end with the first
		<-ended
	})
	m := &Machine{t: t, pid: strconv.Itoa(command.Process.Pid)}
	state := ""
	up := Await(t.Context(), time.Minute, func() bool {
		text, err := m.Try("systemctl", "is-system-running")
		state = strings.TrimSpace(text)
		return err == nil || state == "degraded"
	})
	if !up {
		t.Fatalf("systemd is %q\n%s", state, &output)
	}
	return m
}

// Try runs a command on the machine, and returns its output.
func (m *Machine) Try(words ...string) (output string, err error) {
	m.t.Helper()
	arguments := append([]string{"-t", m.pid, "-m", "-p", "-n", "-u", "-i", "-C", "-r", "-w", "env", "-i",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/root"}, words...)
	text, err := exec.CommandContext(m.t.Context(), "nsenter", arguments...).CombinedOutput()
	return string(text), err
}

// Run runs a command, which must succeed.
func (m *Machine) Run(words ...string) (output string) {
	m.t.Helper()
	output, err := m.Try(words...)
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", strings.Join(words, " "), err, output)
	}
	return output
}

// Path returns where the test finds a file of the machine.
func (m *Machine) Path(path string) string { return filepath.Join("/proc", m.pid, "root", path) }

// Write writes a file of the machine.
func (m *Machine) Write(path, content string, mode os.FileMode) {
	m.t.Helper()
	WriteFile(m.t, m.Path(path), content)
	if err := os.Chmod(m.Path(path), mode); err != nil {
		m.t.Fatal(err)
	}
}

// InNetwork runs work in the machine's network.
func (m *Machine) InNetwork(work func() error) {
	m.t.Helper()
	done := make(chan error)
	go func() { // its thread is never used again
		runtime.LockOSThread()
		network, err := os.Open(filepath.Join("/proc", m.pid, "ns/net"))
		if err == nil {
			defer network.Close()
			err = unix.Setns(int(network.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = work()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		m.t.Fatal(err)
	}
}

// controlGroups returns the mount point of control groups version 2, or "".
func controlGroups() string {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[2] == "cgroup2" {
			return fields[1]
		}
	}
	return ""
}

// removeGroups removes the control groups of a machine that has ended.
func removeGroups(t testing.TB, group string) {
	var failed error
	removed := Await(context.Background(), 10*time.Second, func() bool { // the test's own context has ended
		failed = removeTree(group)
		return failed == nil
	})
	if !removed {
		t.Error(failed)
	}
}

// removeTree removes directories, deepest first: their files belong to the kernel.
func removeTree(group string) error {
	entries, err := os.ReadDir(group)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			err = errors.Join(err, removeTree(filepath.Join(group, entry.Name())))
		}
	}
	if err != nil {
		return err
	}
	if err := unix.Rmdir(group); err != nil {
		return fmt.Errorf("control group %s: %w", group, err)
	}
	return nil
}
