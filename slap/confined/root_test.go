// SPDX-License-Identifier: GPL-3.0-or-later

package confined_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"slapos/slap/confined"
)

// Every error names the whole path, also below a second root, and says why.
func TestRootErrors(t *testing.T) {
	directory := t.TempDir()
	if err := os.Mkdir(filepath.Join(directory, "below"), 0o755); err != nil {
		t.Fatal(err)
	}
	top, err := confined.OpenRoot(directory)
	if err != nil {
		t.Fatal(err)
	}
	defer top.Close()
	below, err := top.OpenRoot("below")
	if err != nil {
		t.Fatal(err)
	}
	defer below.Close()
	for _, root := range []*confined.Root{top, below} {
		calls := map[string]func() error{
			"OpenRoot":  func() error { _, err := root.OpenRoot("no/file"); return err },
			"Open":      func() error { _, err := root.Open("no/file"); return err },
			"OpenFile":  func() error { _, err := root.OpenFile("no/file", os.O_RDONLY, 0); return err },
			"Mkdir":     func() error { return root.Mkdir("no/file", 0o755) },
			"Chmod":     func() error { return root.Chmod("no/file", 0o755) },
			"Remove":    func() error { return root.Remove("no/file") },
			"Rename":    func() error { return root.Rename("no/file", "no/other") },
			"Stat":      func() error { _, err := root.Stat("no/file"); return err },
			"Lstat":     func() error { _, err := root.Lstat("no/file"); return err },
			"Readlink":  func() error { _, err := root.Readlink("no/file"); return err },
			"RemoveAll": func() error { return root.RemoveAll("../file") },
		}
		for name, call := range calls {
			err := call()
			want := filepath.Join(root.Name(), "no/file")
			if name == "RemoveAll" {
				want = filepath.Join(root.Name(), "../file")
			} else if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %v", name, err)
			}
			if err == nil || !strings.Contains(err.Error(), " "+want) {
				t.Errorf("%s: %v, want %s in it", name, err, want)
			}
		}
	}
	if err := top.Rename("no/file", "other"); !strings.Contains(err.Error(), filepath.Join(directory, "other")) {
		t.Error(err)
	}
	if _, err := confined.OpenRoot(filepath.Join(directory, "no")); err == nil || !strings.Contains(err.Error(), directory) {
		t.Error(err)
	}
}
