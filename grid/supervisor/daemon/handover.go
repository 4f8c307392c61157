// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"slapos/grid/supervisor/config"
)

// handoverFormat numbers the form of a [handover]. It grows whenever an image
// that doesn't know the change would misunderstand it; a field that may be
// missing is no such change. Configurations are in it, too: a new option there
// must be unset in what an older image wrote, as in a file that doesn't name it.
// Otherwise the next reload would restart services.
const handoverFormat = 1

// handover is all that a supervisor knows, written by it for the image that
// replaces it in the same process (GRID-109). Descriptors stay open meanwhile, and
// are named by their numbers; 0 is none.
type handover struct {
	Format  int
	Version string // of the image that wrote it
	PID     int    // of the supervisor: descriptors and children are this process's

	Config      *config.Config // at the start
	GroupsRead  []*config.Group
	PIDFile     int
	MainLog     int
	EventSerial int
	NextTick    time.Time `json:",omitzero"`
	Servers     []handedServer
	Groups      []handedGroup
}

type handedServer struct {
	Config        config.Server
	Listener      int
	Device, Inode uint64 // of the socket file
	Connections   []handedConnection
}

// handedConnection is a client's connection that does nothing, see [phase].
type handedConnection struct {
	FD     int
	Unread []byte       // to read again
	Last   bool         // close it after the answer
	Rest   *pendingCall // of a call that was begun
	Tail   *handedTail
}

// handedTail is a log that a client follows; the descriptor keeps the place.
type handedTail struct {
	Path string
	FD   int
}

type handedGroup struct {
	Config     *config.Group
	Processes  []handedProcess
	PoolSerial int
	Events     []handedEvent // that wait for a listener
}

type handedProcess struct {
	Program    *config.Program
	State      state
	PID, PIDFD int
	Ticks      uint64 // of an adopted process
	Pipes      [3]uint64
	Killing    bool
	Tries      int
	Started    time.Time `json:",omitzero"`
	Stopped    time.Time `json:",omitzero"`
	Due        time.Time `json:",omitzero"` // the next change of state
	ExitStatus int
	SpawnError []byte
	InputFD    int // for the text that waits
	Input      []byte
	Outputs    []handedOutput
	Listener   *handedListener
}

type handedOutput struct {
	Path      string
	Log       int
	Failed    bool
	Pipes     []int
	Current   int // the pipe of the present process
	Capturing bool
	Captured  []byte
	Held      []byte
}

type handedListener struct {
	State  listenerState
	Stdin  int
	Unsent []byte
	Event  *handedEvent
	Input  []byte
	Result int
}

type handedEvent struct {
	Name       string
	Serial     int
	PoolSerial int
	Payload    []byte
}

// An offer collects the descriptors of a handover.
type offer struct{ descriptors []int }

// fd adds a descriptor; anything below 3 is none.
func (o *offer) fd(fd int) int {
	if fd < 3 {
		return 0
	}
	o.descriptors = append(o.descriptors, fd)
	return fd
}

// of adds the descriptor of a file, a listener or a connection.
func (o *offer) of(file syscall.Conn) (fd int, err error) {
	raw, err := file.SyscallConn()
	if err == nil {
		err = raw.Control(func(number uintptr) { fd = int(number) })
	}
	return o.fd(fd), err
}

// setInherited makes the descriptors survive an exec, or not.
func (o *offer) setInherited(inherited bool) error {
	flag := unix.FD_CLOEXEC
	if inherited {
		flag = 0
	}
	var errs error
	for _, fd := range o.descriptors {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, flag); err != nil {
			errs = errors.Join(errs, fmt.Errorf("descriptor %d: %w", fd, err))
		}
	}
	return errs
}

// handover describes the supervisor; the caller holds the lock, and the servers
// are still.
func (d *daemon) handover(o *offer) (*handover, error) {
	c := *d.config
	c.Groups = nil // the active ones count
	h := &handover{
		Format: handoverFormat, Version: d.options.Version, PID: os.Getpid(), Config: &c, GroupsRead: d.groupsRead,
		EventSerial: d.eventSerial, NextTick: d.nextTick,
	}
	var err error
	if d.pidFile.file != nil {
		h.PIDFile, err = o.of(d.pidFile.file)
	}
	if d.mainLog.file != nil {
		h.MainLog = o.fd(d.mainLog.file.fd)
	}
	for _, s := range d.servers {
		handed, serverErr := s.handover(o)
		h.Servers = append(h.Servers, handed)
		err = errors.Join(err, serverErr)
	}
	for _, g := range d.groupsByName() {
		h.Groups = append(h.Groups, g.handover(o))
	}
	return h, err
}

func (s *server) handover(o *offer) (handed handedServer, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	handed = handedServer{Config: s.config, Device: s.file.device, Inode: s.file.inode}
	if handed.Listener, err = o.of(s.listener.(syscall.Conn)); err != nil {
		return handed, err
	}
	for c := range s.open {
		kept := handedConnection{Unread: append(c.unread[:len(c.unread):len(c.unread)], c.again...), Last: c.last}
		switch {
		case c.dropped:
			continue
		case c.phase == waiting && c.rest != nil:
			kept.Rest = c.rest.named()
		case c.phase == tailing:
			kept.Tail = &handedTail{Path: c.tail.path}
			if kept.Tail.FD, err = o.of(c.tail.file); err != nil {
				return handed, err
			}
		}
		if kept.FD, err = o.of(c.Conn.(syscall.Conn)); err != nil {
			return handed, err
		}
		handed.Connections = append(handed.Connections, kept)
	}
	return handed, nil
}

