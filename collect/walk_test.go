// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap/testkit"
)

// measured is the size of a partition, and du's size.
func measured(t *testing.T, c *Collector, p Partition) (ours, du float64) {
	t.Helper()
	walk(t.Context(), 3, func(w *walker) {
		w.share = -1
		var err error
		if ours, err = c.folderUse(w, p); err != nil {
			t.Error(err)
		}
	})
	output, err := exec.Command("du", "-s", p.Path).Output()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(output), &du); err != nil {
		t.Fatal(err)
	}
	return ours, du
}

// COL-22.
func TestFolderUse(t *testing.T) {
	c := newTestCollector(t)
	p := c.Partitions[0]
	for i := range 40 {
		testkit.WriteFile(t, filepath.Join(p.Path, fmt.Sprintf("d%d/e%d/f", i, i%7)), strings.Repeat("y", 1000*i))
	}
	sparse := filepath.Join(p.Path, "sparse")
	testkit.WriteFile(t, sparse, "")
	if err := os.Truncate(sparse, 50<<20); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.Link(filepath.Join(p.Path, "srv/data"), filepath.Join(p.Path, "d3/again")),
		os.Symlink("/", filepath.Join(p.Path, "machine")),
		unix.Mkfifo(filepath.Join(p.Path, "pipe"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if ours, du := measured(t, c, p); ours != du {
		t.Errorf("%v KiB, du has %v", ours, du)
	}
	walk(t.Context(), 1, func(w *walker) {
		if ours, err := c.folderUse(w, Partition{User: "x", Path: filepath.Join(p.Path, "machine")}); ours != 0 || err != nil {
			t.Errorf("a partition that is a link: %v, %v", ours, err)
		}
	})
}

// Nesting is bounded, and directories that are too deep are reported.
func TestFolderTooDeep(t *testing.T) {
	c := newTestCollector(t)
	log := logTo(c)
	p := c.Partitions[0]
	directory, err := openDirectory(unix.AT_FDCWD, p.Path)
	if err != nil {
		t.Fatal(err)
	}
	for range deepest + 50 {
		if err := unix.Mkdirat(directory, "d", 0o755); err != nil {
			t.Fatal(err)
		}
		below, err := openDirectory(directory, "d")
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(directory)
		directory = below
	}
	unix.Close(directory)
	if ours, du := measured(t, c, p); ours == 0 || ours > du {
		t.Errorf("%v of %v", ours, du)
	}
	if !strings.Contains(log.String(), "nested too deep") {
		t.Error(log)
	}
}

// Links in DATA count if root made them, or if their target belongs to the
// partition's user. COL-22.
func TestFolderExtraDisks(t *testing.T) {
	c := newTestCollector(t)
	p := c.Partitions[0]
	extra, foreign := t.TempDir(), "/usr/lib"
	testkit.WriteFile(t, filepath.Join(extra, "f"), strings.Repeat("z", 2<<20))
	if err := os.Mkdir(filepath.Join(p.Path, "DATA"), 0o755); err != nil {
		t.Fatal(err)
	}
	before, _ := measured(t, c, p)
	link := func(target, name string) {
		if err := os.Symlink(target, filepath.Join(p.Path, "DATA", name)); err != nil {
			t.Fatal(err)
		}
	}
	if os.Getuid() == 0 {
		const user = 54321
		for _, path := range []string{p.Path, extra} {
			if err := os.Chown(path, user, user); err != nil {
				t.Fatal(err)
			}
		}
		link(foreign, "machine")
		if err := os.Lchown(filepath.Join(p.Path, "DATA/machine"), user, user); err != nil {
			t.Fatal(err)
		}
	} else {
		link(foreign, "machine")
	}
	link("nowhere", "broken")
	link("../srv/data", "file")
	if got, _ := measured(t, c, p); got != before {
		t.Errorf("a link of the user to %s: %v instead of %v", foreign, got, before)
	}
	link(extra, "a")
	if got, _ := measured(t, c, p); got < before+2048 || got > before+2100 {
		t.Errorf("with an extra disk: %v, before %v", got, before)
	}
}

// If a user replaces a directory, the replacement isn't walked.
func TestFolderIsALink(t *testing.T) {
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink("/usr/lib", link); err != nil {
		t.Fatal(err)
	}
	if descriptor, err := openDirectory(unix.AT_FDCWD, link); err == nil {
		unix.Close(descriptor)
		t.Error("a link was followed")
	}
}

// COL-30.
func TestClaimFolder(t *testing.T) {
	c := newTestCollector(t)
	log := logTo(c)
	c.Folders.Cycle = 0
	path := filepath.Join(c.Folders.PIDDirectory, "slapuser0_disk_size.pid")
	for i, test := range []struct {
		content string
		rows    string
	}{{"1", "0"}, {"", "1"}, {"4194304999", "2"}, {"none", "3"}, {fmt.Sprint(os.Getpid()), "4"}} {
		testkit.WriteFile(t, path, test.content)
		pass(t, c)
		if got := ask(t, c, "SELECT count(*) FROM folder"); got != test.rows {
			t.Errorf("%d: pid file %q: %s rows", i, test.content, got)
		}
	}
	if !strings.Contains(log.String(), "Process 1 still in progress. Try later.") {
		t.Error(log)
	}
	if testkit.ReadFile(t, path) != fmt.Sprint(os.Getpid()) {
		t.Error(testkit.ReadFile(t, path))
	}
	// Only one pass at a time reads the disk.
	unlock, _, err := tryLock(c.Folders.PIDDirectory)
	if err != nil || unlock == nil {
		t.Fatal(err)
	}
	pass(t, c)
	unlock()
	if got := ask(t, c, "SELECT count(*) FROM folder"); got != "4" {
		t.Errorf("%s rows", got)
	}
	if err := os.RemoveAll(c.Folders.PIDDirectory); err != nil {
		t.Fatal(err)
	}
	if err := c.Pass(t.Context()); err == nil || !strings.Contains(err.Error(), c.Folders.PIDDirectory) {
		t.Error(err)
	}
}

// An interrupted walk ends, and returns no size for what it didn't see completely.
func TestWalkInterrupted(t *testing.T) {
	c := newTestCollector(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if sizes := c.walkFolders(ctx, c.Partitions); sizes != nil {
		t.Errorf("%+v", sizes)
	}
}

// TestClaimOfAReusedNumber: the number in a pid file now belongs to another
// process, which blocks nothing (GRID-108).
func TestClaimOfAReusedNumber(t *testing.T) {
	c := newTestCollector(t)
	other := exec.Command("sleep", "600")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	path := filepath.Join(c.Folders.PIDDirectory, "slapuser0_disk_size.pid")
	for _, test := range []struct {
		age  time.Duration
		want error
	}{{0, errInProgress}, {time.Hour, nil}} {
		testkit.WriteFile(t, path, fmt.Sprint(other.Process.Pid))
		written := time.Now().Add(-test.age)
		if err := os.Chtimes(path, written, written); err != nil {
			t.Fatal(err)
		}
		if err := c.claimFolder("slapuser0"); !errors.Is(err, test.want) {
			t.Errorf("a file of %s: %v, want %v", test.age, err, test.want)
		}
	}
}
