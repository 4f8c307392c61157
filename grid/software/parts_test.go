// SPDX-License-Identifier: GPL-3.0-or-later

package software

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap/confined"
	"slapos/slap/testkit"
)

// TestOpenParts: directories of shared parts are made for whom they have to belong to,
// and a user who exchanges them all the time gets none of root's (GRID-101, GRID-103).
func TestOpenParts(t *testing.T) {
	testkit.Root(t)
	base := t.TempDir()
	releases, root := filepath.Join(base, "soft"), filepath.Join(base, "soft", "shared")
	if err := os.Mkdir(releases, 0o755); err != nil {
		t.Fatal(err)
	}
	testkit.HandOver(t, releases)
	open := OpenParts(releases)
	parts, err := open(root, "zlib")
	if err != nil {
		t.Fatal(err)
	}
	parts.Close()
	for _, path := range []string{root, filepath.Join(root, "zlib")} {
		if got := testkit.OwnerOf(t, path); got != testkit.User() {
			t.Errorf("%s belongs to user %d", path, got)
		}
	}
	// Root's directory, which lies in the user's by some accident, is given to nobody.
	mine, name := filepath.Join(root, "mine"), filepath.Join(root, "openssl")
	testkit.WriteFile(t, filepath.Join(mine, "file"), "")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			_ = unix.Renameat2(unix.AT_FDCWD, mine, unix.AT_FDCWD, name, unix.RENAME_EXCHANGE)
		}
	}()
	defer func() { cancel(); <-ended }()
	for deadline := time.Now().Add(time.Duration(testkit.Rounds(2)) * time.Second); time.Now().Before(deadline); {
		if parts, err := open(root, "openssl"); err == nil {
			if _, err := parts.Lstat("file"); err == nil {
				t.Fatal("root's directory is one of parts")
			}
			parts.Close()
		}
		for _, path := range []string{mine, name} {
			opened, err := os.OpenRoot(path)
			if err != nil {
				continue
			}
			info, err := opened.Stat(".")
			_, missing := opened.Stat("file")
			opened.Close()
			if err != nil {
				t.Fatal(err)
			}
			if uid, _ := confined.Owner(info); missing == nil && uid != 0 {
				t.Fatalf("root's directory was given to user %d", uid)
			}
		}
		for _, path := range []string{mine, name} { // the one that was made
			if err := unix.Rmdir(path); err != nil && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.ENOENT) {
				t.Fatal(err)
			}
		}
	}
	// A link of the user's leads nowhere.
	link := filepath.Join(root, "linked")
	if err := os.Symlink("/etc", link); err != nil {
		t.Fatal(err)
	}
	testkit.HandOver(t, link)
	if parts, err := open(root, "linked"); err == nil {
		parts.Close()
		t.Error("a link was followed")
	}
}
