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
	"slapos/slap/child"
)

// adoptJournal takes over the processes in the journal that an earlier
// supervisor left running (D-5). Each keeps the configuration that it was
// started with, in a group of the same name, even if the configuration no
// longer has that group. The next reload then finds the same differences as if
// this supervisor had been there all along.
func (d *daemon) adoptJournal() {
	for _, e := range d.journal.running {
		stat, err := readStat(e.PID)
		alive := err == nil && stat.ticks == e.Ticks && !stat.dead
		switch {
		case e.Listener:
			if alive {
				_ = unix.Kill(-e.PID, unix.SIGKILL) // its protocol can't be resumed
				if isOurChild(e.PID, e.Ticks) {
					go func() { _, _ = unix.Wait4(e.PID, nil, 0, nil) }() // it was killed: it ends
				}
			}
			d.journal.ended(e.PID)
		case alive:
			d.adoptEntry(e)
		default:
			d.foundDead(e)
		}
	}
}

// entryProcess returns the process of a journal entry, as it was.
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

// foundDead reports a process that ended while no supervisor ran, unless its
// program is about to be started anyway. It forgets what the configuration no
// longer names.
func (d *daemon) foundDead(e entry) {
	d.journal.ended(e.PID)
	if isOurChild(e.PID, e.Ticks) {
		_, _ = unix.Wait4(e.PID, nil, unix.WNOHANG, nil)
	}
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
	// From now on the pidfd keeps its number from being reused for p.
	if stat, err := readStat(pid); err != nil || stat.ticks != ticks {
		closeAll(pidfd)
		return fmt.Errorf("it has just ended")
	}
	err = p.d.poller.add(pidfd, unix.EPOLLIN, func(uint32) { p.reap() })
	if err != nil {
		closeAll(pidfd)
		return err
	}
	p.pid, p.pidfd, p.ticks, p.started = pid, pidfd, ticks, since
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

// endOf finds out how a process that isn't our child ended: from its zombie,
// until its parent reaps it, or from the kernel, which keeps the status since
// Linux 6.15.
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

// marks are the environment variables that a supervisor sets for its programs.
type marks struct{ server, group, process string }

func parseMarks(variables [][]byte) (m marks) {
	for _, variable := range variables {
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

// adoptMarked adopts what a crashed supervisor left running without a journal,
// as Python's does. It looks at all processes once. It takes a process for a
// stopped program if it has the program's marks and user, and leads a process
// group but not a session, as only direct children of a supervisor do. If
// several match, it takes the oldest.
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
	variables, begins := child.Variables(environ)
	m := parseMarks(variables)
	g := d.groups[m.group]
	if g == nil || g.pool != nil {
		return nil
	}
	p := g.process(m.process)
	if p == nil || p.pid != 0 || m.server != p.serverURL() {
		return nil
	}
	// The directory's owner isn't always the process's user.
	status, err := os.ReadFile(filepath.Join(directory, "status"))
	if err != nil || !runsAs(status, p.uid()) && !(begins && runsAs(status, os.Geteuid())) {
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

// runsAs reports whether /proc/PID/status shows uid as real and effective user.
func runsAs(status []byte, uid int) bool {
	_, after, _ := bytes.Cut(status, []byte("\nUid:"))
	line, _, _ := bytes.Cut(after, []byte("\n"))
	fields := bytes.Fields(line)
	want := strconv.Itoa(uid)
	return len(fields) == 4 && string(fields[0]) == want && string(fields[1]) == want
}

// startTime converts a start time in ticks since boot; the kernel shows
// programs 100 ticks a second.
func startTime(ticks uint64) time.Time {
	var up unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &up) != nil {
		return time.Now()
	}
	age := time.Duration(up.Nano()) - time.Duration(ticks)*(time.Second/100)
	return time.Now().Add(-age)
}
