// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

// Everything that a partition's timestamp vouches for reaches the disk before
// it, and its name afterwards (GRID-107). A pass that changes nothing syncs
// nothing.
func TestSyncOrder(t *testing.T) {
	calls, inner := testkit.Trace(t, "mkdirat,syncfs,fsync,fdatasync,renameat,renameat2")
	if inner {
		n := newInstanceNode(t, "slappart0")
		n.process(0)
		n.process(0) // records the supervisor
		if err := os.Mkdir(filepath.Join(t.TempDir(), "last pass"), 0o755); err != nil {
			t.Fatal(err)
		}
		n.process(0)
		return
	}
	first, last, found := strings.Cut(calls, "last pass")
	if !found {
		t.Fatalf("no last pass in\n%s", calls)
	}
	mark := regexp.MustCompile(`(?s)syncfs\(\d+<([^>]*/slappart0)>.*renameat2?\(.*"slappart0\.timestamp".*fsync\(\d+<([^>]*)/\.timestamp\.new>.*renameat2?\(.*"\.timestamp".*?fsync\(\d+<([^>]*)>`).FindStringSubmatch(first)
	if mark == nil || mark[1] != mark[2] || mark[1] != mark[3] {
		t.Errorf("the timestamp isn't written in order:\n%s", first)
	}
	last, _, _ = strings.Cut(last, "exited with")
	if strings.Contains(last, "sync(") || strings.Contains(last, "syncfs(") {
		t.Errorf("a pass that changes nothing syncs:\n%s", last)
	}
}
