// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"slapos/manager/cgroup"
	"slapos/slap/testkit"
)

// TestSlice starts a service in a partition that has a control group, and one
// in a partition that has none.
func TestSlice(t *testing.T) {
	testkit.Root(t)
	root := testkit.UnifiedHierarchy(t)
	if root == "" {
		testkit.StepAside(t, "control groups of version 2", "mount them, writable")
	}
	groups := cgroup.Hierarchy{Root: filepath.Join(root, fmt.Sprintf("slapos-test-%d", os.Getpid()))}
	slice := groups.Slice("slappart0")
	if err := os.MkdirAll(slice, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, made := range []string{slice, filepath.Dir(slice), groups.Root} {
			if err := syscall.Rmdir(made); err != nil {
				t.Error(err)
			}
		}
	})
	directory := t.TempDir()
	text := "[supervisord]\nlogfile=NONE\nchildlogdir=%(here)s\npidfile=%(here)s/pid\n"
	for _, id := range []string{"slappart0", "slappart1"} {
		if err := os.Mkdir(filepath.Join(directory, id), 0o755); err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("[program:%[1]s]\ndirectory=%%(here)s/%[1]s\ncommand=sh -c \"cat /proc/self/cgroup > new; mv new groups; exec sleep 1000\"\nstartsecs=0\n", id)
	}
	path := filepath.Join(directory, "supervisord.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan struct{})
	defer func() { cancel(); <-served }()
	done := make(chan error, 1)
	go func() {
		defer close(served)
		done <- Serve(ctx, Options{ConfigFile: path, Environ: os.Environ(), CGroups: groups})
	}()
	for id, want := range map[string]bool{"slappart0": true, "slappart1": false} {
		found := filepath.Join(directory, id, "groups")
		var content []byte
		testkit.Eventually(t, testkit.Patience, id+" has started", func() (ok bool) {
			var err error
			content, err = os.ReadFile(found)
			return err == nil
		})
		if got := strings.Contains(string(content), "0::"+strings.TrimPrefix(slice, root)+"\n"); got != want {
			t.Errorf("%s runs in %s", id, content)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
