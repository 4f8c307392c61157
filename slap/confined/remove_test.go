// SPDX-License-Identifier: GPL-3.0-or-later

package confined

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap/testkit"
)

func TestRemove(t *testing.T) {
	outside := t.TempDir()
	kept := testkit.WriteFile(t, filepath.Join(outside, "sub", "kept"), "x")
	for name, build := range map[string]func(t *testing.T, tree string){
		"missing":        func(*testing.T, string) {},
		"missing parent": func(t *testing.T, tree string) { os.Remove(filepath.Dir(tree)) },
		"file":           func(t *testing.T, tree string) { testkit.WriteFile(t, tree, "x") },
		"link":           func(t *testing.T, tree string) { os.Symlink(outside, tree) },
		"links inside": func(t *testing.T, tree string) {
			os.MkdirAll(filepath.Join(tree, "a"), 0o755)
			os.Symlink(outside, filepath.Join(tree, "directory"))
			os.Symlink(kept, filepath.Join(tree, "a", "file"))
			os.Symlink("nowhere", filepath.Join(tree, "a", "dangling"))
			os.Symlink("..", filepath.Join(tree, "a", "up"))
		},
		"special files": func(t *testing.T, tree string) {
			os.MkdirAll(tree, 0o755)
			if err := unix.Mkfifo(filepath.Join(tree, "fifo"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mknod(filepath.Join(tree, "socket"), unix.S_IFSOCK|0o644, 0); err != nil {
				t.Fatal(err)
			}
			os.Link(kept, filepath.Join(tree, "hard"))
		},
		"odd names": func(t *testing.T, tree string) {
			for _, name := range []string{"-rf", "a\nb", "\xff\xfe", " ", strings.Repeat("n", 255), "..."} {
				testkit.WriteFile(t, filepath.Join(tree, name, "x"), "")
			}
		},
		"wide": func(t *testing.T, tree string) {
			for i := range 3000 {
				testkit.WriteFile(t, filepath.Join(tree, fmt.Sprint("d", i%200), "s", fmt.Sprint("file", i)), "")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			tree := filepath.Join(t.TempDir(), "parent", "tree")
			os.Mkdir(filepath.Dir(tree), 0o755)
			build(t, tree)
			if err := Remove(context.Background(), tree); err != nil {
				t.Error(err)
			}
			testkit.MustNotExist(t, tree)
			testkit.MustExist(t, kept)
		})
	}
}

func TestRemoveRefusesDots(t *testing.T) {
	for _, path := range []string{"", ".", "..", "/", "a/..", "../.."} {
		if err := Remove(context.Background(), path); err == nil {
			t.Errorf("%q was accepted", path)
		}
	}
}

func TestRemoveVeryDeep(t *testing.T) {
	t.Parallel()
	tree := filepath.Join(t.TempDir(), "tree")
	testkit.MakeDeep(t, tree, 2500)
	if err := Remove(context.Background(), tree); err != nil {
		t.Error(err)
	}
	testkit.MustNotExist(t, tree)
}

func TestRemoveWithoutAccess(t *testing.T) {
	testkit.AsUser(t, func(directory string) {
		tree := filepath.Join(directory, "tree")
		for i, mode := range []os.FileMode{0, 0o100, 0o200, 0o300, 0o400, 0o500, 0o600} {
			sub := filepath.Join(tree, fmt.Sprint(i))
			testkit.WriteFile(t, filepath.Join(sub, "sub", "file"), "")
			os.Chmod(filepath.Join(sub, "sub"), mode)
			os.Chmod(sub, mode)
		}
		os.Chmod(tree, 0)
		if err := Remove(context.Background(), tree); err != nil {
			t.Error(err)
		}
		testkit.MustNotExist(t, tree)

		testkit.WriteFile(t, filepath.Join(tree, "file"), "")
		os.Chmod(directory, 0o500)
		if err := Remove(context.Background(), tree); !errors.Is(err, os.ErrPermission) {
			t.Errorf("the parent's mode did not count: %v", err)
		}
		if info, _ := os.Stat(directory); info.Mode().Perm() != 0o500 {
			t.Errorf("the parent's mode became %v", info.Mode())
		}
		os.Chmod(directory, 0o700)
	})
}

func TestEmpty(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "slappart0")
	testkit.WriteFile(t, filepath.Join(directory, ".slapos-resource"), "{}")
	testkit.WriteFile(t, filepath.Join(directory, "etc", "run", "service"), "")
	os.Chmod(directory, 0o750)
	if os.Geteuid() == 0 {
		os.Chown(directory, 29998, 29999)
	}
	before, _ := os.Stat(directory)
	for range 2 {
		if err := Empty(context.Background(), directory); err != nil {
			t.Fatal(err)
		}
	}
	after, err := os.Stat(directory)
	if err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(directory)
	if len(entries) != 0 || after.Mode() != before.Mode() || !os.SameFile(before, after) ||
		after.Sys().(*syscall.Stat_t).Uid != before.Sys().(*syscall.Stat_t).Uid {
		t.Errorf("left %v, %v", entries, after.Mode())
	}
	link := filepath.Join(t.TempDir(), "link")
	os.Symlink(filepath.Dir(directory), link)
	if err := Empty(context.Background(), link); err == nil {
		t.Error("a link was followed")
	}
	testkit.MustExist(t, directory)
	if err := Empty(context.Background(), filepath.Join(link, "missing")); err != nil {
		t.Error(err)
	}
}

func TestRemoveStopsWithContext(t *testing.T) {
	tree := filepath.Join(t.TempDir(), "tree")
	testkit.WriteFile(t, filepath.Join(tree, "file"), "")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Remove(ctx, tree); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestRemoveAgainstRenames moves directories out of the tree and back while it
// is removed: what was outside before must stay.
func TestRemoveAgainstRenames(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	outside := filepath.Join(base, "outside")
	kept := []string{}
	for i := range 100 {
		kept = append(kept, testkit.WriteFile(t, filepath.Join(outside, fmt.Sprint("k", i), "file"), "x"))
	}
	for round := range 2 {
		tree := filepath.Join(base, "tree")
		for i := range 10 {
			testkit.MakeDeep(t, testkit.WriteFile(t, filepath.Join(tree, fmt.Sprint(i), "f"), "")+"deep", 2*openLevels)
		}
		var attack sync.WaitGroup
		done := make(chan struct{})
		for worker := range 2 {
			attack.Add(1)
			go func() {
				defer attack.Done()
				for i := worker; ; i++ {
					select {
					case <-done:
						return
					default:
					}
					inside, away := filepath.Join(tree, fmt.Sprint(i%10), "fdeep"), filepath.Join(outside, fmt.Sprint("moved", i%10))
					if os.Rename(inside, away) == nil && i%3 == 0 {
						os.Rename(away, filepath.Join(tree, fmt.Sprint((i+1)%10), "back"))
					}
				}
			}()
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		err := Remove(ctx, tree)
		cancel()
		close(done)
		attack.Wait()
		if err != nil {
			t.Logf("round %d: %v", round, err)
		}
		for i := range 10 {
			Remove(context.Background(), filepath.Join(outside, fmt.Sprint("moved", i)))
		}
		if err := Remove(context.Background(), tree); err != nil {
			t.Error(err)
		}
	}
	for _, path := range kept {
		testkit.MustExist(t, path)
	}
}

// TestRemoveAgainstOwner has the owner of a tree keep refilling it: root takes
// each subdirectory from its owner, so the removal ends.
func TestRemoveAgainstOwner(t *testing.T) {
	testkit.Root(t) // otherwise the tree's owner would be the remover itself
	directory := t.TempDir()
	os.Chmod(filepath.Dir(directory), 0o755)
	tree := filepath.Join(directory, "tree")
	sub := filepath.Join(tree, "a", "b")
	os.MkdirAll(sub, 0o755)
	for _, path := range []string{tree, filepath.Dir(sub), sub} {
		os.Chown(path, 29998, 29998)
	}
	filler := exec.Command("/bin/sh", "-c", `i=0; while mkdir d$i 2>/dev/null; do : >f$i; i=$((i+1)); done; exit 0`)
	filler.Dir = sub
	filler.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 29998, Gid: 29998}, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := filler.Start(); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, testkit.Patience, "the tree is being filled", func() bool {
		if !testkit.Runs(filler.Process.Pid) {
			t.Fatal("who fills the tree has died")
		}
		return testkit.Exists(filepath.Join(sub, "d100"))
	})
	if err := Remove(context.Background(), tree); err != nil {
		t.Error(err)
	}
	testkit.MustNotExist(t, tree)
	filler.Wait()
}

func TestRemoveMountPoint(t *testing.T) {
	if !testkit.InNamespace(t, syscall.CLONE_NEWNS) {
		return
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	tree := filepath.Join(t.TempDir(), "tree")
	mounted := filepath.Join(tree, "a", "disk")
	os.MkdirAll(mounted, 0o755)
	if err := unix.Mount("tmpfs", mounted, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(mounted, 0)
	testkit.WriteFile(t, filepath.Join(mounted, "kept"), "")
	for range 2 {
		if err := Remove(context.Background(), tree); err == nil || !strings.Contains(err.Error(), "unmount it first") {
			t.Errorf("error is %v", err)
		}
	}
	testkit.MustExist(t, filepath.Join(mounted, "kept"))
}

// TestRemoveUserMount has a user's file system, whose server never answers, in
// the tree.
func TestRemoveUserMount(t *testing.T) {
	if !testkit.InNamespace(t, syscall.CLONE_NEWNS) {
		return
	}
	device, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		testkit.StepAside(t, "/dev/fuse", "load the module fuse")
	}
	defer device.Close()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	for user, wantError := range map[int]bool{29998: false, 0: true} {
		tree := filepath.Join(t.TempDir(), "the tree")
		mounted := filepath.Join(tree, "a", "user's")
		testkit.WriteFile(t, filepath.Join(mounted, "below"), "")
		options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=0", device.Fd(), user)
		if err := unix.Mount("server", mounted, "fuse.example", unix.MS_NODEV|unix.MS_NOSUID, options); err != nil {
			t.Logf("no FUSE in here: %v", err)
			return
		}
		err := Remove(context.Background(), tree)
		if (err != nil) != wantError {
			t.Errorf("user %d: %v", user, err)
		}
		unix.Unmount(mounted, unix.MNT_DETACH)
		device.Close()
		if device, err = os.OpenFile("/dev/fuse", os.O_RDWR, 0); err != nil {
			t.Fatal(err)
		}
	}
}

func TestIsUserMount(t *testing.T) {
	const table = `22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 22 0:40 / /srv/a\040b rw,nosuid shared:5 - fuse.sshfs host:/x rw,user_id=1000,group_id=1000
31 22 0:41 / /srv/root rw - fuse.sshfs host:/x rw,user_id=0,group_id=0
32 22 0:42 / /srv/two rw - fuse x rw,user_id=1000
33 22 0:43 / /srv/two rw - tmpfs x rw,user_id=1000
broken - line
`
	const everybody = `36 22 0:44 / /p/a/etc/x\040y rw - fuse.x s rw,user_id=9,group_id=9,allow_other
37 22 0:45 / /p/a/srv/x rw - fuse.x s rw,user_id=9,allow_other
38 22 0:46 / /p/a/var/x rw - fuse.x s rw,user_id=9,allow_other
39 22 0:47 / /p/a/var/xml_report rw - fuse.x s rw,user_id=9,allow_other
40 22 0:48 / /p/a/var rw - fuse.x s rw,user_id=9,allow_other
41 22 0:49 / /p/ab/etc rw - fuse.x s rw,user_id=9,allow_other
42 22 0:50 / /p/a/.slapgrid rw - fuse.x s rw,user_id=0,allow_other
43 22 0:51 / /p/a rw - fuse.x s rw,user_id=9,allow_other
44 22 0:52 / /p/a/sbin rw - tmpfs s rw
`
	if got := waitingBelow(table+everybody, "/p/a"); !slices.Equal(got, []string{"etc/x y", "var/xml_report", "var"}) {
		t.Errorf("below: %q", got)
	}
	for path, want := range map[string]bool{"/": false, "/srv/a b": true, "/srv/root": false, "/srv/two": false, "/none": false} {
		if got := isUserMount(table, path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}
