// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"slapos/grid/supervisor/config"
)

// adoptJournal goes on with the processes that an earlier supervisor left running
// and its journal knows (D-5). Each gets the configuration that it was started
// with, in a group of the same name, even if the configuration has no such group
// any more. So the next reload finds the same differences as if this supervisor
// had been there all the time.
func (d *daemon) adoptJournal() {
	for _, e := range d.journal.running {
		stat, err := readStat(e.PID)
		alive := err == nil && stat.ticks == e.Ticks && !stat.dead
		switch {
		case e.Listener:
			if alive {
				_ = unix.Kill(-e.PID, unix.SIGKILL) // its protocol can't be taken up
			}
			d.journal.ended(e.PID)
		case alive:
			d.adoptEntry(e)
		default:
			d.foundDead(e)
		}
	}
}

// entryProcess is the process that a journal's line is about, as it was.
func (d *daemon) entryProcess(e entry) *process {
	g := d.groups[e.Group]
	if g == nil {
		d.addGroup(&config.Group{Name: e.Group, Priority: e.Priority})
		g = d.groups[e.Group]
	}
	p := newProcess(g, e.Program)
	for i, o := range p.outputs() {
		o.path = e.Logs[i]
	}
	changed := *g.config
	changed.Programs = slices.Clone(changed.Programs)
	same := func(name string) bool { return name == e.Program.Name }
	if at := slices.IndexFunc(g.processes, func(p *process) bool { return same(p.config.Name) }); at >= 0 {
		g.processes[at] = p
	} else {
		g.processes = append(g.processes, p)
	}
	if at := slices.IndexFunc(changed.Programs, func(c *config.Program) bool { return same(c.Name) }); at >= 0 {
		changed.Programs[at] = e.Program
	} else {
		changed.Programs = append(changed.Programs, e.Program)
	}
	g.config = &changed
	return p
}

func (d *daemon) adoptEntry(e entry) {
	p := d.entryProcess(e)
	p.pipes = e.Pipes
	if err := p.takeOver(e.PID, e.Ticks, e.Since); err != nil {
		d.log.Error("process can't be adopted", "process", p.config.Name, "pid", e.PID, "error", err)
		d.foundDead(e)
	}
}

// foundDead reports a process that ended while there was no supervisor, unless
// its program is about to be started anyway. What the configuration doesn't
// name any more is forgotten.
func (d *daemon) foundDead(e entry) {
	d.journal.ended(e.PID)
	g := d.groups[e.Group]
	if g == nil {
		return
	}
	p := g.process(e.Program.Name)
	if p == nil || p.pid != 0 || p.config.AutoStart {
		return
	}
	p.started, p.stopped = e.Since, time.Now()
	p.exitStatus = -1
	p.spawnError = "Ended while there was no supervisor"
	p.state = running
	p.setExited(false)
	d.log.Warn(fmt.Sprintf("exited: %s (exit status unknown; not expected)", p.config.Name))
	p.restart(false, quickly)
}

// takeOver makes a process that isn't our child the process of p.
func (p *process) takeOver(pid int, ticks uint64, since time.Time) error {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("open process: %w", err)
	}
	// Only now that it is held its number can't become another's.
	if stat, err := readStat(pid); err != nil || stat.ticks != ticks {
		closeAll(pidfd)
		return fmt.Errorf("it has just ended")
	}
	err = p.d.poller.add(pidfd, unix.EPOLLIN, func(uint32) { p.finish(endOf(pid, pidfd, ticks)) })
	if err != nil {
		closeAll(pidfd)
		return err
	}
	p.pid, p.pidfd, p.started = pid, pidfd, since
	for i, o := range p.outputs() {
		p.resume(o, i+1)
	}
	p.state = starting
	p.setState(running)
	p.d.log.Info(fmt.Sprintf("adopted: '%s' with pid %d", p.config.Name, pid))
	return nil
}

// resume goes on reading the output of an adopted process.
func (p *process) resume(o *output, stream int) {
	fd, err := reopenPipe(p.pid, stream, unix.O_RDONLY, p.pipes[stream])
	if err == nil {
		p.pipes[stream] = inode(fd)
		if err = o.open(); err == nil {
			err = o.follow(fd)
		}
		if err != nil {
			closeAll(fd)
			o.closeUnused()
		}
	}
	if err != nil {
		p.d.log.Warn("output of adopted process is not logged", "process", p.config.Name, "stream", o.channel, "error", err)
	}
}

