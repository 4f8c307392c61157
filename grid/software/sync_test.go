// SPDX-License-Identifier: GPL-3.0-or-later

package software

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"slapos/grid/testenv"
	"slapos/slap"
	"slapos/slap/testkit"
)

// The order of system calls: the whole release reaches the disk before the mark
// that vouches for it, and the mark's name after it (GRID-107). A pass that
// changes nothing syncs nothing.
func TestSyncOrder(t *testing.T) {
	calls, inner := testkit.Trace(t, "mkdirat,syncfs,fsync,fdatasync,renameat,renameat2")
	if inner {
		n := newSoftwareNode(t)
		n.Want(slap.StateAvailable, testenv.Release)
		n.run(0)
		if err := os.Mkdir(filepath.Join(t.TempDir(), "second pass"), 0o755); err != nil {
			t.Fatal(err)
		}
		n.run(0)
		return
	}
	first, second, found := strings.Cut(calls, "second pass")
	if !found {
		t.Fatalf("no second pass in\n%s", calls)
	}
	mark := regexp.MustCompile(`(?s)syncfs\(\d+<([^>]*)>.*fsync\(\d+<[^>]*/\.completed\.new>.*renameat2?\(\d+<[^>]*>, "\.completed\.new".*"\.completed".*?fsync\(\d+<([^>]*)>`).FindStringSubmatch(first)
	if mark == nil || mark[1] != mark[2] {
		t.Errorf("the mark isn't made in order:\n%s", first)
	}
	if strings.Contains(second, "sync") {
		t.Errorf("a pass that changes nothing syncs:\n%s", second)
	}
}
