// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"slapos/grid/testenv"
	"slapos/slap"
	"slapos/slap/testkit"
)

// A silentMount is a file system of a user whose server never answers.
type silentMount struct {
	path   string
	server *os.File
}

func mountSilent(t *testing.T, path, options string) *silentMount {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	kind := 0o40000
	if !info.IsDir() {
		kind = 0o100000
	}
	server, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		testkit.StepAside(t, "/dev/fuse", "load the module fuse")
	}
	data := fmt.Sprintf("fd=%d,rootmode=%o,user_id=29998,group_id=29998%s", server.Fd(), kind, options)
	if err := unix.Mount("server", path, "fuse.example", unix.MS_NODEV|unix.MS_NOSUID, data); err != nil {
		t.Fatal(err)
	}
	return &silentMount{path, server}
}

func (m *silentMount) unmount() {
	_ = unix.Unmount(m.path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	m.server.Close() // ends what waits for an answer
}

// TestSilentMounts has a file system that never answers in every place that the
// agent touches, one in each partition. A good one is processed beside them, nothing
// waits, and all can be destroyed. The kernel keeps root out of it, unless it is for
// everybody: then it is detached, or not entered if it is in place of a partition.
func TestSilentMounts(t *testing.T) {
	testkit.Root(t)
	if !testkit.InNamespace(t, syscall.CLONE_NEWNS) {
		return
	}
	t.Run("for its user", func(t *testing.T) { tryMounts(t, "") })
	t.Run("for everybody", func(t *testing.T) { tryMounts(t, ",allow_other") })
}

func tryMounts(t *testing.T, options string) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	n := newInstanceNode(t)
	n.Pass.Jobs = 8
	const good = "slappart"
	n.makeFullPartition(good)
	names, before := []string{good}, map[string]os.FileInfo{good: testenv.Stat(t, n.At(good))}
	for i, place := range append([]string{""}, hostilePlaces(good+"N")...) {
		name := fmt.Sprint(good, i)
		n.makeFullPartition(name)
		if place != "" && !testkit.Exists(n.At(name, place)) {
			testkit.WriteFile(t, n.At(name, place), "")
		}
		names, before[name] = append(names, name), testenv.Stat(t, n.At(name))
		mounted := mountSilent(t, n.At(name, place), options)
		defer mounted.unmount()
	}
	n.finishes(func() error { _, err := n.pass(t.Context()); return err })
	if !slices.Contains(n.Running(), good+":web-on-watch") || !testkit.Exists(n.At(good, ".timestamp")) {
		t.Errorf("the good partition is not started: %v", n.Running())
	}
	if refused := n.At(good+"0") + " is a mount in a directory that others"; !strings.Contains(n.Log.String(), refused) {
		t.Errorf("the log doesn't say %q:\n%s", refused, n.Log)
	}
	for _, name := range names {
		n.Change(name, func(p *slap.Partition) { p.RequestedState = slap.StateDestroyed })
		n.Touch(name)
	}
	n.finishes(func() error { _, err := n.pass(t.Context()); return err })
	n.finishes(func() error { _, err := n.report(); return err })
	for _, name := range names {
		if name == good+"0" {
			continue
		}
		if testenv.Emptied(t, n.At(name), before[name]); t.Failed() {
			t.Fatalf("%s\n%s", name, n.Log)
		}
	}
}
