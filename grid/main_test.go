// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"os"
	"path/filepath"
	"testing"

	"slapos/grid/testenv"
	"slapos/slap/confined"
	"slapos/slap/testkit"
)

func TestMain(m *testing.M) {
	if os.Args[0] == "supervisord" {
		superviseForTests()
	}
	testenv.Main(m)
}

// openPartitionDirectory makes the directory of a partition, and opens it.
func openPartitionDirectory(t *testing.T) *confined.Directory {
	t.Helper()
	directory := filepath.Join(t.TempDir(), "slappart0")
	if err := os.Mkdir(directory, 0o750); err != nil {
		t.Fatal(err)
	}
	testkit.HandOver(t, directory)
	root, err := confined.Open(directory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}
