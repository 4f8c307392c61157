// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// takeHandover reads the state that the image before us left in a descriptor.
func takeHandover(fd int) (*handover, error) {
	file := os.NewFile(uintptr(fd), "state")
	if file == nil {
		return nil, fmt.Errorf("descriptor %d is none", fd)
	}
	defer file.Close()
	h, err := readHandover(file)
	if err == nil && h.PID != os.Getpid() {
		err = fmt.Errorf("it is the state of process %d", h.PID)
	}
	return h, err
}

// closeInherited closes the descriptors of a state that can't be read. The only
// other ones by then are the runtime's.
func closeInherited() {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		target, linkErr := os.Readlink("/proc/self/fd/" + entry.Name())
		if err == nil && linkErr == nil && fd > 2 && target != "anon_inode:[eventpoll]" && target != "anon_inode:[eventfd]" {
			closeAll(fd)
		}
	}
}

// openMainLog opens the supervisor's log, or goes on with that of the image
// before us.
func (d *daemon) openMainLog(stdout io.Writer) (*mainLog, error) {
	if d.taken == nil || d.taken.MainLog == 0 {
		return openMainLog(d.config, stdout)
	}
	c := *d.config
	c.LogFile = ""
	l, err := openMainLog(&c, stdout)
	if err == nil {
		l.file = takeLog(d.config.LogFile, d.config.LogFileMaxBytes, d.config.LogFileBackups, d.taken.MainLog)
	}
	return l, err
}

// takeLog is a log that another image opened.
func takeLog(path string, maxBytes int64, backups, fd int) *logFile {
	l := &logFile{path: path, maxBytes: maxBytes, backups: min(backups, maximumBackups), fd: fd}
	var file, name unix.Stat_t
	if unix.Fstat(fd, &file) == nil {
		l.size, l.regular = file.Size, file.Mode&unix.S_IFMT == unix.S_IFREG
	}
	l.linked = unix.Lstat(path, &name) == nil && name.Mode&unix.S_IFMT == unix.S_IFLNK
	return l
}

// takePIDFile takes the file, or that of the image before us, which is locked
// already.
func (d *daemon) takePIDFile() (*pidFile, error) {
	if d.taken == nil {
		return takePIDFile(d.config.PIDFile, d.options.ConfigFile)
	}
	f := &pidFile{path: d.config.PIDFile, ours: true}
	if d.taken.PIDFile != 0 {
		f.file = os.NewFile(uintptr(d.taken.PIDFile), f.path)
	}
	return f, nil
}

// takeServers takes the sockets and connections of the image before us.
func (d *daemon) takeServers() error {
	for _, handed := range d.taken.Servers {
		s := d.newServer(handed.Config)
		d.servers = append(d.servers, s)
		err := errors.New("it was not handed over")
		if file := os.NewFile(uintptr(handed.Listener), handed.Config.Section); file != nil {
			s.file = fileID{device: handed.Device, inode: handed.Inode}
			s.listener, err = net.FileListener(file)
			file.Close() // s.listener has a duplicate
		}
		if err != nil {
			d.log.Warn("a socket is made again", "section", handed.Config.Section, "error", err)
			if err := s.listen(); err != nil {
				return err
			}
		}
		for _, c := range handed.Connections {
			s.take(c)
		}
	}
	return nil
}

// take takes a connection; without it, its client asks again.
func (s *server) take(handed handedConnection) {
	file := os.NewFile(uintptr(handed.FD), "connection")
	if file == nil {
		return
	}
	accepted, err := net.FileConn(file)
	file.Close() // accepted has a duplicate
	if err != nil {
		s.d.log.Warn("a client's connection is lost", "error", err)
		return
	}
	c := s.add(accepted)
	c.again, c.last, c.rest = handed.Unread, handed.Last, handed.Rest
	if t := handed.Tail; t != nil {
		c.tail = &tail{path: t.Path, file: os.NewFile(uintptr(t.FD), t.Path)}
	}
}

