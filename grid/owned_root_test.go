// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slapos/grid/testenv"
	"slapos/slap/testkit"
)

func TestMain(m *testing.M) {
	if os.Args[0] == "supervisord" {
		superviseForTests()
	}
	testenv.Main(m)
}

// newOwnedRoot makes the directory of a partition, and opens it.
func newOwnedRoot(t *testing.T) *ownedRoot {
	t.Helper()
	directory := filepath.Join(t.TempDir(), "slappart0")
	if err := os.Mkdir(directory, 0o750); err != nil {
		t.Fatal(err)
	}
	testenv.HandOver(t, directory)
	root, err := openOwnedRoot(directory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func ownerOf(t *testing.T, path string) int {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := owner(info)
	return uid
}

// hostileNames makes, under each name, what the user of a partition may put in
// the place of a file of the agent.
func hostileNames(t *testing.T, root *ownedRoot, outside string) []string {
	t.Helper()
	make := map[string]func(path string) error{
		"link":      func(path string) error { return os.Symlink(outside, path) },
		"pipe":      func(path string) error { return syscall.Mkfifo(path, 0o666) },
		"directory": func(path string) error { return os.Mkdir(path, 0o755) },
	}
	if os.Geteuid() == 0 { // else outside is the partition user's own
		make["hard link"] = func(path string) error { return os.Link(outside, path) }
	}
	var names []string
	for name, create := range make {
		if err := create(root.join(name)); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

func outsideFile(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "secret")
	writeFile(t, path, "secret")
	return path
}

func TestOwnedRootRead(t *testing.T) {
	root := newOwnedRoot(t)
	for _, name := range hostileNames(t, root, outsideFile(t)) {
		if content, err := root.readOwn(name); err == nil {
			t.Errorf("%s: read %q", name, content)
		}
	}
	for _, name := range []string{"pipe", "directory"} {
		if _, err := root.read(name); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
			t.Errorf("%s: %v", name, err)
		}
	}
	writeFile(t, root.join("plain"), "text")
	testenv.HandOver(t, root.join("plain"))
	if content, err := root.readOwn("plain"); err != nil || string(content) != "text" {
		t.Errorf("own: %q, %v", content, err)
	}
	if content, err := root.read("plain"); err != nil || string(content) != "text" {
		t.Errorf("plain: %q, %v", content, err)
	}
	if _, err := root.read("absent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	writeFile(t, root.join("huge"), strings.Repeat("x", maxFile+1))
	if _, err := root.read("huge"); err == nil {
		t.Error("huge: no error")
	}
}

func TestOwnedRootWrite(t *testing.T) {
	root, outside := newOwnedRoot(t), outsideFile(t)
	for _, name := range hostileNames(t, root, outside) {
		err := root.write(name, []byte("new"), attributes{mode: 0o640, uid: -1, gid: root.gid})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		info, err := os.Lstat(root.join(name))
		if err != nil || info.Mode() != 0o640 || readFile(t, root.join(name)) != "new" {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
		if uid, gid := owner(info); uid != os.Geteuid() || gid != root.gid && os.Geteuid() == 0 {
			t.Errorf("%s: owner %d:%d", name, uid, gid)
		}
	}
	if got := readFile(t, outside); got != "secret" {
		t.Errorf("the file outside holds %q", got)
	}
	for _, name := range []string{"full/a/b", ".new.new/c"} {
		writeFile(t, root.join(name), "")
	}
	for _, name := range []string{"full", "new"} {
		if err := root.write(name, []byte("new"), agentFile); err != nil || readFile(t, root.join(name)) != "new" {
			t.Errorf("%s, where directories were: %v", name, err)
		}
	}
	// The remains of an agent that was killed are no obstacle.
	writeFile(t, root.join(root.temporary(".timestamp")), "half")
	if err := root.write(".timestamp", []byte("12"), agentFile); err != nil {
		t.Error(err)
	}
	entries, _ := root.entries(".")
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return strings.HasSuffix(e.Name(), ".new") }) {
		t.Errorf("a temporary file is left in %v", entries)
	}
}

func TestOwnedRootAppend(t *testing.T) {
	root, outside := newOwnedRoot(t), outsideFile(t)
	for _, name := range hostileNames(t, root, outside) {
		file, err := root.append(name, 0o644)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		file.WriteString("line\n")
		file.Close()
		if got := readFile(t, root.join(name)); got != "line\n" {
			t.Errorf("%s holds %q", name, got)
		}
	}
	file, err := root.append("link", 0o644)
	if err != nil {
		t.Fatal(err)
	}
	file.WriteString("more\n")
	file.Close()
	if got := readFile(t, root.join("link")); got != "line\nmore\n" {
		t.Errorf("second append: %q", got)
	}
	if got := readFile(t, outside); got != "secret" {
		t.Errorf("the file outside holds %q", got)
	}
}

func TestOwnedRootEntries(t *testing.T) {
	root := newOwnedRoot(t)
	for _, name := range hostileNames(t, root, outsideFile(t)) {
		entries, err := root.entries(name)
		if len(entries) > 0 || err != nil && name != "link" {
			t.Errorf("%s: %v, %v", name, entries, err)
		}
	}
}

func TestOwnedRootLink(t *testing.T) {
	root := newOwnedRoot(t)
	for _, target := range []string{"/first", "/second", "/second"} {
		if err := root.link(target, "software_release"); err != nil {
			t.Fatal(err)
		}
		if got, err := os.Readlink(root.join("software_release")); err != nil || got != target {
			t.Errorf("link to %q, %v, want %s", got, err, target)
		}
		if uid := ownerOf(t, root.join("software_release")); uid != testenv.User() {
			t.Errorf("owner %d", uid)
		}
	}
	writeFile(t, root.join("plain"), "kept")
	if err := root.link("/first", "plain"); err != nil || readFile(t, root.join("plain")) != "kept" {
		t.Errorf("a file was replaced: %v", err)
	}
}

func TestOwnedRootGiveAway(t *testing.T) {
	testkit.Root(t) // nobody else gives files away
	root, outside := newOwnedRoot(t), outsideFile(t)
	hostileNames(t, root, outside)
	for _, protected := range []bool{false, true} {
		root.linksProtected = protected
		if err := root.giveAway("hard link"); !errors.Is(err, errMaybeLinked) {
			t.Errorf("giving away a hard link: %v", err)
		}
	}
	for _, name := range []string{"link", "pipe", "directory"} {
		if err := root.giveAway(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if uid := ownerOf(t, root.join(name)); uid != testenv.User() {
			t.Errorf("%s: owner %d", name, uid)
		}
	}
	if uid := ownerOf(t, outside); uid != 0 {
		t.Errorf("the file outside belongs to %d", uid)
	}
	if err := os.MkdirAll(root.join("tree/a/b"), 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, root.join("tree/a/b/file"), "")
	if err := root.giveAwayTree("tree"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tree/a", "tree/a/b", "tree/a/b/file"} {
		if uid := ownerOf(t, root.join(name)); uid != testenv.User() {
			t.Errorf("%s: owner %d", name, uid)
		}
	}
	// What is the user's already isn't touched.
	changed := func() syscall.Timespec { return statOf(t, root.join("tree/a/b/file")).Sys().(*syscall.Stat_t).Ctim }
	before := changed()
	if err := root.giveAwayTree("tree"); err != nil || changed() != before {
		t.Errorf("given away again: %v", err)
	}
}

// A user who swaps names as fast as possible gains nothing.
func TestOwnedRootSwapping(t *testing.T) {
	t.Parallel()
	testkit.Root(t)
	root, outside := newOwnedRoot(t), outsideFile(t)
	root.linksProtected = false
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			os.Remove(root.join("a"))
			os.WriteFile(root.join("a"), nil, 0o600)
			os.Link(outside, root.join("b"))
			unix.Renameat2(unix.AT_FDCWD, root.join("a"), unix.AT_FDCWD, root.join("b"), unix.RENAME_EXCHANGE)
			os.Remove(root.join("b"))
		}
	}()
	for began := time.Now(); time.Since(began) < time.Second; {
		root.giveAway("a")
		if file, err := root.append("b", 0o644); err == nil {
			file.WriteString("x")
			file.Close()
		}
		root.write("b", []byte("y"), attributes{mode: 0o600, uid: root.uid, gid: root.gid})
	}
	close(stop)
	<-stopped
	if uid := ownerOf(t, outside); uid != 0 || readFile(t, outside) != "secret" {
		t.Errorf("the file outside: owner %d, content %q", uid, readFile(t, outside))
	}
}
