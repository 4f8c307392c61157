// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"slapos/slap"
	"slapos/slap/testkit"
)

// If a user replaces a partition's directory with something else, only that
// partition fails: the others are made, their resources and the computer's
// description are saved, the master is informed, and the error names the
// partition. FMT-76, FMT-80.
func TestPartitionFails(t *testing.T) {
	for name, test := range map[string]struct {
		obstruct func(t *testing.T, path string)
		planned  bool // the plan already shows it
	}{
		"file": {func(t *testing.T, path string) { testkit.WriteFile(t, path, "") }, false},
		"link without an end": {func(t *testing.T, path string) {
			if err := os.Symlink(filepath.Base(path), path); err != nil {
				t.Fatal(err)
			}
		}, true},
		"read-only mount": {func(t *testing.T, path string) { mount(t, path, "tmpfs", syscall.MS_RDONLY, "mode=755") }, false},
		"mount of a user's own": {func(t *testing.T, path string) {
			device, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
			if err != nil {
				testkit.StepAside(t, "/dev/fuse", "load the module fuse")
			}
			t.Cleanup(func() { device.Close() })
			mount(t, path, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=1000,group_id=1000", device.Fd()))
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, 3)
			path := filepath.Join(n.options.InstanceRoot, "slappart1")
			if err := os.MkdirAll(n.options.InstanceRoot, 0o755); err != nil {
				t.Fatal(err)
			}
			test.obstruct(t, path)
			n.options.DryRun = true
			if _, err := Run(t.Context(), n.options); (err != nil) != test.planned {
				t.Errorf("dry run: error %v", err)
			}
			n.options.DryRun = false
			result, err := Run(t.Context(), n.options)
			var failed *PartitionsError
			if !errors.As(err, &failed) || len(failed.Failures) != 1 || failed.Post != nil ||
				!strings.HasPrefix(err.Error(), "partition slappart1: ") || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %v", err)
			}
			for _, i := range []int{0, 2} {
				partition := result.Computer.Partitions[i]
				if n.owners[partition.Path] == "" || !isThere(filepath.Join(partition.Path, resourceFile)) {
					t.Errorf("partition %s is not ready", partition.Reference)
				}
			}
			if !isThere(n.options.ComputerXML) || !isThere(n.options.CertificateRepository) || len(n.posted) != 1 {
				t.Errorf("%d posts, or something is not saved", len(n.posted))
			}
		})
	}
}

func mount(t *testing.T, path, kind string, flags uintptr, options string) {
	t.Helper()
	needSandbox(t)
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("none", path, kind, flags, options); err != nil {
		t.Fatalf("mount %s: %v", kind, err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(path, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// If the master couldn't be informed, either, the same line says so.
func TestPartitionAndPostFail(t *testing.T) {
	n := newNode(t, 2)
	testkit.WriteFile(t, filepath.Join(n.options.InstanceRoot, "slappart1"), "")
	n.postError = slap.ErrNotFound
	_, err := Run(t.Context(), n.options)
	var failed *PartitionsError
	if !errors.As(err, &failed) || !errors.Is(failed.Post, slap.ErrNotFound) || !strings.Contains(err.Error(), "; the master was not told: ") {
		t.Errorf("error %v", err)
	}
}

// An error of a root directory concerns more than one partition.
func TestRootFails(t *testing.T) {
	n := newNode(t, 2)
	if err := os.MkdirAll(filepath.Dir(n.options.InstanceRoot), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Base(n.options.InstanceRoot), n.options.InstanceRoot); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	n.options.Logger = slog.New(slog.NewTextHandler(&log, nil))
	_, err := Run(t.Context(), n.options)
	var failed *PartitionsError
	if err == nil || errors.As(err, &failed) || !errors.Is(err, syscall.ELOOP) || isThere(n.options.ComputerXML) || n.posted != nil {
		t.Errorf("error %v, log\n%s", err, &log)
	}
}
