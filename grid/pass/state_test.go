// SPDX-License-Identifier: GPL-3.0-or-later

package pass

import (
	"os"
	"path/filepath"
	"testing"

	"slapos/slap/testkit"
)

// The agent's own directory must belong to nobody else (GRID-97).
func TestStateDirectory(t *testing.T) {
	root := t.TempDir()
	n := &Node{InstanceRoot: root}
	path, err := n.StateDirectory()
	if err != nil || path != filepath.Join(root, "var", "agent") {
		t.Fatalf("%s, %v", path, err)
	}
	if again, err := n.StateDirectory(); err != nil || again != path {
		t.Errorf("again: %s, %v", again, err)
	}
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := n.StateDirectory(); err == nil {
		t.Error("a directory that others can read is taken")
	}
	if os.Geteuid() == 0 {
		if err := os.Chmod(path, 0o700); err != nil {
			t.Fatal(err)
		}
		testkit.HandOver(t, path)
		if _, err := n.StateDirectory(); err == nil {
			t.Error("the directory of a user is taken")
		}
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), path); err != nil {
		t.Fatal(err)
	}
	if _, err := n.StateDirectory(); err == nil {
		t.Error("a link is followed")
	}
	if _, err := (&Node{InstanceRoot: filepath.Join(root, "none")}).StateDirectory(); err == nil {
		t.Error("the directory of partitions was made")
	}
}
