// SPDX-License-Identifier: GPL-3.0-or-later

package confined

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"slapos/slap/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// openForTest makes the directory of a partition, and opens it.
func openForTest(t *testing.T) *Directory {
	t.Helper()
	directory := filepath.Join(t.TempDir(), "slappart0")
	if err := os.Mkdir(directory, 0o750); err != nil {
		t.Fatal(err)
	}
	testkit.HandOver(t, directory)
	root, err := Open(directory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

// hostileNames puts something under each name that a partition's user may put
// in place of the agent's file.
func hostileNames(t *testing.T, root *Directory, outside string) []string {
	t.Helper()
	make := map[string]func(path string) error{
		"link":      func(path string) error { return os.Symlink(outside, path) },
		"pipe":      func(path string) error { return syscall.Mkfifo(path, 0o666) },
		"directory": func(path string) error { return os.Mkdir(path, 0o755) },
	}
	if os.Geteuid() == 0 { // otherwise outside belongs to the partition's user
		make["hard link"] = func(path string) error { return os.Link(outside, path) }
	}
	var names []string
	for name, create := range make {
		if err := create(root.Join(name)); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

func outsideFile(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "secret")
	testkit.WriteFile(t, path, "secret")
	return path
}

func TestRead(t *testing.T) {
	root := openForTest(t)
	for _, name := range hostileNames(t, root, outsideFile(t)) {
		if content, err := root.ReadOwn(name); err == nil {
			t.Errorf("%s: read %q", name, content)
		}
	}
	for _, name := range []string{"pipe", "directory"} {
		if _, err := root.Read(name); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
			t.Errorf("%s: %v", name, err)
		}
	}
	testkit.WriteFile(t, root.Join("plain"), "text")
	testkit.HandOver(t, root.Join("plain"))
	if content, err := root.ReadOwn("plain"); err != nil || string(content) != "text" {
		t.Errorf("own: %q, %v", content, err)
	}
	if content, err := root.Read("plain"); err != nil || string(content) != "text" {
		t.Errorf("plain: %q, %v", content, err)
	}
	if _, err := root.Read("absent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	testkit.WriteFile(t, root.Join("huge"), strings.Repeat("x", MaxFile+1))
	if _, err := root.Read("huge"); err == nil {
		t.Error("huge: no error")
	}
}

func TestWrite(t *testing.T) {
	root, outside := openForTest(t), outsideFile(t)
	for _, name := range hostileNames(t, root, outside) {
		err := root.Write(name, []byte("new"), Attributes{Mode: 0o640, UID: -1, GID: root.GID})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		info, err := os.Lstat(root.Join(name))
		if err != nil || info.Mode() != 0o640 || testkit.ReadFile(t, root.Join(name)) != "new" {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
		if uid, gid := Owner(info); uid != os.Geteuid() || gid != root.GID && os.Geteuid() == 0 {
			t.Errorf("%s: owner %d:%d", name, uid, gid)
		}
	}
	if got := testkit.ReadFile(t, outside); got != "secret" {
		t.Errorf("the file outside holds %q", got)
	}
	for _, name := range []string{"full/a/b", ".new.new/c"} {
		testkit.WriteFile(t, root.Join(name), "")
	}
	for _, name := range []string{"full", "new"} {
		if err := root.Write(name, []byte("new"), AgentFile); err != nil || testkit.ReadFile(t, root.Join(name)) != "new" {
			t.Errorf("%s, where directories were: %v", name, err)
		}
	}
	// The remains of a killed agent are no obstacle.
	testkit.WriteFile(t, root.Join(temporaryName(".timestamp")), "half")
	if err := root.Write(".timestamp", []byte("12"), AgentFile); err != nil {
		t.Error(err)
	}
	entries, _ := root.Entries(".")
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return strings.HasSuffix(e.Name(), ".new") }) {
		t.Errorf("a temporary file is left in %v", entries)
	}
}

func TestAppend(t *testing.T) {
	root, outside := openForTest(t), outsideFile(t)
	for _, name := range hostileNames(t, root, outside) {
		file, err := root.Append(name, 0o644)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		file.WriteString("line\n")
		file.Close()
		if got := testkit.ReadFile(t, root.Join(name)); got != "line\n" {
			t.Errorf("%s holds %q", name, got)
		}
	}
	file, err := root.Append("link", 0o644)
	if err != nil {
		t.Fatal(err)
	}
	file.WriteString("more\n")
	file.Close()
	if got := testkit.ReadFile(t, root.Join("link")); got != "line\nmore\n" {
		t.Errorf("second append: %q", got)
	}
	if got := testkit.ReadFile(t, outside); got != "secret" {
		t.Errorf("the file outside holds %q", got)
	}
}

func TestEntries(t *testing.T) {
	root := openForTest(t)
	for _, name := range hostileNames(t, root, outsideFile(t)) {
		entries, err := root.Entries(name)
		if len(entries) > 0 || err != nil && name != "link" {
			t.Errorf("%s: %v, %v", name, entries, err)
		}
	}
}

func TestLink(t *testing.T) {
	root := openForTest(t)
	for _, target := range []string{"/first", "/second", "/second"} {
		if err := root.Link(target, "software_release"); err != nil {
			t.Fatal(err)
		}
		if got, err := os.Readlink(root.Join("software_release")); err != nil || got != target {
			t.Errorf("link to %q, %v, want %s", got, err, target)
		}
		if uid := testkit.OwnerOf(t, root.Join("software_release")); uid != testkit.User() {
			t.Errorf("owner %d", uid)
		}
	}
	testkit.WriteFile(t, root.Join("plain"), "kept")
	if err := root.Link("/first", "plain"); err != nil || testkit.ReadFile(t, root.Join("plain")) != "kept" {
		t.Errorf("a file was replaced: %v", err)
	}
}

func TestGiveAway(t *testing.T) {
	testkit.Root(t) // only root can give files away
	root, outside := openForTest(t), outsideFile(t)
	hostileNames(t, root, outside)
	for _, protected := range []bool{false, true} {
		root.linksProtected = protected
		if err := root.GiveAway("hard link"); !errors.Is(err, errMaybeLinked) {
			t.Errorf("giving away a hard link: %v", err)
		}
	}
	for _, name := range []string{"link", "pipe", "directory"} {
		if err := root.GiveAway(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if uid := testkit.OwnerOf(t, root.Join(name)); uid != testkit.User() {
			t.Errorf("%s: owner %d", name, uid)
		}
	}
	if uid := testkit.OwnerOf(t, outside); uid != 0 {
		t.Errorf("the file outside belongs to %d", uid)
	}
	for _, name := range []string{"tree/a/b", "tree/root's", "tree/empty", "tree/other's"} {
		if err := os.MkdirAll(root.Join(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	testkit.WriteFile(t, root.Join("tree/a/b/file"), "")
	testkit.WriteFile(t, root.Join("tree/root's/file"), "")
	for _, name := range []string{"secret", "other's/file"} {
		if err := os.WriteFile(root.Join("tree/"+name), []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"root's", "empty", "other's"} {
		if err := os.Chmod(root.Join("tree/"+name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"other's", "other's/file"} { // of the partition's former user
		if err := os.Chown(root.Join("tree/"+name), 29997, 29997); err != nil {
			t.Fatal(err)
		}
	}
	if err := root.GiveAwayTree("tree"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{
		"a": testkit.User(), "a/b": testkit.User(), "a/b/file": testkit.User(), "empty": testkit.User(),
		"other's": testkit.User(), "other's/file": testkit.User(), "root's": 0, "secret": 0,
	} {
		if uid := testkit.OwnerOf(t, root.Join("tree/"+name)); uid != want {
			t.Errorf("%s: owner %d, want %d", name, uid, want)
		}
	}
	// What belongs to the user already isn't touched.
	changed := func() syscall.Timespec {
		info, err := os.Lstat(root.Join("tree/a/b/file"))
		if err != nil {
			t.Fatal(err)
		}
		return info.Sys().(*syscall.Stat_t).Ctim
	}
	before := changed()
	if err := root.GiveAwayTree("tree"); err != nil || changed() != before {
		t.Errorf("given away again: %v", err)
	}
}

// A user who swaps names at full speed gains nothing.
func TestSwapping(t *testing.T) {
	t.Parallel()
	testkit.Root(t)
	root, outside := openForTest(t), outsideFile(t)
	root.linksProtected = false
	var swapped atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			os.Remove(root.Join("a"))
			os.WriteFile(root.Join("a"), nil, 0o600)
			os.Link(outside, root.Join("b"))
			unix.Renameat2(unix.AT_FDCWD, root.Join("a"), unix.AT_FDCWD, root.Join("b"), unix.RENAME_EXCHANGE)
			os.Remove(root.Join("b"))
			swapped.Add(1)
		}
	}()
	for range 2000 {
		root.GiveAway("a")
		if file, err := root.Append("b", 0o644); err == nil {
			file.WriteString("x")
			file.Close()
		}
		root.Write("b", []byte("y"), Attributes{Mode: 0o600, UID: root.UID, GID: root.GID})
	}
	testkit.Eventually(t, testkit.Patience, "the user has swapped often", func() bool { return swapped.Load() >= 1000 })
	close(stop)
	<-stopped
	if uid := testkit.OwnerOf(t, outside); uid != 0 || testkit.ReadFile(t, outside) != "secret" {
		t.Errorf("the file outside: owner %d, content %q", uid, testkit.ReadFile(t, outside))
	}
}
