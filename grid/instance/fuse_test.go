// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
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
	mounted, err := newSilentMount(path, options)
	if err != nil {
		t.Fatal(err)
	}
	return mounted
}

// needFUSE steps aside where there is no FUSE.
func needFUSE(t *testing.T) {
	t.Helper()
	server, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		testkit.StepAside(t, "/dev/fuse", "load the module fuse")
	}
	server.Close()
}

func newSilentMount(path, options string) (*silentMount, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	kind := 0o40000
	if !info.IsDir() {
		kind = 0o100000
	}
	server, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	data := fmt.Sprintf("fd=%d,rootmode=%o,user_id=29998,group_id=29998%s", server.Fd(), kind, options)
	if err := unix.Mount("server", path, "fuse.example", unix.MS_NODEV|unix.MS_NOSUID, data); err != nil {
		server.Close()
		return nil, err
	}
	return &silentMount{path, server}, nil
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
	needFUSE(t)
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

// TestMountsDuringProcess has a file system for everybody that never answers mounted
// in every place that the agent touches while the partition is deployed: no pass
// waits for it, and nothing of it is left in the way.
func TestMountsDuringProcess(t *testing.T) {
	testkit.Root(t)
	if !testkit.InNamespace(t, syscall.CLONE_NEWNS) {
		return
	}
	needFUSE(t)
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	n := newInstanceNode(t)
	n.Pass.Jobs = 8
	n.DeployWith("touch here; until test -e mounted; do sleep 0.05; done")
	places := map[string]string{}
	for i, place := range append([]string{""}, hostilePlaces("slappartN")...) {
		name := fmt.Sprint("slappart", i)
		n.makeFullPartition(name)
		places[name] = place
	}
	done := make(chan error, 1)
	go func() {
		_, err := n.pass(t.Context())
		done <- err
	}()
	waiting, made := maps.Clone(places), map[string]bool{}
	testkit.Eventually(t, testkit.Patience, "each partition is deployed", func() bool {
		for name, place := range waiting {
			if !testkit.Exists(n.At(name, "here")) {
				continue
			}
			delete(waiting, name)
			directory, err := os.OpenRoot(n.At(name))
			if err != nil {
				t.Fatal(err)
			}
			if info, err := directory.Lstat(cmp.Or(place, ".")); err != nil || info.Mode()&fs.ModeSymlink != 0 {
				_ = directory.Remove(place)
				testkit.WriteFile(t, n.At(name, place), "")
				made[name] = true
			}
			mounted := mountSilent(t, n.At(name, place), ",allow_other")
			t.Cleanup(mounted.unmount)
			if err := directory.WriteFile("mounted", nil, 0o644); err != nil {
				t.Fatal(err)
			}
			directory.Close()
		}
		return len(waiting) == 0
	}, func() any { return n.Log })
	n.finishes(func() error { return <-done })
	n.finishes(func() error { _, err := n.pass(t.Context()); return err })
	table := testkit.ReadFile(t, "/proc/self/mountinfo")
	for name, place := range places {
		if strings.Contains(table, " "+n.At(name, place)+" ") {
			t.Errorf("%s is still mounted in %s", place, name)
		}
		if !made[name] && !testkit.Exists(n.At(name, ".timestamp")) {
			t.Errorf("%s isn't processed", name)
		}
	}
}
