// SPDX-License-Identifier: GPL-3.0-or-later

package software

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slapos/grid/testenv"
	"slapos/slap"
	"slapos/slap/testkit"
)

// another is a user with no relation to releases.
const another = 29998

// elsewhere is a directory that root owns and that looks like a release.
func elsewhere(t *testing.T, n *softwareNode) string {
	directory := filepath.Join(n.Base(), "elsewhere")
	testkit.WriteFile(t, filepath.Join(directory, "extends-cache", "file"), "")
	testkit.WriteFile(t, filepath.Join(directory, "buildout.cfg"), "")
	if err := os.Chmod(directory, 0o700); err != nil {
		t.Fatal(err)
	}
	return directory
}

// GRID-101, GRID-103: a release is in its place and belongs to the owner of
// software_root: nothing is written, given away or run elsewhere.
func TestPassReleaseExchanged(t *testing.T) {
	testkit.Root(t)
	for name, owner := range map[string]int{"of root": 0, "of another user": another} {
		t.Run(name, func(t *testing.T) {
			n := newSoftwareNode(t)
			n.Want(slap.StateAvailable, testenv.Release)
			n.BuildWith("id -u > log")
			testkit.HandOver(t, n.Pass.SoftwareRoot)
			directory := elsewhere(t, n)
			if err := errors.Join(os.Chown(directory, owner, owner), os.Symlink(directory, n.Path(testenv.Release))); err != nil {
				t.Fatal(err)
			}
			n.run(1)
			if !strings.Contains(n.Log.String(), "is a link") {
				t.Errorf("log\n%s", n.Log)
			}
			if uid := testkit.OwnerOf(t, filepath.Join(directory, "extends-cache")); uid != 0 || len(testkit.Names(t, directory)) != 2 {
				t.Errorf("extends-cache belongs to %d, there are %q", uid, testkit.Names(t, directory))
			}
			if err := errors.Join(os.Remove(n.Path(testenv.Release)), os.Rename(directory, n.Path(testenv.Release))); err != nil {
				t.Fatal(err)
			}
			n.run(1)
			if !strings.Contains(n.Log.String(), "belongs to user") || len(testkit.Names(t, n.Path(testenv.Release))) != 2 {
				t.Errorf("log\n%s", n.Log)
			}
		})
	}
}

// GRID-101: nor when the name is exchanged at full speed.
func TestPassReleaseRace(t *testing.T) {
	testkit.Root(t)
	n := newSoftwareNode(t)
	n.Want(slap.StateAvailable, testenv.Release)
	n.Pass.Force = true
	n.BuildWith("id -u > log")
	testkit.HandOver(t, n.Pass.SoftwareRoot)
	n.run(0)
	directory, link := elsewhere(t, n), n.Path(testenv.Release)+".link"
	if err := errors.Join(os.Chown(directory, another, another), os.Symlink(directory, link)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			_ = unix.Renameat2(unix.AT_FDCWD, link, unix.AT_FDCWD, n.Path(testenv.Release), unix.RENAME_EXCHANGE)
		}
	}()
	defer func() { cancel(); <-ended }()
	for deadline := time.Now().Add(time.Duration(testkit.Rounds(3)) * time.Second); time.Now().Before(deadline); {
		_, _ = n.pass(t.Context())
		if names := testkit.Names(t, directory); len(names) != 2 {
			t.Fatalf("there are %q\n%s", names, n.Log)
		}
		if uid := testkit.OwnerOf(t, filepath.Join(directory, "extends-cache")); uid != 0 {
			t.Fatalf("extends-cache was given to user %d", uid)
		}
	}
}

// GRID-105: a packed directory is in its place, and belongs to the owner of that.
func TestOpenPacked(t *testing.T) {
	testkit.Root(t)
	n := newSoftwareNode(t)
	shared := filepath.Join(n.Base(), "shared")
	secret := elsewhere(t, n)
	for _, path := range []string{n.Pass.SoftwareRoot, n.Path(testenv.Release), shared, filepath.Join(shared, "zlib"), filepath.Join(shared, "zlib", "hash")} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		testkit.HandOver(t, path)
	}
	for _, link := range []string{n.Path(testenv.Release) + "1", filepath.Join(shared, "linked"), filepath.Join(shared, "zlib", "linked")} {
		if err := os.Symlink(secret, link); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(n.Path(testenv.Release)+"2", 0o755); err != nil {
		t.Fatal(err)
	}
	open := OpenPacked(n.Pass.SoftwareRoot, []string{shared})
	for path, opens := range map[string]bool{
		n.Path(testenv.Release):                          true,
		filepath.Join(shared, "zlib", "hash"):            true,
		n.Path(testenv.Release) + "1":                    false,
		n.Path(testenv.Release) + "2":                    false, // owned by root
		filepath.Join(shared, "linked", "extends-cache"): false,
		filepath.Join(shared, "zlib", "linked"):          false,
		secret:                                           false,
	} {
		root, err := open(path)
		if err == nil {
			root.Close()
		}
		if (err == nil) != opens {
			t.Errorf("%s: %v", path, err)
		}
	}
}
