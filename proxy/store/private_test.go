// SPDX-License-Identifier: GPL-3.0-or-later

package store_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"slapos/proxy/store"
)

// TestPrivate checks who may read a database, the files beside it and its
// backups (PROXY-182).
func TestPrivate(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	directory := t.TempDir()
	at := func(name string) string { return filepath.Join(directory, name) }
	for name, mode := range map[string]os.FileMode{
		"old.db": 0o644, "old.db-backup-2020.sql": 0o644, "group.db": 0o660, "group.db-backup-2020.sql": 0o640,
		"other.txt": 0o644, "old.db.txt": 0o644,
	} {
		if err := os.WriteFile(at(name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("other.txt", at("old.db-backup-2021.sql")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"new.db", "old.db", "group.db"} {
		database, err := store.Open(t.Context(), store.Options{URI: at(name), Computer: "c", SoftwareRoot: "/a"})
		if err != nil {
			t.Fatal(err)
		}
		defer database.Close()
	}
	// What moves the releases writes a backup.
	again, err := store.Open(t.Context(), store.Options{URI: at("new.db"), Computer: "c", SoftwareRoot: "/b"})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	backups, err := filepath.Glob(at("new.db-backup-*.sql"))
	if err != nil || len(backups) != 1 {
		t.Fatalf("backups %v, %v", backups, err)
	}
	for name, want := range map[string]os.FileMode{
		"new.db": 0o600, "new.db-wal": 0o600, "new.db-shm": 0o600, filepath.Base(backups[0]): 0o600,
		"old.db": 0o600, "old.db-wal": 0o600, "old.db-shm": 0o600, "old.db-backup-2020.sql": 0o600,
		"group.db": 0o660, "group.db-wal": 0o660, "group.db-backup-2020.sql": 0o640,
		"other.txt": 0o644, "old.db.txt": 0o644,
	} {
		info, err := os.Stat(at(name))
		if err != nil {
			t.Error(err)
		} else if info.Mode().Perm() != want {
			t.Errorf("%s has the mode %o, want %o", name, info.Mode().Perm(), want)
		}
	}
}
