// SPDX-License-Identifier: GPL-3.0-or-later

package testenv

import (
	"os"
	"syscall"
	"testing"
)

// Emptied checks that only the directory is left, as it was.
func Emptied(t testing.TB, directory string, before os.FileInfo) {
	t.Helper()
	after, err := os.Stat(directory)
	if err != nil {
		t.Fatal(err)
	}
	was, is := before.Sys().(*syscall.Stat_t), after.Sys().(*syscall.Stat_t)
	if is.Uid != was.Uid || is.Gid != was.Gid || is.Mode != was.Mode || is.Ino != was.Ino {
		t.Errorf("the directory is %d:%d %o, was %d:%d %o", is.Uid, is.Gid, is.Mode, was.Uid, was.Gid, was.Mode)
	}
	entries, err := os.ReadDir(directory)
	if err != nil || len(entries) > 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

// Stat returns a directory's properties for Emptied.
func Stat(t testing.TB, directory string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(directory)
	if err != nil {
		t.Fatal(err)
	}
	return info
}
