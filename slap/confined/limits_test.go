// SPDX-License-Identifier: GPL-3.0-or-later

package confined

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap/testkit"
)

// A user's file is read up to its limit, whatever its size.
func TestReadsNoMore(t *testing.T) {
	root := openForTest(t)
	testkit.WriteFile(t, root.Join("huge"), "")
	const size = 64 * MaxFile
	if err := os.Truncate(root.Join("huge"), size); err != nil {
		t.Fatal(err)
	}
	var err error
	if n := testkit.Allocated(func() { _, err = root.Read("huge") }); err == nil || n > size/2 {
		t.Errorf("took %d bytes, error %v", n, err)
	}
}

// A user's directory is listed up to a limit.
func TestManyEntries(t *testing.T) {
	root := openForTest(t)
	if err := os.Mkdir(root.Join("full"), 0o755); err != nil {
		t.Fatal(err)
	}
	for n := range MaxEntries {
		if err := os.Mkdir(root.Join(fmt.Sprint("full/", n)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if entries, err := root.Entries("full"); err != nil || len(entries) != MaxEntries {
		t.Errorf("%d entries, %v", len(entries), err)
	}
	if err := os.Mkdir(root.Join("full/more"), 0o755); err != nil {
		t.Fatal(err)
	}
	if entries, err := root.Entries("full"); err == nil {
		t.Errorf("%d entries", len(entries))
	}
}

// A directory of the agent must be a directory, and not lead elsewhere.
func TestMakeDirectory(t *testing.T) {
	root := openForTest(t)
	for _, name := range hostileNames(t, root, outsideFile(t)) {
		if err := root.MakeDirectory(name, 0o755); (err == nil) != (name == "directory") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.Symlink("directory", root.Join("inner")); err != nil {
		t.Fatal(err)
	}
	if err := root.MakeDirectory("inner", 0o755); err == nil {
		t.Error("a link to a directory is taken for one")
	}
}

func openDescriptor(t *testing.T, path string) int {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// A removal only descends into directories: through no link, never upwards, and
// not into another file system.
func TestOpenSubdirectory(t *testing.T) {
	directory := t.TempDir()
	testkit.WriteFile(t, filepath.Join(directory, "tree", "sub", "file"), "")
	for name, target := range map[string]string{"link": "sub", "out": ".."} {
		if err := os.Symlink(target, filepath.Join(directory, "tree", name)); err != nil {
			t.Fatal(err)
		}
	}
	tree := openDescriptor(t, filepath.Join(directory, "tree"))
	for name, wanted := range map[string]bool{"sub": true, "link": false, "out": false, "..": false, "out/tree": false} {
		fd, err := openSubdirectory(tree, name)
		if (err == nil) != wanted {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			unix.Close(fd)
		}
	}
	if fd, err := openSubdirectory(openDescriptor(t, "/"), "proc"); !errors.Is(err, unix.EXDEV) {
		t.Errorf("another file system: %d, %v", fd, err)
	}
}

// The same if the kernel doesn't support that.
func TestOpenSameDevice(t *testing.T) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	if fd, err := openSameDevice(openDescriptor(t, "/"), "proc", flags); !errors.Is(err, unix.EXDEV) {
		t.Errorf("another file system: %d, %v", fd, err)
	}
	directory := t.TempDir()
	testkit.WriteFile(t, filepath.Join(directory, "sub", "file"), "")
	fd, err := openSameDevice(openDescriptor(t, directory), "sub", flags)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
}

// A directory that was moved has another parent, in which no removal may
// continue.
func TestReopenParent(t *testing.T) {
	directory := t.TempDir()
	child := filepath.Join(directory, "above", "child")
	for _, path := range []string{child, filepath.Join(directory, "elsewhere")} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var status unix.Stat_t
	if err := unix.Stat(filepath.Dir(child), &status); err != nil {
		t.Fatal(err)
	}
	fd := openDescriptor(t, child)
	parent := treeLevel{fd: -1, dev: uint64(status.Dev), ino: status.Ino}
	if err := reopenParent(fd, &parent); err != nil || parent.fd < 0 {
		t.Fatal(err)
	}
	unix.Close(parent.fd)
	parent.fd = -1
	if err := os.Rename(child, filepath.Join(directory, "elsewhere", "child")); err != nil {
		t.Fatal(err)
	}
	if err := reopenParent(fd, &parent); !errors.Is(err, errRestart) || parent.fd >= 0 {
		t.Errorf("moved: %v", err)
	}
}

// The former owner of a directory that is being emptied can't add to it any more.
func TestSeize(t *testing.T) {
	testkit.Root(t)
	directory := t.TempDir()
	if err := errors.Join(os.Chown(directory, 29998, 29998), os.Chmod(directory, 0o777)); err != nil {
		t.Fatal(err)
	}
	if _, err := seize(openDescriptor(t, directory)); err != nil {
		t.Fatal(err)
	}
	var status unix.Stat_t
	if err := unix.Stat(directory, &status); err != nil || status.Uid != 0 || status.Mode&0o7777 != 0o700 {
		t.Errorf("it belongs to %d, mode %o, %v", status.Uid, status.Mode, err)
	}
}

// A directory that somebody keeps filling is given up.
func TestRemovalEnds(t *testing.T) {
	var level treeLevel
	for range removalPasses {
		if err := level.pass(); err != nil {
			t.Fatal(err)
		}
	}
	if err := level.pass(); err == nil {
		t.Error("it goes on for ever")
	}
}

// A directory that a user keeps filling in place of the agent's file delays it
// for a limited time only.
func TestClearEnds(t *testing.T) {
	partition := openForTest(t)
	testkit.WriteFile(t, partition.Join("full/file"), "")
	partition.clearTime = 0
	for _, work := range []func() error{
		func() error { return partition.Clear("full") },
		func() error { return partition.Write("full", nil, AgentFile) },
	} {
		if err := work(); err == nil || !strings.Contains(err.Error(), partition.Join("full")+": a directory in the place of a file") {
			t.Error(err)
		}
	}
	partition.clearTime = time.Minute
	if err := partition.Clear("full"); err != nil || partition.Exists("full") {
		t.Error(err)
	}
}
