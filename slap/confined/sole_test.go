// SPDX-License-Identifier: GPL-3.0-or-later

package confined

import (
	"errors"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"slapos/slap/testkit"
)

// A file of the agent with one name is opened, whether hard links are protected
// or not, and stays where it is. Everything else is refused and left.
func TestOpenSole(t *testing.T) {
	t.Parallel()
	for _, protected := range []bool{true, false} {
		root := openForTest(t)
		root.linksProtected = protected
		outside := outsideFile(t)
		testkit.WriteFile(t, root.Join("own"), "content")
		for name, make := range map[string]func(path string) error{
			"link":      func(path string) error { return os.Symlink(outside, path) },
			"pipe":      func(path string) error { return unix.Mkfifo(path, 0o600) },
			"directory": func(path string) error { return os.Mkdir(path, 0o755) },
			"two names": func(path string) error { return os.Link(outside, path) },
		} {
			if err := make(root.Join(name)); err != nil {
				t.Fatal(err)
			}
			if file, _, err := root.OpenSole(name, os.O_RDONLY); err == nil {
				file.Close()
				t.Errorf("%s: it was opened", name)
			}
			if !root.Exists(name) {
				t.Errorf("%s: it is gone", name)
			}
		}
		if os.Geteuid() == 0 {
			testkit.WriteFile(t, root.Join("other's"), "")
			if err := os.Chown(root.Join("other's"), 12345, -1); err != nil {
				t.Fatal(err)
			}
			if file, _, err := root.OpenSole("other's", os.O_RDONLY); err == nil {
				file.Close()
				t.Error("another user's file was opened")
			}
		}
		if _, _, err := root.OpenSole("missing", os.O_RDONLY); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("missing: %v", err)
		}
		file, info, err := root.OpenSole("own", os.O_RDWR)
		if err != nil || info.Size() != 7 {
			t.Fatal(info, err)
		}
		if _, err := file.WriteAt([]byte("C"), 0); err != nil || file.Close() != nil || testkit.ReadFile(t, root.Join("own")) != "Content" {
			t.Error("it was not written in place:", err)
		}
		if root.Exists(aside) {
			t.Error("the directory aside is left")
		}
	}
}

// A user who removes a name as soon as a file was opened by it, so that the
// link count is one again, can't get somebody else's file opened.
func TestOpenSoleAttack(t *testing.T) {
	t.Parallel()
	root, outside := openForTest(t), outsideFile(t)
	root.linksProtected = false
	var linked atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if os.Link(outside, root.Join("file")) == nil {
				linked.Add(1)
			}
			os.Remove(root.Join("file"))
			os.WriteFile(root.Join("file"), nil, 0o600)
			os.Remove(root.Join("file"))
			os.Rename(root.Join(aside), root.Join("away"))
			os.Remove(root.Join("away"))
		}
	}()
	for range 3000 {
		if file, _, err := root.OpenSole("file", os.O_RDWR|syscall.O_NOFOLLOW); err == nil {
			file.WriteString("x")
			file.Close()
		}
	}
	testkit.Eventually(t, testkit.Patience, "the user has linked often", func() bool { return linked.Load() >= 1000 })
	close(stop)
	<-stopped
	if content := testkit.ReadFile(t, outside); content != "secret" {
		t.Errorf("the file outside is now %q", content)
	}
}
