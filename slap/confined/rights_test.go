// SPDX-License-Identifier: GPL-3.0-or-later

package confined

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"slapos/slap/testkit"
)

// With a user's rights, one can only do what that user may, and what one makes
// belongs to the user.
func TestRights(t *testing.T) {
	testkit.Root(t)
	partition := openForTest(t)
	closed := testkit.WriteFile(t, partition.Join("closed"), "root's")
	if err := os.Chmod(closed, 0o600); err != nil {
		t.Fatal(err)
	}
	above := filepath.Dir(partition.Name())
	for _, directory := range []string{above, filepath.Dir(above)} {
		if err := os.Chmod(directory, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	rights, err := TakeRights(testkit.User(), testkit.User(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer rights.Close()
	opened, err := rights.Open(partition.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	if err := rights.Do(func() error { _, err := opened.Read("closed"); return err }); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a file of root's: %v", err)
	}
	for _, attributes := range []Attributes{{UID: -1, GID: -1, Volatile: true, Temporary: "x.tmp"}, AgentFile, {Mode: 0o600, UID: 0, GID: 0}} {
		if err := rights.Do(func() error { return opened.Write("made", []byte("text"), attributes) }); err != nil {
			t.Fatalf("%+v: %v", attributes, err)
		}
		if uid := testkit.OwnerOf(t, partition.Join("made")); uid != testkit.User() {
			t.Errorf("%+v: owner %d", attributes, uid)
		}
	}
	if err := rights.Do(func() error { return opened.GiveAway("closed") }); err != nil || testkit.OwnerOf(t, closed) != 0 {
		t.Errorf("a user gave a file of root's away: %v", err)
	}
	testkit.WriteFile(t, partition.Join("sub/closed"), "root's")
	testkit.HandOver(t, partition.Join("sub"))
	var below *Directory
	err = rights.Do(func() (err error) { below, err = opened.Below("sub"); return err })
	if err != nil {
		t.Fatal(err)
	}
	defer below.Close()
	if err := rights.Do(func() error { return below.GiveAway("closed") }); err != nil || testkit.OwnerOf(t, partition.Join("sub/closed")) != 0 {
		t.Errorf("below, a user gave a file of root's away: %v", err)
	}
	if _, err := partition.Read("closed"); err != nil {
		t.Errorf("the agent itself: %v", err)
	}
}

// Only root's directories are given away, and no link on the way is followed.
func TestGivePath(t *testing.T) {
	testkit.Root(t)
	partition := openForTest(t)
	outside := t.TempDir()
	for _, directory := range []string{partition.Join("a/b/c"), partition.Join("theirs/b"), partition.Join("real/b")} {
		if err := os.MkdirAll(directory, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(partition.Join("theirs"), 29997, 29997); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"outside": outside, "inside": "real"} {
		if err := os.Symlink(target, partition.Join(name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, directory := range []string{"closed/b", "empty"} {
		if err := os.MkdirAll(partition.Join(directory), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, fails := range map[string]bool{"closed/b": true, "empty": false, "a/b/c": false, "theirs/b": false, "none/b": false, "outside/b": true, "inside/b": true} {
		if err := partition.GivePath(name); (err != nil) != fails {
			t.Errorf("%s: %v", name, err)
		}
	}
	want := map[string]int{"a": testkit.User(), "a/b/c": testkit.User(), "theirs": 29997, "theirs/b": testkit.User(), "real/b": 0, "closed": 0, "empty": testkit.User()}
	for name, uid := range want {
		if got := testkit.OwnerOf(t, partition.Join(name)); got != uid {
			t.Errorf("%s: owner %d, want %d", name, got, uid)
		}
	}
	if testkit.OwnerOf(t, outside) != 0 {
		t.Error("a directory outside was given away")
	}
}

// What is mounted in a partition is the administrator's, and stays so.
func TestGivePathOfMount(t *testing.T) {
	testkit.Root(t)
	if !testkit.InNamespace(t, syscall.CLONE_NEWNS) {
		return
	}
	partition := openForTest(t)
	outside, mounted := t.TempDir(), partition.Join("state")
	if err := errors.Join(os.Mkdir(mounted, 0o755), unix.Mount(outside, mounted, "", unix.MS_BIND, "")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(mounted, unix.MNT_DETACH) })
	if err := partition.GivePath("state"); err == nil || testkit.OwnerOf(t, outside) != 0 {
		t.Errorf("what is mounted was given to user %d: %v", testkit.OwnerOf(t, outside), err)
	}
}

// A directory can be listed in part; a directory below follows the same rules.
func TestList(t *testing.T) {
	partition := openForTest(t)
	for _, name := range []string{"a", "b", "c"} {
		testkit.WriteFile(t, partition.Join("full/"+name), name)
	}
	below, err := partition.Below("full")
	if err != nil {
		t.Fatal(err)
	}
	defer below.Close()
	for limit, more := range map[int]bool{1: true, 2: true, 3: false, 9: false} {
		entries, got, err := below.List(".", limit)
		if err != nil || got != more || len(entries) != min(limit, 3) {
			t.Errorf("at most %d: %v, %v, %v", limit, entries, got, err)
		}
	}
	if entries, more, err := partition.List("none", 1); len(entries) > 0 || more || err != nil {
		t.Errorf("missing: %v, %v, %v", entries, more, err)
	}
	if _, _, err := partition.List("full/a", 1); err == nil {
		t.Error("a file was listed")
	}
	if content, err := below.Read("a"); string(content) != "a" || err != nil {
		t.Errorf("below: %q, %v", content, err)
	}
}