func (g *group) handover(o *offer) handedGroup {
	handed := handedGroup{Config: g.config}
	for _, p := range g.processes {
		handed.Processes = append(handed.Processes, p.handover(o))
	}
	if g.pool != nil {
		handed.PoolSerial = g.pool.serial
		for _, e := range g.pool.buffer {
			handed.Events = append(handed.Events, *e.handover())
		}
	}
	return handed
}

func (p *process) handover(o *offer) handedProcess {
	handed := handedProcess{
		Program: p.config, State: p.state, PID: p.pid, PIDFD: o.fd(p.pidfd), Ticks: p.ticks, Pipes: p.pipes,
		Killing: p.killing, Tries: p.tries, Started: p.started, Stopped: p.stopped,
		ExitStatus: p.exitStatus, SpawnError: []byte(p.spawnError),
	}
	if p.timer != nil {
		handed.Due = p.due
	}
	if p.input != nil {
		handed.InputFD, handed.Input = o.fd(p.input.fd), p.input.text
	}
	for _, out := range p.outputs() {
		h := handedOutput{
			Path: out.path, Failed: out.failed, Capturing: out.capturing, Captured: out.captured, Held: out.held,
		}
		if out.log != nil {
			h.Log = o.fd(out.log.fd)
		}
		for _, fd := range out.pipes {
			h.Pipes = append(h.Pipes, o.fd(fd))
		}
		h.Current = out.fd
		handed.Outputs = append(handed.Outputs, h)
	}
	if l := p.listener; l != nil {
		handed.Listener = &handedListener{
			State: l.state, Stdin: o.fd(l.stdin), Unsent: l.unsent, Event: l.event.handover(), Input: l.input, Result: l.result,
		}
	}
	return handed
}

func (e *queued) handover() *handedEvent {
	if e == nil {
		return nil
	}
	return &handedEvent{Name: e.name, Serial: e.event.serial, PoolSerial: e.serial, Payload: []byte(e.payload)}
}

func (e *handedEvent) queued() *queued {
	if e == nil {
		return nil
	}
	return &queued{event: &event{name: e.Name, serial: e.Serial, payload: string(e.Payload)}, serial: e.PoolSerial}
}

// write puts the handover into memory that only this process can reach: it
// holds the environment of services, and passwords.
func (h *handover) write() (fd int, err error) {
	data, err := json.Marshal(h)
	if err != nil {
		return -1, fmt.Errorf("describe the supervisor: %w", err)
	}
	if fd, err = unix.MemfdCreate("supervisord", unix.MFD_CLOEXEC); err != nil {
		return -1, fmt.Errorf("make memory for the state: %w", err)
	}
	for len(data) > 0 {
		n, err := unix.Write(fd, data)
		if err != nil {
			closeAll(fd)
			return -1, fmt.Errorf("write the state: %w", err)
		}
		data = data[n:]
	}
	return fd, nil
}

// readHandover reads a handover from its beginning.
func readHandover(file io.ReaderAt) (*handover, error) {
	data, err := io.ReadAll(io.NewSectionReader(file, 0, maximumHandover))
	if err != nil {
		return nil, fmt.Errorf("read the state: %w", err)
	}
	h := &handover{}
	var format struct{ Format int }
	if err := json.Unmarshal(data, &format); err != nil {
		return nil, fmt.Errorf("read the state: %w", err)
	}
	if format.Format != handoverFormat {
		return nil, fmt.Errorf("the running supervisor's state has format %d, this program reads format %d", format.Format, handoverFormat)
	}
	if err := json.Unmarshal(data, h); err != nil {
		return nil, fmt.Errorf("read the state: %w", err)
	}
	return h, h.check()
}

// maximumHandover bounds the size of a handover, in bytes.
const maximumHandover = 1 << 30

// check refuses what a takeover would stumble over.
func (h *handover) check() error {
	if h.Config == nil || h.PID <= 0 {
		return errors.New("the state is incomplete")
	}
	for _, g := range h.Groups {
		if g.Config == nil {
			return errors.New("the state has a group without a configuration")
		}
		for _, p := range g.Processes {
			switch {
			case p.Program == nil:
				return fmt.Errorf("the state has a process of group %s without a configuration", g.Config.Name)
			case (p.PID != 0) != (p.PIDFD != 0):
				return fmt.Errorf("the state of process %s is contradictory", p.Program.Name)
			case (p.Listener != nil) != (g.Config.Listener != nil):
				return fmt.Errorf("the state of event listener %s is contradictory", p.Program.Name)
			case len(p.Outputs) != 2-number(p.Program.RedirectError):
				return fmt.Errorf("the state of process %s has %d outputs", p.Program.Name, len(p.Outputs))
			}
		}
	}
	return nil
}
