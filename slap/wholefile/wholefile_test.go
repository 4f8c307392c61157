// SPDX-License-Identifier: GPL-3.0-or-later

package wholefile

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"slapos/slap/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

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
	if names := testkit.Names(t, directory); !slices.Equal(names, []string{"slapos.xml"}) {
		t.Fatal(names)
	}
}

// The new content is beside the file, never in the directory for temporary
// files; dropping it leaves nothing.
func TestBesideTheFile(t *testing.T) {
	temporary, directory := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", temporary)
	file, err := Create(filepath.Join(directory, "state"), ExactMode(0o400))
	if err != nil {
		t.Fatal(err)
	}
	if names := testkit.Names(t, temporary); len(names) != 0 {
		t.Fatal(names)
	}
	if names := testkit.Names(t, directory); len(names) != 1 || filepath.Join(directory, names[0]) != file.Name() {
		t.Fatal(names)
	}
	if err := file.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if names := testkit.Names(t, directory); len(names) != 0 {
		t.Fatal(names)
	}
}

// The remains of a killed program are removed when that file is next written;
// what others are writing stays, and so do other files.
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
	command := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	command.Env = append(os.Environ(), "WHOLEFILE_LEFT_IN="+directory)
	left, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	if names := testkit.Names(t, directory); !slices.Equal(names, []string{string(left)}) {
		t.Fatal(names)
	}
	want := []string{".state", ".state.123456789012345", ".state20261130", ".states1234567890123456", "state1234567890123456"}
	for _, name := range want {
		if err := os.WriteFile(filepath.Join(directory, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file, err := Create(filepath.Join(directory, "state"))
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(filepath.Join(directory, "state"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want = append(want, "state", filepath.Base(file.Name()))
	slices.Sort(want)
	if names := testkit.Names(t, directory); !slices.Equal(names, want) {
		t.Errorf("there are %q, want %q", names, want)
	}
	if err := file.CloseAtomicallyReplace(); err != nil {
		t.Error(err)
	}
}

// Simultaneous writes of one file: each is whole, and nothing is left.
func TestAtOnce(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "state")
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			for range 50 {
				if err := Write(path, bytes.Repeat([]byte{byte('a' + i)}, 1000), 0o600); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	content, err := os.ReadFile(path)
	if err != nil || len(content) != 1000 || strings.Trim(string(content), string(content[:1])) != "" {
		t.Errorf("%d bytes, %v", len(content), err)
	}
	if names := testkit.Names(t, directory); !slices.Equal(names, []string{"state"}) {
		t.Error(names)
	}
}
