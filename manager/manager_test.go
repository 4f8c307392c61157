// SPDX-License-Identifier: GPL-3.0-or-later

package manager

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"slapos/slap"
	"slapos/slap/confined"
	"slapos/slap/testkit"
)

// MGR-1.
func TestParseList(t *testing.T) {
	for value, want := range map[string][]string{
		"":                                nil,
		"prerm":                           {"prerm"},
		"prerm, cpuset\n\tdevperm,,prerm": {"prerm", "cpuset", "devperm", "prerm"},
	} {
		if got := ParseList(value); !slices.Equal(got, want) {
			t.Errorf("ParseList(%q) = %q, want %q", value, got, want)
		}
	}
}

// MGR-1.
func TestNew(t *testing.T) {
	managers, err := New([]string{"prerm", "cpuset", "prerm"}, Config{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range managers {
		names = append(names, m.Name())
	}
	if want := []string{"prerm", "cpuset", "prerm"}; !slices.Equal(names, want) {
		t.Errorf("managers %q, want %q", names, want)
	}
	for _, name := range []string{"9-bad", "slapos", "_x", ""} {
		if _, err := New([]string{name}, Config{}); err == nil {
			t.Errorf("New(%q) gave no error", name)
		}
	}
	for _, name := range Names() {
		managers, err := New([]string{name}, Config{})
		if err != nil || managers[0].Name() != name {
			t.Errorf("New(%q) = %v, %v", name, managers, err)
		}
	}
}

// newManager makes one manager whose log lines end up in the buffer.
func newManager(t *testing.T, name string, config Config) (Manager, *bytes.Buffer) {
	t.Helper()
	log := &bytes.Buffer{}
	config.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	managers, err := New([]string{name}, config)
	if err != nil {
		t.Fatal(err)
	}
	return managers[0], log
}

// newPartition makes a partition with the given files.
func newPartition(t *testing.T, content map[string]string) *Partition {
	t.Helper()
	partition := &Partition{ID: "slappart3", Path: t.TempDir(), UID: 2003, GID: 2103, User: "slapuser3", State: slap.State("started")}
	for name, text := range content {
		testkit.WriteFile(t, filepath.Join(partition.Path, name), text)
	}
	return partition
}

// recorder is a supervisor that records calls.
type recorder struct {
	calls   []string
	groups  map[string][]Program
	started map[string]bool
}

func newRecorder() *recorder {
	return &recorder{groups: map[string][]Program{}, started: map[string]bool{}}
}

func (r *recorder) SetGroup(_ context.Context, suffix string, programs []Program) error {
	r.calls = append(r.calls, "set "+suffix)
	r.groups[suffix] = programs
	return nil
}

func (r *recorder) RemoveGroup(_ context.Context, suffix string) error {
	r.calls = append(r.calls, "remove "+suffix)
	delete(r.groups, suffix)
	return nil
}

func (r *recorder) NeverStarted(_ context.Context, suffix, program string) (bool, error) {
	return !r.started[suffix+":"+program], nil
}

func (r *recorder) Start(_ context.Context, suffix, program string) error {
	r.calls = append(r.calls, "start "+suffix+":"+program)
	r.started[suffix+":"+program] = true
	return nil
}

func TestFilesStayInPartition(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	testkit.WriteFile(t, outside, "[]")
	partition := newPartition(t, nil)
	if err := os.Symlink(outside, filepath.Join(partition.Path, "request")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := partition.request("request"); err == nil {
		t.Error("a link out of the partition was followed")
	}
	directory, end, err := partition.directory()
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	if err := directory.Write("request", []byte("new"), confined.AgentFile); err != nil {
		t.Fatal(err)
	}
	if got := testkit.ReadFile(t, outside); got != "[]" {
		t.Errorf("the file outside now holds %q", got)
	}
	if got := testkit.ReadFile(t, filepath.Join(partition.Path, "request")); got != "new" {
		t.Errorf("the file inside holds %q", got)
	}
	testkit.WriteFile(t, filepath.Join(partition.Path, "large"), strings.Repeat("x", confined.MaxFile+1))
	for _, name := range []string{"large", "."} {
		if _, _, err := partition.request(name); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