// takeOver makes the processes of the image before us ours; the caller holds the
// lock. Nothing is told to event listeners: for them nothing happened.
func (d *daemon) takeOver() {
	h := d.taken
	d.taken = nil
	d.eventSerial, d.nextTick = h.EventSerial, h.NextTick
	var taken []*process
	for _, handed := range h.Groups {
		g := &group{d: d, config: handed.Config}
		if handed.Config.Listener != nil {
			g.pool = &pool{group: g, serial: handed.PoolSerial}
			for _, e := range handed.Events {
				g.pool.buffer = append(g.pool.buffer, *e.queued())
			}
		}
		d.groups[handed.Config.Name] = g
		for _, hp := range handed.Processes {
			p := bareProcess(g, hp.Program)
			g.processes = append(g.processes, p)
			p.take(hp)
			taken = append(taken, p)
		}
	}
	d.reconcileJournal(taken)
	if err := d.pidFile.write(); err != nil {
		d.critical(err.Error())
	}
	d.log.Info(fmt.Sprintf("supervisord goes on with pid %d as version %s, was version %s", os.Getpid(), d.options.Version, d.previous))
	for _, p := range taken {
		p.proceed()
	}
	if os.Getpid() == 1 {
		reapOrphans(d) // their signals may have come before ours were handled
	}
}

// take sets what is known of the process, and follows its end and its output.
func (p *process) take(h handedProcess) {
	p.state, p.pid, p.ticks, p.pipes, p.killing, p.tries = h.State, h.PID, h.Ticks, h.Pipes, h.Killing, h.Tries
	p.started, p.stopped, p.due, p.exitStatus, p.spawnError = h.Started, h.Stopped, h.Due, h.ExitStatus, string(h.SpawnError)
	var err error
	if h.PIDFD != 0 {
		p.pidfd = h.PIDFD
		err = p.d.poller.add(p.pidfd, unix.EPOLLIN, func(uint32) { p.reap() })
	}
	if h.InputFD != 0 {
		left := &input{fd: h.InputFD, text: h.Input}
		p.input = left
		err = errors.Join(err, p.d.poller.add(left.fd, unix.EPOLLOUT, func(uint32) { p.continueInput(left) }))
	}
	for i, o := range p.outputs() {
		err = errors.Join(err, o.take(h.Outputs[i]))
	}
	if l := h.Listener; l != nil {
		p.listener = &listener{process: p, state: l.State, stdin: -1, unsent: l.Unsent, event: l.Event.queued(), input: l.Input, result: l.Result}
		if l.Stdin != 0 {
			p.listener.stdin = l.Stdin
		}
	}
	if err != nil {
		p.d.log.Error("a process isn't watched any more", "process", p.config.Name, "error", err)
	}
}

func (o *output) take(h handedOutput) (err error) {
	o.path, o.failed, o.capturing, o.captured, o.held = h.Path, h.Failed, h.Capturing, h.Captured, h.Held
	if h.Log != 0 {
		o.log = takeLog(o.path, o.config.MaxBytes, o.config.Backups, h.Log)
	}
	for _, fd := range h.Pipes {
		err = errors.Join(err, o.follow(fd))
	}
	o.fd = h.Current
	return err
}

// proceed goes on where the image before us stopped.
func (p *process) proceed() {
	if !p.due.IsZero() {
		p.after(max(0, time.Until(p.due)), p.next)
	}
	if p.listener != nil && len(p.listener.unsent) > 0 {
		p.listener.write()
	}
}

// reconcileJournal makes the journal say what runs; it does already unless it
// couldn't be written.
func (d *daemon) reconcileJournal(taken []*process) {
	runs := map[int]bool{}
	for _, p := range taken {
		if p.pid == 0 {
			continue
		}
		runs[p.pid] = true
		if _, found := d.journal.running[p.pid]; !found {
			d.journal.started(p)
		}
	}
	for pid := range d.journal.running {
		if !runs[pid] {
			d.journal.ended(pid)
		}
	}
}
