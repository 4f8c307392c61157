// SPDX-License-Identifier: GPL-3.0-or-later

package promise

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"slapos/promise/process"
	"slapos/slap/confined"
	"slapos/slap/testkit"
)

// If the user replaces a state file with something else, that is neither read
// endlessly nor waited for, and nothing else is written.
func openedForTest(t testing.TB, directory string) *confined.Directory {
	opened, err := confined.Open(directory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { opened.Close() })
	return opened
}

func TestFilesAreLimited(t *testing.T) {
	directory := t.TempDir()
	f, err := openFiles(openedForTest(t, directory), &process.User{UID: os.Geteuid(), GID: os.Getegid()})
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	path := func(name string) string { return filepath.Join(directory, name) }
	const limit = 1 << 20
	err = errors.Join(
		os.WriteFile(path("huge"), nil, 0o600), os.Truncate(path("huge"), 64*limit),
		unix.Mkfifo(path("pipe"), 0o600), os.Symlink("/dev/null", path("device")), os.Mkdir(path("directory"), 0o700),
		os.WriteFile(path("victim"), []byte("untouched"), 0o600), os.Symlink("victim", path("state.tmp")),
		os.Mkdir(path("full"), 0o700),
	)
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) error {
		return f.do(func() error { _, err := f.read(name); return err })
	}
	if n := testkit.Allocated(func() { err = read("huge") }); err == nil || n > 32*limit {
		t.Errorf("huge: took %d bytes, error %v", n, err)
	}
	for _, name := range []string{"pipe", "directory"} {
		if err := read(name); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := f.do(func() error { return f.replace("state", []byte("new")) }); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{"victim": "untouched", "state": "new"} {
		if text, err := os.ReadFile(path(name)); string(text) != want || err != nil {
			t.Errorf("%s holds %q, %v", name, text, err)
		}
	}
	for n := range confined.MaxEntries + 1 {
		if err := os.Mkdir(path(fmt.Sprint("full/", n)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.do(func() error { _, err := f.names("full"); return err }); err == nil {
		t.Error("a full directory is listed")
	}
}

// The thread that works on the user's files has all groups of the user, and
// none of ours.
func TestFilesHaveTheUsersGroups(t *testing.T) {
	if os.Geteuid() != 0 {
		runAsRootOfNamespace(t)
		return
	}
	directory := newPartition(t).options.Directory
	f, err := openFiles(openedForTest(t, directory), &process.User{UID: 1, GID: 1, Groups: []int{1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	var status []byte
	err = f.do(func() (err error) {
		status, err = os.ReadFile("/proc/thread-self/status")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		name, values, _ := strings.Cut(line, ":")
		fields := strings.Fields(values)
		switch {
		case name == "Groups" && strings.Join(slices.Compact(fields), " ") != "1 2":
			t.Errorf("groups %q", fields)
		case (name == "Uid" || name == "Gid") && fields[3] != "1": // of file access
			t.Errorf("%s %q", name, fields)
		}
	}
	if f, err := openFiles(openedForTest(t, directory), &process.User{UID: -1, GID: 1}); err == nil {
		f.close()
		t.Error("nobody's rights are taken")
	}
}

// State directories that an agent made as root are given to the user, but not
// those of others or behind a link.
func TestGiveFolders(t *testing.T) {
	if os.Geteuid() != 0 {
		runAsRootOfNamespace(t)
		return
	}
	outside, directory := t.TempDir(), t.TempDir()
	if err := errors.Join(
		os.MkdirAll(filepath.Join(outside, "promise", "result"), 0o700),
		os.MkdirAll(filepath.Join(directory, ".slapgrid", "promise", "result"), 0o755),
		os.Chown(filepath.Join(directory, ".slapgrid", "promise"), 2, 2),
		os.Chown(directory, 1, 1),
	); err != nil {
		t.Fatal(err)
	}
	if err := giveFolders(openedForTest(t, directory)); err != nil {
		t.Error(err)
	}
	linked, trap := t.TempDir(), t.TempDir()
	if err := errors.Join(os.Chown(linked, 1, 1), os.Chown(trap, 1, 1)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(linked, ".slapgrid")); err != nil {
		t.Fatal(err)
	}
	_ = giveFolders(openedForTest(t, linked)) // only the owners matter
	if err := errors.Join(os.Mkdir(filepath.Join(trap, ".slapgrid"), 0o700), os.Symlink(filepath.Join(outside, "promise"), filepath.Join(trap, ".slapgrid", "promise"))); err != nil {
		t.Fatal(err)
	}
	_ = giveFolders(openedForTest(t, trap))
	for path, want := range map[string]uint32{
		filepath.Join(directory, ".slapgrid"):                      1,
		filepath.Join(directory, ".slapgrid", "promise"):           2,
		filepath.Join(directory, ".slapgrid", "promise", "result"): 1,
		outside: 0, filepath.Join(outside, "promise"): 0, filepath.Join(outside, "promise", "result"): 0,
	} {
		var status unix.Stat_t
		if err := unix.Lstat(path, &status); err != nil || status.Uid != want {
			t.Errorf("%s belongs to %d, %v, want %d", path, status.Uid, err, want)
		}
	}
}

// The output of promises is logged up to a limit, and then reported once.
func TestPrintedIsLimited(t *testing.T) {
	var log bytes.Buffer
	d := &driver{run: &run{logger: slog.New(slog.NewTextHandler(&log, nil))}}
	line := strings.Repeat("x", 1<<10)
	for range 2 * maxDriverLog >> 10 {
		d.print(line)
	}
	if log.Len() > 2*maxDriverLog || strings.Count(log.String(), "print too much") != 1 {
		t.Errorf("%d bytes, told %d times", log.Len(), strings.Count(log.String(), "print too much"))
	}
}

// GRID-101: the opened directory is the partition, whatever has its name now.
func TestPartitionExchanged(t *testing.T) {
	testkit.Root(t)
	directory, others := filepath.Join(t.TempDir(), "slappart0"), t.TempDir()
	if err := errors.Join(os.Mkdir(directory, 0o750), os.Chown(directory, 65534, 65534), os.Chown(others, 65534, 65534), os.Chmod(others, 0o755), os.Chmod(filepath.Dir(others), 0o755)); err != nil {
		t.Fatal(err)
	}
	root := openedForTest(t, directory)
	if err := errors.Join(os.Rename(directory, directory+".moved"), os.Symlink(others, directory)); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), Options{Directory: directory, Root: root}); err == nil || len(testkit.Names(t, others)) > 0 {
		t.Errorf("ran in %v: %v", testkit.Names(t, others), err)
	}
}
