// SPDX-License-Identifier: GPL-3.0-or-later

package testkit

import (
	"os"
	"os/signal"
	"testing"

	"golang.org/x/sys/unix"
)

// Leased is a file that nobody can open: its owner has the kernel ask first, and
// doesn't answer. The kernel's patience is that of /proc/sys/fs/lease-break-time,
// usually 45 seconds.
type Leased struct {
	t     *testing.T
	file  *os.File
	asked chan os.Signal
}

// Lease takes a lease on a file of ours, which nobody has open.
func Lease(t *testing.T, path string) *Leased {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	l := &Leased{t: t, file: file, asked: make(chan os.Signal, 1)}
	signal.Notify(l.asked, unix.SIGIO)
	t.Cleanup(func() { signal.Stop(l.asked) })
	if _, err := unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		StepAside(t, "a file system with leases", "keep temporary files on ext4, xfs or tmpfs (%v)", err)
	}
	return l
}

// Wait returns when somebody waits for the file.
func (l *Leased) Wait() { <-l.asked }

// Release lets whoever waits open the file. It fails the test if the kernel has lost
// its patience meanwhile.
func (l *Leased) Release() {
	l.t.Helper()
	if _, err := unix.FcntlInt(l.file.Fd(), unix.F_SETLEASE, unix.F_UNLCK); err != nil {
		l.t.Errorf("the lease is over: %v", err)
	}
	l.file.Close()
}
