// SPDX-License-Identifier: GPL-3.0-or-later

package pass

import (
	"math"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckFreeSpace(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "a", "b") // the nearest ancestor counts
	if err := CheckFreeSpace(missing, 1, "software_min_free_space"); err != nil {
		t.Error(err)
	}
	err := CheckFreeSpace(missing, math.MaxInt64, "software_min_free_space")
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"Not enough space for " + missing, "required 8.0 EB", "(option 'software_min_free_space')"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
}

// D-26: 0 means that no space is required, and the disk is not checked.
func TestNoFreeSpaceRequired(t *testing.T) {
	if err := CheckFreeSpace("\x00", 0, "software_min_free_space"); err != nil {
		t.Error(err)
	}
	if err := CheckFreeSpace("\x00", 1, "software_min_free_space"); err == nil {
		t.Error("the disk was not looked at")
	}
}
