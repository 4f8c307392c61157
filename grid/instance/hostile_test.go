// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slapos/grid/firewall"
	"slapos/grid/partition"
	"slapos/grid/testenv"
	"slapos/manager"
	"slapos/slap"
	"slapos/slap/confined"
	"slapos/slap/testkit"
)

// hostilePlaces are what the agent reads, writes, lists or removes below a
// partition.
func hostilePlaces(id string) []string {
	return []string{
		"buildout.cfg", ".buildout.cfg.new", ".timestamp", ".timestamp.new", "software_release", ".software_release.new",
		".slapgrid", ".slapgrid/log", ".slapgrid/log/instance.log", ".slapgrid/log/instance.log.1",
		".slapgrid/promise", ".slapgrid/promise/log", ".slapgrid/promise/result", ".slapgrid/promise/cache",
		".slapgrid/promise/result/check.status.json", ".slapgrid/promise/cache/check", ".slapgrid/promise/log/check.log",
		".slapgrid-" + id + "-error.log", ".slapos-request-transaction-" + id,
		"etc", "etc/service", "etc/run", "etc/service/web", "etc/promise", "etc/promise/check", "etc/plugin", "etc/report", "etc/report/usage",
		"." + id + "_web.log", "." + id + "_web.log.1", "sbin", "sbin/destroy", "sbin/buildout", "var", "var/xml_report", "var/xml_report/x",
		partition.RetentionDelayFile, partition.RetentionDateFile, firewall.RulesFile, manager.WaitList, legacyState, ".slapos-resource", "DATA",
	}
}

// An outsider is what must neither change nor be read.
type outsider struct {
	directory, file, pipe string
}

const secret = "the secret of somebody else"

