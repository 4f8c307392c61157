// SPDX-License-Identifier: GPL-3.0-or-later

package prune

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"slapos/slap/testkit"
)

// TestPruneWithRights: what a user names in a configuration, or by links in a release,
// is looked up with that user's rights, and what one can't see doesn't hide what
// another sees there (GRID-104).
func TestPruneWithRights(t *testing.T) {
	testkit.Root(t)
	n := newPruneNode(t)
	const builder, attacker, owner = 29993, 29994, 29995
	give := func(uid int, mode os.FileMode, paths ...string) {
		t.Helper()
		for _, path := range paths {
			path = filepath.Join(n.root, path)
			err := filepath.WalkDir(path, func(path string, _ os.DirEntry, err error) error {
				return errors.Join(err, os.Lchown(path, uid, uid))
			})
			if err := errors.Join(err, os.Chmod(path, mode)); err != nil {
				t.Fatal(err)
			}
		}
	}
	tellsOfRoot, kept := n.part("1"), n.part("2")
	// Root's own, which only names in a tenant's configuration lead to.
	n.file("hidden/release/.installed.cfg", hashOf("1"))
	give(0, 0o700, "hidden")
	// A tenant names root's directory, and another tenant's.
	n.file("instance/a/slapos.cfg", fmt.Sprintf("%s/hidden /none /none", n.root))
	n.file("instance/a/x/slapos.cfg", fmt.Sprintf("%s/instance/b/soft /none /none", n.root))
	n.file("instance/b/slapos.cfg", fmt.Sprintf("%s/instance/b/soft /none /none", n.root))
	n.file("instance/b/soft/release/.installed.cfg", hashOf("2"))
	n.file("instance/c/slapos.cfg", fmt.Sprintf("%[1]s/instance/b/soft /none /none", n.root))
	give(attacker, 0o750, "instance/a", "instance/c")
	give(owner, 0o755, "instance/b")
	give(owner, 0o700, "instance/b/soft") // others know that it is there
	give(builder, 0o755, "shared", "software")
	if err := n.prune(nil); err != nil {
		t.Fatal(err)
	}
	testkit.MustNotExist(t, tellsOfRoot)
	testkit.MustExist(t, kept)
}

// TestPruneReleaseWithRights: the builder's links are looked up as the builder.
func TestPruneReleaseWithRights(t *testing.T) {
	testkit.Root(t)
	n := newPruneNode(t)
	part := n.part("1")
	n.file("hidden/run", hashOf("1"))
	if err := os.Chmod(filepath.Join(n.root, "hidden"), 0o700); err != nil {
		t.Fatal(err)
	}
	n.file("software/a/bin/run", "")
	if err := os.Symlink(filepath.Join(n.root, "hidden/run"), filepath.Join(n.root, "software/a/bin/link")); err != nil {
		t.Fatal(err)
	}
	testkit.HandOver(t, filepath.Join(n.root, "software"))
	// What can't be seen to be unused stays, and the operator hears of it.
	if err := n.prune(nil); !errors.Is(err, os.ErrPermission) {
		t.Errorf("what only root can read is read for the builder: %v", err)
	}
	testkit.MustExist(t, part)
}
