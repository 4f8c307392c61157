// SPDX-License-Identifier: GPL-3.0-or-later

package wholefile

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

func TestWrite(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "slapos.xml")
	if err := Write(path, []byte("one"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o604); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte("two"), 0o640); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil || string(content) != "two" {
		t.Fatalf("%q, %v", content, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o604 {
		t.Fatal(info.Mode(), err)
	}
	if names := list(t, directory); !reflect.DeepEqual(names, []string{"slapos.xml"}) {
		t.Fatal(names)
	}
}

// The new content is beside the file, never in the directory for temporary
// files; what is dropped leaves nothing.
func TestBesideTheFile(t *testing.T) {
	temporary, directory := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", temporary)
	file, err := Create(filepath.Join(directory, "state"), ExactMode(0o400))
	if err != nil {
		t.Fatal(err)
	}
	if names := list(t, temporary); len(names) != 0 {
		t.Fatal(names)
	}
	if names := list(t, directory); len(names) != 1 || filepath.Join(directory, names[0]) != file.Name() {
		t.Fatal(names)
	}
	if err := file.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if names := list(t, directory); len(names) != 0 {
		t.Fatal(names)
	}
}

// What a killed program left goes with the next writing of that file; what
// somebody may be writing stays, and so does all that is another file.
func TestKilled(t *testing.T) {
	if directory := os.Getenv("WHOLEFILE_LEFT_IN"); directory != "" {
		file, err := Create(filepath.Join(directory, "state"))
		if err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString(filepath.Base(file.Name()))
		os.Exit(0)
	}
	directory := t.TempDir()
	leave := func() string {
		command := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		command.Env = append(os.Environ(), "WHOLEFILE_LEFT_IN="+directory)
		name, err := command.Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(name)
	}
	old, recent := leave(), leave()
	others := []string{".state", ".state.123456789012345", ".state20261130", ".states1234567890123456", "state1234567890123456"}
	for _, name := range others {
		if err := os.WriteFile(filepath.Join(directory, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-2 * time.Hour)
	for _, name := range append(others, old) {
		if err := os.Chtimes(filepath.Join(directory, name), past, past); err != nil {
			t.Fatal(err)
		}
	}
	if err := Write(filepath.Join(directory, "state"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, name := range list(t, directory) {
		have[name] = true
	}
	for _, name := range append(others, recent, "state") {
		if !have[name] {
			t.Errorf("%s is gone", name)
		}
	}
	if have[old] || len(have) != len(others)+2 {
		t.Error(old, have)
	}
}

func list(t *testing.T, directory string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}