func newOutsider(t *testing.T) *outsider {
	t.Helper()
	o := &outsider{directory: testenv.Directory(t)}
	o.file, o.pipe = filepath.Join(o.directory, "file"), filepath.Join(o.directory, "pipe")
	if err := os.WriteFile(o.file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(o.pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *outsider) check(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir(o.directory)
	if os.Geteuid() != 0 {
		entries = entries[:2] // links in our own directory may be followed to our own places
	}
	if err != nil || len(entries) != 2 {
		t.Errorf("outside: %v, %v", entries, err)
	}
	for path, mode := range map[string]fs.FileMode{o.directory: fs.ModeDir | 0o755, o.file: 0o600, o.pipe: fs.ModeNamedPipe | 0o600} {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if uid, gid := confined.Owner(info); uid != os.Geteuid() || gid != os.Getegid() || info.Mode() != mode {
			t.Errorf("%s belongs to %d:%d, mode %v", path, uid, gid, info.Mode())
		}
	}
	if got := testkit.ReadFile(t, o.file); got != secret {
		t.Errorf("the file outside is %q", got)
	}
}

// hostileKinds put something at path, where nothing is.
func hostileKinds(o *outsider) map[string]func(path string) error {
	kinds := map[string]func(path string) error{
		"link to a file":      func(path string) error { return os.Symlink(o.file, path) },
		"link to a directory": func(path string) error { return os.Symlink(o.directory, path) },
		"link to a pipe":      func(path string) error { return os.Symlink(o.pipe, path) },
		"relative link":       func(path string) error { return os.Symlink("../../../../../../../../.."+o.file, path) },
		"dangling link":       func(path string) error { return os.Symlink(filepath.Join(o.directory, "none"), path) },
		"endless link":        func(path string) error { return os.Symlink(filepath.Base(path), path) },
		"pipe":                func(path string) error { return unix.Mkfifo(path, 0o666) },
		"file":                func(path string) error { return os.WriteFile(path, []byte("\x00\xff\n%(x)s\n[a"), 0o755) },
		"large file":          func(path string) error { return errorsOf(os.WriteFile(path, nil, 0o755), os.Truncate(path, 1<<40)) },
		"full directory": func(path string) error {
			return errorsOf(os.MkdirAll(filepath.Join(path, "a", "b"), 0o755), os.WriteFile(filepath.Join(path, "a", "file"), nil, 0o644), os.Symlink(o.directory, filepath.Join(path, "link")))
		},
		"closed directory": func(path string) error {
			return errorsOf(os.MkdirAll(filepath.Join(path, "a"), 0o755), os.Chmod(filepath.Join(path, "a"), 0), os.Chmod(path, 0))
		},
		"socket": func(path string) error {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return unix.Bind(fd, &unix.SockaddrUnix{Name: path})
		},
	}
	if os.Geteuid() == 0 { // another user's file, and forgotten devices
		kinds["hard link"] = func(path string) error { return os.Link(o.file, path) }
		kinds["device"] = func(path string) error {
			return unix.Mknod(path, syscall.S_IFCHR|0o666, int(unix.Mkdev(1, 5))) // zero
		}
	}
	return kinds
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestHostilePartitions puts everything that a user can make in every place
// that the agent touches, one in each partition. All are processed, stopped and
// destroyed beside a good one: nothing waits, nothing outside is touched or
// sent to the master, and in the end every partition is empty. With
// SLAPOS_TEST_LONG set, as by `make soak`, all pairs are tried, otherwise a
// random third: a failing run prints its seed, and SLAPOS_TEST_SEED repeats it.
func TestHostilePartitions(t *testing.T) {
	outside := newOutsider(t)
	kinds := hostileKinds(outside)
	all, seed := os.Getenv("SLAPOS_TEST_LONG") != "", rand.Uint64()
	if text := os.Getenv("SLAPOS_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("SLAPOS_TEST_SEED: %v", err)
		}
	}
	if !all {
		t.Logf("a third of all pairs, repeat with SLAPOS_TEST_SEED=%d", seed)
	}
	chosen := rand.New(rand.NewPCG(seed, 0))
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		order := chosen.Perm(len(hostilePlaces("")))
		t.Run(kind, func(t *testing.T) {
			n := newInstanceNode(t)
			n.Pass.Jobs = 8
			const good = "slappart"
			names, before, places := []string{good}, map[string]os.FileInfo{}, map[string]string{}
			for i := range hostilePlaces("") {
				if all || order[i]%3 == 0 {
					names = append(names, fmt.Sprint(good, i))
					places[names[len(names)-1]] = hostilePlaces(names[len(names)-1])[i]
				}
			}
			for _, name := range names {
				n.makeFullPartition(name)
				if places[name] != "" {
					n.spoil(name, places[name], kinds[kind])
				}
				before[name] = testenv.Stat(t, n.At(name))
			}
			n.finishes(func() error { _, err := n.pass(t.Context()); return err })
			if !slices.Contains(n.Running(), good+":web-on-watch") || !testkit.Exists(n.At(good, ".timestamp")) {
				t.Errorf("the good partition is not started: %v", n.Running())
			}
			for _, name := range names {
				n.Change(name, func(p *slap.Partition) { p.RequestedState = slap.StateDestroyed })
				n.Touch(name)
			}
			n.finishes(func() error { _, err := n.pass(t.Context()); return err })
			n.ExpectRunning()
			n.finishes(func() error { _, err := n.report(); return err })
			for _, name := range names {
				// A partition with a failing script or an unreadable lock stays
				// until the operator removes those (GRID-84).
				if slices.Contains([]string{"sbin/destroy", partition.RetentionDelayFile, partition.RetentionDateFile}, places[name]) {
					os.RemoveAll(n.At(name, places[name]))
					n.finishes(func() error { _, err := n.report(); return err })
				}
				if testenv.Emptied(t, n.At(name), before[name]); t.Failed() {
					t.Fatalf("%s: %s as %s", name, kind, places[name])
				}
			}
			for _, call := range n.Master.Take() {
				if text := fmt.Sprint(call.Form); strings.Contains(text, secret) {
					t.Errorf("the master was told the secret: %s %s", call.Path, text)
				}
			}
			outside.check(t)
		})
	}
}

// makeFullPartition makes a partition with everything that the agent looks for.
func (n *instanceNode) makeFullPartition(name string) {
	n.T.Helper()
	if err := os.Mkdir(n.At(name), 0o750); err != nil {
		n.T.Fatal(err)
	}
	for path, content := range map[string]string{
		"etc/service/web": "#!/bin/sh\nexec sleep 1000\n", "etc/promise/check": "#!/bin/sh\n", "etc/report/usage": "#!/bin/sh\n",
		"var/xml_report/empty": "", "sbin/destroy": "#!/bin/sh\n", ".slapgrid/log/instance.log": "",
		".slapgrid/promise/result/x": "", ".slapgrid/promise/cache/x": "", ".slapgrid/promise/log/x": "",
	} {
		testkit.WriteFile(n.T, n.At(name, path), content)
		if strings.HasPrefix(content, "#!") {
			os.Chmod(n.At(name, path), 0o755)
		}
	}
	n.Allocate(name, slap.StateStarted)
	n.handOverTree(name)
}

func (n *instanceNode) handOverTree(name string) {
	n.T.Helper()
	err := filepath.WalkDir(n.At(name), func(path string, entry fs.DirEntry, err error) error {
		if err == nil {
			testkit.HandOver(n.T, path)
		}
		return err
	})
	if err != nil {
		n.T.Fatal(err)
	}
}

// spoil replaces whatever is in a place.
func (n *instanceNode) spoil(name, place string, create func(path string) error) {
	n.T.Helper()
	path := n.At(name, place)
	if err := errorsOf(os.RemoveAll(path), os.MkdirAll(filepath.Dir(path), 0o755), create(path)); err != nil {
		n.T.Fatalf("%s: %v", place, err)
	}
	if info, err := os.Lstat(path); err == nil && (info.IsDir() || info.Mode().IsRegular() && confined.Links(info) == 1) {
		testkit.HandOver(n.T, path)
	}
}

// finishes runs a pass that must not wait for anything that a user can withhold.
func (n *instanceNode) finishes(pass func() error) {
	n.T.Helper()
	done := make(chan error, 1)
	go func() { done <- pass() }()
	select {
	case err := <-done:
		if err != nil {
			n.T.Fatalf("%v\n%s", err, n.Log)
		}
	case <-time.After(3 * time.Minute):
		n.T.Fatalf("the pass does not end\n%s", n.Log)
	}
}
