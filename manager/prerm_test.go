// SPDX-License-Identifier: GPL-3.0-or-later

package manager

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

// reachable lets other users enter the directories of a test.
func reachable(t *testing.T, directories ...string) {
	for _, directory := range directories {
		if err := os.Chmod(directory, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// MGR-44: scripts that the partition's user can't see aren't shown to that
// user, and delay nothing.
func TestPreRemoveLink(t *testing.T) {
	testkit.Root(t)
	m, log := newManager(t, "prerm", Config{})
	partition := newPartition(t, map[string]string{"etc/x": ""})
	reachable(t, filepath.Dir(partition.Path), partition.Path, filepath.Join(partition.Path, "etc"))
	secret := filepath.Join(t.TempDir(), "secret")
	testkit.WriteFile(t, filepath.Join(secret, "name"), "")
	if err := errors.Join(os.Chmod(secret, 0o700), os.Symlink(secret, filepath.Join(partition.Path, "etc/prerm"))); err != nil {
		t.Fatal(err)
	}
	supervisor := newRecorder()
	partition.Supervisor = supervisor
	if err := m.Report(t.Context(), partition); err != nil || len(supervisor.calls) > 0 {
		t.Errorf("calls %q, %v", supervisor.calls, err)
	}
	if !strings.Contains(log.String(), "Ignored pre-delete scripts") {
		t.Errorf("log %s", log)
	}
}

// MGR-6, MGR-41.
func TestPreRemove(t *testing.T) {
	m, log := newManager(t, "prerm", Config{})
	partition := newPartition(t, map[string]string{"etc/prerm/b": "", "etc/prerm/a": "", "etc/prerm/sub/c": ""})
	reachable(t, filepath.Dir(partition.Path), partition.Path)
	supervisor := newRecorder()
	partition.Supervisor = supervisor
	for range 2 {
		if err := m.Report(t.Context(), partition); err != nil {
			t.Fatal(err)
		}
	}
	first, second := "a", "b" // in the directory's order
	folder, err := os.Open(filepath.Join(partition.Path, "etc/prerm"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = folder.Close() }()
	names, err := folder.Readdirnames(-1)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Index(names, "b") < slices.Index(names, "a") {
		first, second = second, first
	}
	want := []string{"set prerm", "start prerm:" + first, "start prerm:" + second, "set prerm"}
	if !slices.Equal(supervisor.calls, want) {
		t.Errorf("calls %q, want %q", supervisor.calls, want)
	}
	program := supervisor.groups["prerm"][0]
	if program != (Program{Name: first, Command: filepath.Join(partition.Path, "etc/prerm", first), UID: 2003, GID: 2103}) {
		t.Errorf("program %+v", program)
	}
	if got, want := testkit.ReadFile(t, filepath.Join(partition.Path, WaitList)), "slappart3-prerm:"+first+"\nslappart3-prerm:"+second+"\n"; got != want {
		t.Errorf("wait list %q, want %q", got, want)
	}
	if !strings.Contains(log.String(), "Adding pre-delete scripts to supervisord...") ||
		!strings.Contains(log.String(), "logger=slapos.manager.prerm") {
		t.Errorf("log %s", log)
	}
}

// MGR-40.
func TestPreRemoveNothingToDo(t *testing.T) {
	failure := errors.New("no clock")
	tests := []struct {
		name      string
		files     map[string]string
		retention func(context.Context) (bool, error)
		err       error
	}{
		{"no directory", nil, nil, nil},
		{"no file", map[string]string{"etc/prerm/sub/x": ""}, nil, nil},
		{"retained", map[string]string{"etc/prerm/x": ""}, func(context.Context) (bool, error) { return false, nil }, nil},
		{"retention unknown", map[string]string{"etc/prerm/x": ""}, func(context.Context) (bool, error) { return true, failure }, failure},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, _ := newManager(t, "prerm", Config{})
			partition := newPartition(t, test.files)
			supervisor := newRecorder()
			partition.Supervisor, partition.Retention = supervisor, test.retention
			if err := m.Report(t.Context(), partition); !errors.Is(err, test.err) {
				t.Errorf("error %v, want %v", err, test.err)
			}
			if len(supervisor.calls) != 0 || exists(filepath.Join(partition.Path, WaitList)) {
				t.Errorf("calls %q", supervisor.calls)
			}
		})
	}
}
