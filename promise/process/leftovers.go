// SPDX-License-Identifier: GPL-3.0-or-later

package process

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// While a command with [Command.EndAll] runs, orphans among its descendants
// become children of this process instead of init's, whatever their session:
// that is how they are found.
type orphanage struct {
	changing sync.RWMutex // held for reading from a child's start until it is in children, and while it is removed
	mu       sync.Mutex
	children map[int]bool // our own, by number, with somebody waiting for them
	users    map[int]*use // of commands with EndAll, by user
	running  int          // commands with EndAll
}

// use is the commands that run for a user.
type use struct {
	running int
	since   uint64 // start of the first, in ticks
}

var orphans = orphanage{children: map[int]bool{}, users: map[int]*use{}}

// begin is called before a command with EndAll starts.
func (o *orphanage) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.running++; o.running == 1 {
		_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	}
}

func (o *orphanage) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.running--; o.running == 0 {
		_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	}
}

func (o *orphanage) add(pid int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.children[pid] = true
}

// reap waits for a child that has ended, so that it is never a zombie which
// could be taken for an orphan.
func (o *orphanage) reap(cmd *exec.Cmd) error {
	o.changing.RLock()
	defer o.changing.RUnlock()
	o.mu.Lock()
	delete(o.children, cmd.Process.Pid)
	o.mu.Unlock()
	return cmd.Wait()
}

func (o *orphanage) isChild(pid int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.children[pid]
}

// enter and leave are called when a child for a user has started, and when it
// has ended. The last to leave gets the possible orphans of all of them.
func (o *orphanage) enter(uid, pid int) {
	row, _ := readProcess(pid)
	o.mu.Lock()
	defer o.mu.Unlock()
	u := o.users[uid]
	if u == nil {
		u = &use{since: row.started}
		o.users[uid] = u
	}
	u.running++
}

func (o *orphanage) leave(uid int) (since uint64, last bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	u := o.users[uid]
	if u.running--; u.running > 0 {
		return 0, false
	}
	delete(o.users, uid)
	return u.since, true
}

func (c *Command) uid() int {
	if c.User != nil && os.Geteuid() == 0 {
		return c.User.UID
	}
	return os.Geteuid()
}

// endLeftovers kills what an ended but not yet reaped child left running: its
// session, its descendants and, unless another command runs for the same user,
// its orphans in sessions of their own (PROM-45).
func (c *Command) endLeftovers(root int) {
	t := &tree{root: root, session: root, members: map[int]member{}}
	if since, last := orphans.leave(c.uid()); last {
		orphans.changing.Lock()
		defer orphans.changing.Unlock()
		own, _ := readProcess(os.Getpid())
		t.orphan = func(row processRow) bool {
			return row.parent == own.pid && row.session != own.session && row.started >= since &&
				!orphans.isChild(row.pid) && isOf(row.pid, c.uid())
		}
	}
	defer t.close()
	t.kill()
	t.reap()
}

// isOf reports whether an orphan belongs to a user's commands. As root, the
// user decides; otherwise the user has other processes as well, and the
// variables of [CleanEnvironment] decide.
func isOf(pid, uid int) bool {
	directory := "/proc/" + strconv.Itoa(pid)
	if os.Geteuid() == 0 {
		status, err := os.ReadFile(directory + "/status")
		_, after, _ := bytes.Cut(status, []byte("\nUid:"))
		real := bytes.Fields(after)
		return err == nil && len(real) > 0 && string(real[0]) == strconv.Itoa(uid)
	}
	environment, err := os.ReadFile(directory + "/environ")
	return err == nil && bytes.Contains(environment, []byte("PYTHONNOUSERSITE=true\x00"))
}

// reap reaps those processes of the tree that have become our children.
func (t *tree) reap() {
	deadline := time.Now().Add(time.Second)
	for pid, m := range t.members {
		for time.Now().Before(deadline) {
			reaped, err := m.wait()
			row, present := readProcess(pid)
			if reaped == pid || err == unix.ECHILD && !present || present && row.parent != os.Getpid() && row.zombie {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
}
