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
	"slapos/slap/testkit"
)

// No name leads out, neither upwards nor through a link, in any operation.
func TestRootIsNotLeft(t *testing.T) {
	top := t.TempDir()
	secret := testkit.WriteFile(t, filepath.Join(top, "outside", "secret"), "secret")
	testkit.WriteFile(t, filepath.Join(top, "inside", "file"), "mine")
	before, err := os.Stat(secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Dir(secret), filepath.Join(top, "inside", "way")); err != nil {
		t.Fatal(err)
	}
	root, err := confined.OpenRoot(filepath.Join(top, "inside"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, way := range []string{"../outside", "way"} {
		there, missing := way+"/secret", way+"/new"
		for name, call := range map[string]func() error{
			"OpenRoot":   func() error { _, err := root.OpenRoot(way); return err },
			"Open":       func() error { _, err := root.Open(there); return err },
			"to read":    func() error { _, err := root.OpenFile(there, os.O_RDONLY, 0); return err },
			"to write":   func() error { _, err := root.OpenFile(there, os.O_WRONLY|os.O_TRUNC, 0); return err },
			"to make":    func() error { _, err := root.OpenFile(missing, os.O_WRONLY|os.O_CREATE, 0o600); return err },
			"Mkdir":      func() error { return root.Mkdir(missing, 0o755) },
			"Chmod":      func() error { return root.Chmod(there, 0o777) },
			"Remove":     func() error { return root.Remove(there) },
			"RemoveAll":  func() error { return root.RemoveAll(there) },
			"Rename in":  func() error { return root.Rename(there, "stolen") },
			"Rename out": func() error { return root.Rename("file", missing) },
			"Stat":       func() error { _, err := root.Stat(there); return err },
			"Lstat":      func() error { _, err := root.Lstat(there); return err },
			"Readlink":   func() error { _, err := root.Readlink(there); return err },
		} {
			if err := call(); err == nil || !strings.HasSuffix(err.Error(), "path escapes from parent") {
				t.Errorf("%s %s: %v", name, way, err)
			}
		}
	}
	entries, err := os.ReadDir(filepath.Dir(secret))
	after, statErr := os.Stat(secret)
	if err := errors.Join(err, statErr); err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || after.Mode() != before.Mode() || testkit.ReadFile(t, secret) != "secret" {
		t.Errorf("outside are %v, mode %v, %q", entries, after.Mode(), testkit.ReadFile(t, secret))
	}
}

// Every error names the whole path, even below a second root, and says why.
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
