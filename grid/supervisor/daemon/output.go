// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"slapos/grid/supervisor/config"
)

// output is one output stream of a process: it goes to a log, and to event
// listeners that subscribed to it.
type output struct {
	process *process
	channel string // stdout or stderr
	config  config.Stream
	path    string // of the log; "" for none
	log     *logFile
	pipes   []int // open ones: the current process's, and those that earlier ones left
	fd      int   // of the current process's pipe; 0 for none
	failed  bool

	capturing bool   // between the marks of a PROCESS_COMMUNICATION event
	captured  []byte // so far
	held      []byte // possibly the start of a mark
}

// Marks around the data of a PROCESS_COMMUNICATION event.
var (
	captureBegin = []byte("<!--XSUPERVISOR:BEGIN-->")
	captureEnd   = []byte("<!--XSUPERVISOR:END-->")
)

// open opens the log before the process starts.
func (o *output) open() error {
	if o.path == "" || o.log != nil {
		return nil
	}
	var err error
	o.failed = false
	if o.log, err = openLog(o.path, o.config.MaxBytes, o.config.Backups); err != nil {
		o.log = nil
		return fmt.Errorf("unknown error making dispatchers for '%s': %w", o.process.config.Name, err)
	}
	return nil
}

// follow reads a pipe until nobody can write to it any more.
func (o *output) follow(fd int) error {
	p := o.process
	err := p.d.poller.add(fd, unix.EPOLLIN, func(uint32) { o.read(fd) })
	if err != nil {
		return err
	}
	o.pipes = append(o.pipes, fd)
	o.fd = fd
	return nil
}

// read reads one buffer from the pipe; the rest waits for the next turn, so
// that one talkative process doesn't starve the others.
func (o *output) read(fd int) (more bool) {
	d := o.process.d
	n, err := unix.Read(fd, d.buffer)
	switch {
	case n > 0:
		o.receive(d.buffer[:n])
		return true
	case err == unix.EAGAIN, err == unix.EINTR:
		return false
	}
	o.flush()
	d.poller.closeFD(fd)
	if o.fd == fd {
		o.fd = 0
	}
	o.pipes = slices.DeleteFunc(o.pipes, func(pipe int) bool { return pipe == fd })
	o.closeUnused()
	return false
}

// closeUnused closes the log when nobody writes to it.
func (o *output) closeUnused() {
	if len(o.pipes) == 0 && o.log != nil {
		o.log.close()
		o.log = nil
	}
}

// drain reads what a process wrote before it ended. What its children write is
// read later.
func (o *output) drain() {
	for fd := o.fd; fd > 0 && o.fd == fd; {
		if !o.read(fd) {
			break
		}
	}
	o.fd = 0
}

func (o *output) receive(data []byte) {
	if l := o.process.listener; l != nil && o.channel == "stdout" {
		o.write(data)
		l.receive(data)
		return
	}
	if o.config.CaptureMaxBytes == 0 {
		o.write(data)
		return
	}
	o.capture(data)
}

// capture cuts the text between two marks out of the data.
func (o *output) capture(data []byte) {
	data = append(o.held, data...)
	o.held = nil
	for len(data) > 0 {
		mark := captureBegin
		if o.capturing {
			mark = captureEnd
		}
		before, after, found := bytes.Cut(data, mark)
		if !found {
			keep := prefixAtEnd(data, mark)
			before, o.held = data[:len(data)-keep], bytes.Clone(data[len(data)-keep:])
		}
		if o.capturing {
			room := max(0, o.config.CaptureMaxBytes-int64(len(o.captured)))
			o.captured = append(o.captured, before[:min(int64(len(before)), room)]...)
		} else {
			o.write(before)
		}
		if !found {
			return
		}
		if o.capturing {
			p := o.process
			p.d.notify("PROCESS_COMMUNICATION_"+strings.ToUpper(o.channel), fmt.Sprintf("processname:%s groupname:%s pid:%d\n%s",
				p.config.Name, p.group.config.Name, p.pid, text(o.captured)))
			o.captured = nil
		}
		o.capturing = !o.capturing
		data = after
	}
}

// prefixAtEnd returns the length of the longest prefix of mark that ends data.
func prefixAtEnd(data, mark []byte) int {
	for n := min(len(mark)-1, len(data)); n > 0; n-- {
		if bytes.HasSuffix(data, mark[:n]) {
			return n
		}
	}
	return 0
}

// flush writes text that was held back once no more can come.
func (o *output) flush() {
	if !o.capturing {
		o.write(o.held)
	}
	o.held, o.captured, o.capturing = nil, nil, false
}

// write sends data to the log and to listeners of PROCESS_LOG events.
func (o *output) write(data []byte) {
	if len(data) == 0 {
		return
	}
	p := o.process
	if p.d.config.StripANSI {
		data = stripANSI(data)
	}
	if o.log != nil {
		if _, err := o.log.Write(data); err != nil && !o.failed {
			o.failed = true // logged once
			p.d.log.Error("output is lost", "process", p.config.Name, "error", err)
		}
	}
	if p.d.config.LogLevel <= slog.LevelDebug {
		p.d.log.Debug(fmt.Sprintf("'%s' %s output:\n%s", p.config.Name, o.channel, data))
	}
	if o.config.Events {
		p.d.notify("PROCESS_LOG_"+strings.ToUpper(o.channel), fmt.Sprintf("processname:%s groupname:%s pid:%d channel:%s\n%s",
			p.config.Name, p.group.config.Name, p.pid, o.channel, text(data)))
	}
}

// text returns data in the form that an event can hold.
func text(data []byte) string { return strings.ToValidUTF8(string(data), "\ufffd") }

// stripANSI removes the escape sequences of terminals.
func stripANSI(data []byte) []byte {
	var kept []byte
	for {
		before, after, found := bytes.Cut(data, []byte("\x1b["))
		kept = append(kept, before...)
		if !found {
			return kept
		}
		end := bytes.IndexAny(after, "HfABCDRsuJKhlpm")
		if end < 0 {
			return kept
		}
		data = after[end+1:]
	}
}
