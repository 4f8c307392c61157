// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"os"
	"path/filepath"
	"testing"

	"slapos/slap/testkit"
)

// A log in a user's directory belongs to that user: root never puts the user's
// text into a file of its own. And it doesn't write to a root-owned file there,
// which may be any file of root's under the name of a log (GRID-100).
func TestLogIsItsUsers(t *testing.T) {
	testkit.Root(t)
	directory := filepath.Join(t.TempDir(), "slappart0")
	if err := os.Mkdir(directory, 0o750); err != nil {
		t.Fatal(err)
	}
	testkit.HandOver(t, directory)
	path := filepath.Join(directory, ".slappart0_web.log")
	for _, backups := range []int{1, 0} {
		testkit.WriteFile(t, path, "[]") // owned by root
		other := filepath.Join(directory, "rules")
		if err := os.Link(path, other); err != nil {
			t.Fatal(err)
		}
		log, err := openLog(path, 1000, backups)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := log.Write([]byte("text of a service")); err != nil {
			t.Fatal(err)
		}
		log.close()
		if uid := testkit.OwnerOf(t, path); uid != testkit.User() || testkit.ReadFile(t, path) != "text of a service" {
			t.Errorf("the log of user %d holds %q", uid, testkit.ReadFile(t, path))
		}
		if got := testkit.ReadFile(t, other); got != "[]" {
			t.Errorf("root's file holds %q", got)
		}
		if backups == 1 && testkit.ReadFile(t, path+".1") != "[]" {
			t.Error("root's log isn't kept as the first backup")
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(other); err != nil {
			t.Fatal(err)
		}
	}
}
