// SPDX-License-Identifier: GPL-3.0-or-later

package confined

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap/testkit"
)

// placeForTest makes a place of an owner with the directory "release" of User.
func placeForTest(t *testing.T, owner int) *Place {
	t.Helper()
	top := filepath.Join(t.TempDir(), "software")
	testkit.WriteFile(t, filepath.Join(top, "release/file"), "own")
	testkit.HandOver(t, filepath.Join(top, "release"))
	testkit.HandOver(t, filepath.Join(top, "release/file"))
	if os.Geteuid() == 0 {
		if err := errors.Join(os.Chmod(top, 0o755), os.Lchown(top, owner, owner)); err != nil {
			t.Fatal(err)
		}
	}
	place, err := OpenPlace(top)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { place.Close() })
	return place
}

// secretDirectory is one that only root can reach, with a file.
func secretDirectory(t *testing.T) string {
	directory := filepath.Join(t.TempDir(), "secret")
	testkit.WriteFile(t, filepath.Join(directory, "file"), "secret")
	if err := os.Chmod(directory, 0o700); err != nil {
		t.Fatal(err)
	}
	return directory
}

func symlink(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

// GRID-101, D-31: what is opened in a place is there, and belongs to the required owner.
func TestPlace(t *testing.T) {
	place := placeForTest(t, testkit.User())
	opened, err := place.Open("release", testkit.User())
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	if content, err := opened.ReadOwn("file"); err != nil || string(content) != "own" {
		t.Errorf("%q, %v", content, err)
	}
	for _, name := range []string{"", ".", "..", "/", "a/b", "../software/release", "release/", "a\x00b"} {
		if opened, err := place.Open(name, Anybody); err == nil {
			t.Errorf("opened %q: %s", name, opened.Name())
		}
		if err := place.Make(name, 0o755); err == nil {
			t.Errorf("made %q", name)
		}
		if err := place.Remove(t.Context(), name); err == nil {
			t.Errorf("removed %q", name)
		}
	}
	if _, err := place.Open("missing", Anybody); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	testkit.WriteFile(t, place.Path("plain"), "")
	if err := syscall.Mkfifo(place.Path("pipe"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"plain", "pipe"} {
		if _, err := place.Open(name, Anybody); !errors.Is(err, syscall.ENOTDIR) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if names, err := place.Names(); err != nil || len(names) != 3 {
		t.Errorf("%v, %v", names, err)
	}
	if err := place.Remove(t.Context(), "release"); err != nil || place.Exists("release") {
		t.Errorf("not removed: %v", err)
	}
}

// GRID-101: a directory must belong to its required owner.
func TestPlaceOwner(t *testing.T) {
	testkit.Root(t)
	place := placeForTest(t, testkit.User())
	var wrong *OwnerError
	if _, err := place.Open("release", 29998); !errors.As(err, &wrong) || wrong.UID != testkit.User() {
		t.Errorf("opened another user's: %v", err)
	}
	if _, err := OpenOf(place.Path("release"), 29998); !errors.As(err, &wrong) {
		t.Errorf("opened another user's by its path: %v", err)
	}
}

// GRID-101, D-31: only root's links are followed, and only where only root can write.
func TestPlaceLinks(t *testing.T) {
	testkit.Root(t)
	for name, test := range map[string]struct {
		owner  int         // of the place
		mode   fs.FileMode // of the place
		link   int         // owner of the link
		target int         // owner of its target
		want   bool        // opened
	}{
		"of a user in a place of the user": {testkit.User(), 0o755, testkit.User(), testkit.User(), false},
		"of root in a place of a user":     {testkit.User(), 0o755, 0, testkit.User(), false},
		"of a user in a place of root":     {0, 0o755, testkit.User(), testkit.User(), false},
		"in a place that a group writes":   {0, 0o775, 0, testkit.User(), false},
		"in a place that all write":        {0, 0o1777, 0, testkit.User(), false},
		"of root to root's":                {0, 0o755, 0, 0, false},
		"of root":                          {0, 0o755, 0, testkit.User(), true},
	} {
		t.Run(name, func(t *testing.T) {
			top := placeForTest(t, test.owner)
			if err := syscall.Chmod(top.path, uint32(test.mode)); err != nil {
				t.Fatal(err)
			}
			elsewhere := secretDirectory(t)
			symlink(t, elsewhere, top.Path("moved"))
			if err := errors.Join(os.Chown(elsewhere, test.target, test.target), os.Lchown(top.Path("moved"), test.link, test.link)); err != nil {
				t.Fatal(err)
			}
			place, err := OpenPlace(top.path)
			if err != nil {
				t.Fatal(err)
			}
			defer place.Close()
			opened, err := place.Open("moved", testkit.User())
			if err == nil {
				opened.Close()
			}
			if (err == nil) != test.want {
				t.Errorf("opened: %v", err)
			}
		})
	}
}

// GRID-101: where only root can write, a mount is the administrator's;
// elsewhere anybody may have made it who can show the agent a place with mounts
// of their own.
func TestPlaceMounts(t *testing.T) {
	testkit.Root(t)
	if !testkit.InNamespace(t, syscall.CLONE_NEWNS) {
		return
	}
	for owner, want := range map[int]bool{0: true, testkit.User(): false} {
		place := placeForTest(t, owner)
		elsewhere := secretDirectory(t)
		testkit.HandOver(t, elsewhere)
		if err := unix.Mount(elsewhere, place.Path("release"), "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(place.Path("release"), unix.MNT_DETACH) })
		opened, err := place.Open("release", testkit.User())
		if err == nil {
			opened.Close()
		}
		if (err == nil) != want {
			t.Errorf("place of user %d: %v", owner, err)
		}
	}
}

// GRID-101: what was checked is used, even if a path shows the same directory
// with another mount over its content.
func TestOpenIdentical(t *testing.T) {
	testkit.Root(t)
	if !testkit.InNamespace(t, syscall.CLONE_NEWNS) {
		return
	}
	place, elsewhere := placeForTest(t, testkit.User()), secretDirectory(t)
	fd, err := place.enter("release")
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	wanted, _, err := identify(fd)
	if err != nil {
		t.Fatal(err)
	}
	text, err := mountInText(fd)
	if err != nil || text != wanted.mount {
		t.Errorf("mount %d, by its text %d, %v", wanted.mount, text, err)
	}
	same, err := openIdentical(place.Path("release"), wanted, true)
	if err != nil {
		t.Fatal(err)
	}
	same.Close()
	view := filepath.Join(elsewhere, "view")
	if err := os.Mkdir(view, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(place.Path("release"), view, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(view, unix.MNT_DETACH) })
	for _, other := range []string{elsewhere, view} {
		if opened, err := openIdentical(other, wanted, true); !errors.Is(err, errExchanged) {
			t.Errorf("%s: %v, %v", other, opened, err)
		}
	}
}

// GRID-101: a user who exchanges names at full speed gains nothing.
func TestPlaceExchanged(t *testing.T) {
	testkit.Root(t)
	place, secret := placeForTest(t, testkit.User()), secretDirectory(t)
	symlink(t, secret, place.Path("link"))
	exchange(t, place.Path("release"), place.Path("link"))
	opened := 0
	for deadline := time.Now().Add(raceTime()); time.Now().Before(deadline); {
		release, err := place.Open("release", testkit.User())
		if err != nil {
			continue
		}
		if content, err := release.Read("file"); err != nil || string(content) != "own" {
			t.Errorf("read %q, %v", content, err)
		}
		release.Close()
		opened++
	}
	if opened == 0 {
		t.Error("never opened")
	}
}

// raceTime is how long a race runs: longer in `make soak`.
func raceTime() time.Duration { return time.Duration(testkit.Rounds(2)) * time.Second }

// exchange exchanges two names until the test ends.
func exchange(t *testing.T, one, other string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			_ = unix.Renameat2(unix.AT_FDCWD, one, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE)
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
}

// GRID-103: root gives away only what it has just made.
func TestMakeExchanged(t *testing.T) {
	testkit.Root(t)
	place := placeForTest(t, testkit.User())
	secret := place.Path("secret") // owned by root, in a user's place
	testkit.WriteFile(t, filepath.Join(secret, "file"), "secret")
	if err := os.Chmod(secret, 0o700); err != nil {
		t.Fatal(err)
	}
	made := place.Path("made")
	var secrets []*os.File
	remember := func(path string) {
		opened, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { opened.Close() })
		secrets = append(secrets, opened)
	}
	remember(secret)
	exchange(t, secret, made)
	exchange(t, secret, place.Path(".slapos-new-made"))
	release, err := place.Open("release", testkit.User())
	if err != nil {
		t.Fatal(err)
	}
	defer release.Close()
	testkit.WriteFile(t, release.Join("secret/file"), "secret")
	remember(release.Join("secret"))
	exchange(t, release.Join("secret"), release.Join("extends-cache"))
	exchange(t, release.Join("secret"), release.Join(".slapos-new-extends-cache"))
	exchange(t, release.Join("secret"), release.Join(".software_release.new"))
	done := 0
	for deadline := time.Now().Add(raceTime()); time.Now().Before(deadline); {
		if place.Make("made", 0o755) == nil {
			done++
		}
		_ = release.MakeDirectory("extends-cache", 0o755)
		_ = release.Link("/somewhere", "software_release")
		for _, opened := range secrets {
			if info, err := opened.Stat(); err != nil {
				t.Fatal(err)
			} else if uid, _ := Owner(info); uid != 0 {
				t.Fatalf("%s was given to user %d", opened.Name(), uid)
			}
		}
		_ = os.Remove(made)
		_ = os.Remove(release.Join("extends-cache"))
		_ = os.Remove(release.Join("software_release"))
	}
	if done == 0 {
		t.Error("never made")
	}
}

// GRID-103: nobody else can reach the directory in which root makes what it
// gives away; and what is given as a link is a link.
func TestMadeInPrivate(t *testing.T) {
	testkit.Root(t)
	directory := openForTest(t)
	for name, mode := range map[string]fs.FileMode{"open": 0o755, "user's": 0o700, "private": 0o700} {
		if err := os.Mkdir(directory.Join(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	testkit.HandOver(t, directory.Join("user's"))
	parent, err := directory.Handle()
	if err != nil {
		t.Fatal(err)
	}
	defer parent.Close()
	for name, want := range map[string]error{"open": errExchanged, "user's": errExchanged, "private": nil} {
		fd, err := openPrivate(int(parent.Fd()), name)
		if err == nil {
			unix.Close(fd)
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := directory.giveLink("private"); !errors.Is(err, errExchanged) || testkit.OwnerOf(t, directory.Join("private")) != 0 {
		t.Errorf("given away: %v", err)
	}
}

// A directory that a killed agent left before giving it away is made again; one
// with content is left.
func TestMakeDirectoryAgain(t *testing.T) {
	testkit.Root(t)
	directory := openForTest(t)
	testkit.WriteFile(t, directory.Join("full/file"), "")
	for name, want := range map[string]int{"empty": testkit.User(), "full": 0} {
		if err := os.Mkdir(directory.Join(name), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
		if err := directory.MakeDirectory(name, 0o755); err != nil {
			t.Fatal(err)
		}
		if uid := testkit.OwnerOf(t, directory.Join(name)); uid != want {
			t.Errorf("%s belongs to %d", name, uid)
		}
	}
	if info, err := os.Stat(directory.Join("empty")); err != nil || info.Mode().Perm() != 0o755&^umask() {
		t.Errorf("%v, %v", info, err)
	}
}
