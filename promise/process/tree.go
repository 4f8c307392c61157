// SPDX-License-Identifier: GPL-3.0-or-later

package process

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxPasses bounds the chase of a tree that forks faster than it can be read.
const maxPasses = 1000

// member is a process of a tree, with a descriptor so that a reuse of its
// number is noticed; fd is -1 if the kernel has no pidfds.
type member struct {
	pid, fd int
}

func (m member) signal(signal unix.Signal) error {
	if m.fd < 0 {
		return unix.Kill(m.pid, signal)
	}
	return unix.PidfdSendSignal(m.fd, signal, nil, 0)
}

// wait reaps it if it is our child and has ended.
func (m member) wait() (reaped int, err error) {
	if m.fd < 0 {
		return unix.Wait4(m.pid, nil, unix.WNOHANG, nil)
	}
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PIDFD, m.fd, &info, unix.WEXITED|unix.WNOHANG, nil); err != nil || info.Signo == 0 {
		return 0, err
	}
	return m.pid, nil
}

// killTree stops root and its descendants until the process table shows no new
// ones, then kills them all (GRID-15). A stopped process can't fork: the kernel
// refuses to fork with a signal pending. The caller keeps root unreaped.
func killTree(root int) { killMembers(&tree{root: root, members: map[int]member{}}) }

// killSession is killTree for a session leader: processes of the session belong
// to the tree even if they have lost their parents.
func killSession(root int) { killMembers(&tree{root: root, session: root, members: map[int]member{}}) }

func killMembers(t *tree) {
	defer t.close()
	t.kill()
}

// tree is a process and its descendants.
type tree struct {
	root    int
	session int                   // its processes belong to the tree, too; 0: none
	orphan  func(processRow) bool // belongs to it, too; nil: none does
	members map[int]member
}

// kill ends the tree. The caller closes it.
func (t *tree) kill() {
	_ = unix.Kill(t.root, unix.SIGSTOP)
	for range maxPasses {
		found := false
		for _, row := range processTable() {
			if row.pid == t.root || !t.has(row) {
				continue
			}
			if _, known := t.members[row.pid]; known {
				continue
			}
			if m, ok := t.hold(row); ok {
				t.members[m.pid] = m
				_ = m.signal(unix.SIGSTOP)
				found = true
			}
		}
		if !found {
			break
		}
	}
	for _, m := range t.members {
		_ = m.signal(unix.SIGKILL)
	}
	_ = unix.Kill(t.root, unix.SIGKILL)
}

func (t *tree) close() {
	for _, m := range t.members {
		if m.fd >= 0 {
			unix.Close(m.fd)
		}
	}
}

// has reports whether a process belongs to the tree.
func (t *tree) has(row processRow) bool {
	if row.pid == os.Getpid() {
		return false
	}
	_, child := t.members[row.parent]
	return child || row.parent == t.root || t.session != 0 && row.session == t.session ||
		t.orphan != nil && t.orphan(row)
}

// hold opens the process of a row, and checks that it still is that process:
// until it is reaped, its number and its line in the table stay its own.
func (t *tree) hold(row processRow) (member, bool) {
	fd, err := unix.PidfdOpen(row.pid, 0)
	if err == unix.ENOSYS || err == unix.EPERM {
		return member{pid: row.pid, fd: -1}, true
	}
	if err != nil {
		return member{}, false // gone
	}
	m := member{pid: row.pid, fd: fd}
	again, ok := readProcess(row.pid)
	if !ok || !t.has(again) || m.signal(0) == unix.ESRCH {
		unix.Close(fd)
		return member{}, false
	}
	return m, true
}

type processRow struct {
	pid, parent, session int
	started              uint64 // in ticks
	zombie               bool
}

// processTable reads all processes that /proc shows.
func processTable() []processRow {
	directory, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer directory.Close()
	names, _ := directory.Readdirnames(-1)
	rows := make([]processRow, 0, len(names))
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			if row, ok := readProcess(pid); ok {
				rows = append(rows, row)
			}
		}
	}
	return rows
}

func readProcess(pid int) (processRow, bool) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return processRow{}, false
	}
	return parseStat(data)
}

// parseStat reads a line of /proc/<pid>/stat: "pid (name) state parent group
// session …". The name may contain anything; the start time is the 22nd field.
func parseStat(data []byte) (processRow, bool) {
	open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if open < 1 || end < open {
		return processRow{}, false
	}
	fields := bytes.Fields(data[end+1:])
	if len(fields) < 20 {
		return processRow{}, false
	}
	numbers := [3]int{}
	for i, field := range [][]byte{bytes.TrimSpace(data[:open]), fields[1], fields[3]} {
		n, err := strconv.Atoi(string(field))
		if err != nil {
			return processRow{}, false
		}
		numbers[i] = n
	}
	row := processRow{pid: numbers[0], parent: numbers[1], session: numbers[2], zombie: string(fields[0]) == "Z"}
	var err error
	row.started, err = strconv.ParseUint(string(fields[19]), 10, 64)
	return row, err == nil
}