// endOf finds out how a process that isn't our child has ended: from what is
// left of it until its parent takes notice, or from the kernel, which since Linux
// 6.15 knows it afterwards.
func endOf(pid, pidfd int, ticks uint64) ended {
	if stat, err := readStat(pid); err == nil && stat.dead && stat.ticks == ticks {
		return endFrom(unix.WaitStatus(stat.exitCode))
	}
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	if err := unix.IoctlPidfdInfo(pidfd, &info); err == nil && info.Mask&unix.PIDFD_INFO_EXIT != 0 {
		return endFrom(unix.WaitStatus(info.Exit_code))
	}
	return ended{status: -1, how: "exit status unknown"}
}

// marks are the variables that a supervisor gives to its programs.
type marks struct{ server, group, process string }

func parseMarks(environ []byte) (m marks) {
	for variable := range bytes.SplitSeq(environ, []byte{0}) {
		name, value, _ := bytes.Cut(variable, []byte("="))
		switch string(name) {
		case "SUPERVISOR_SERVER_URL":
			m.server = string(value)
		case "SUPERVISOR_GROUP_NAME":
			m.group = string(value)
		case "SUPERVISOR_PROCESS_NAME":
			m.process = string(value)
		}
	}
	return m
}

// adoptMarked adopts what a crashed supervisor without a journal left running, as
// Python's is. It looks once at all processes. One is taken for a program that
// isn't running when it has the program's marks and user and is what only a
// direct child of a supervisor is: the leader of a process group but not of a
// session. Of several, the oldest.
func (d *daemon) adoptMarked() {
	type candidate struct {
		pid   int
		ticks uint64
	}
	found := map[*process]candidate{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		d.log.Warn("processes of an earlier supervisor are not looked for", "error", err)
		return
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		stat, err := readStat(pid)
		if err != nil || stat.dead || stat.group != pid || stat.session == pid {
			continue
		}
		if p := d.markedProcess(pid); p != nil {
			if other, known := found[p]; !known || stat.ticks < other.ticks {
				found[p] = candidate{pid: pid, ticks: stat.ticks}
			}
		}
	}
	for p, c := range found {
		if err := p.takeOver(c.pid, c.ticks, startTime(c.ticks)); err != nil {
			d.log.Error("process can't be adopted", "process", p.config.Name, "pid", c.pid, "error", err)
			continue
		}
		d.journal.started(p)
	}
}

// markedProcess is the stopped program whose process pid must be.
func (d *daemon) markedProcess(pid int) *process {
	directory := filepath.Join("/proc", strconv.Itoa(pid))
	environ, err := os.ReadFile(filepath.Join(directory, "environ"))
	if err != nil {
		return nil
	}
	m := parseMarks(environ)
	g := d.groups[m.group]
	if g == nil || g.pool != nil {
		return nil
	}
	p := g.process(m.process)
	if p == nil || p.pid != 0 || m.server != p.serverURL() {
		return nil
	}
	// The owner of the directory isn't always the process's user.
	status, err := os.ReadFile(filepath.Join(directory, "status"))
	if err != nil || !runsAs(status, p.uid()) {
		return nil
	}
	return p
}

func (p *process) uid() int {
	if p.config.User < 0 {
		return os.Geteuid()
	}
	return p.config.User
}

// runsAs tells whether /proc/PID/status shows uid as real and effective user.
func runsAs(status []byte, uid int) bool {
	_, after, _ := bytes.Cut(status, []byte("\nUid:"))
	line, _, _ := bytes.Cut(after, []byte("\n"))
	fields := bytes.Fields(line)
	want := strconv.Itoa(uid)
	return len(fields) == 4 && string(fields[0]) == want && string(fields[1]) == want
}

// startTime converts a start in the kernel's ticks since boot, of which there
// are always 100 a second for programs.
func startTime(ticks uint64) time.Time {
	var up unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &up) != nil {
		return time.Now()
	}
	age := time.Duration(up.Nano()) - time.Duration(ticks)*(time.Second/100)
	return time.Now().Add(-age)
}
