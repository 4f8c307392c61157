// SPDX-License-Identifier: GPL-3.0-or-later

package confined

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"slapos/slap/testkit"
)

// TestPlaceWaiting has file systems of users, whose servers never answer, in a
// directory that is opened: those that root would wait for are detached where the
// agent works; others stay.
func TestPlaceWaiting(t *testing.T) {
	testkit.Root(t)
	if !testkit.InNamespace(t, syscall.CLONE_NEWNS) {
		return
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	top := t.TempDir()
	place, err := OpenPlace(top)
	if err != nil {
		t.Fatal(err)
	}
	defer place.Close()
	for name, options := range map[string]string{
		"etc": ",allow_other", "etc/promise": ",allow_other", ".slapgrid/log": ",allow_other", "var/xml_report": ",allow_other",
		"etc/run": "", "srv/data": ",allow_other", "var/data": ",allow_other",
	} {
		path := filepath.Join(top, "partition", name)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		server, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
		if err != nil {
			testkit.StepAside(t, "/dev/fuse", "load the module fuse")
		}
		data := fmt.Sprintf("fd=%d,rootmode=40000,user_id=29998,group_id=29998%s", server.Fd(), options)
		if err := unix.Mount("server", path, "fuse.example", unix.MS_NODEV|unix.MS_NOSUID, data); err != nil {
			t.Fatal(err)
		}
		unmount := func() {
			_ = unix.Unmount(path, unix.MNT_DETACH)
			server.Close()
		}
		t.Cleanup(unmount)
		opened, err := place.Open("partition", Anybody)
		if err != nil {
			t.Fatal(err)
		}
		opened.Close()
		stays := options == "" || name == "srv/data" || name == "var/data"
		if is := isUserMount(testkit.ReadFile(t, "/proc/self/mountinfo"), path); is != stays {
			t.Errorf("%s%s: it is mounted: %v", name, options, is)
		}
		unmount()
	}
}
