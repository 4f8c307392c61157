// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// poller waits for all descriptors of all processes at once: the pipes of their
// output and the pidfds that announce their end. Five hundred idle services
// cost one goroutine, one buffer and no processor time.
type poller struct {
	file     *os.File
	raw      syscall.RawConn
	fd       int
	handlers map[int32]handler
	serial   int32
}

// handler is called with the events of its descriptor.
type handler struct {
	serial int32 // distinguishes a new descriptor from an old one with the same number
	call   func(events uint32)
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err == nil {
		err = unix.SetNonblock(fd, true) // so that the runtime waits for it without a thread
	}
	if err != nil {
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	p := &poller{fd: fd, file: os.NewFile(uintptr(fd), "epoll"), handlers: map[int32]handler{}}
	p.raw, err = p.file.SyscallConn()
	return p, err
}

// add has handle called whenever one of events occurs on fd.
func (p *poller) add(fd int, events uint32, handle func(events uint32)) error {
	p.serial++
	err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd), Pad: p.serial})
	if err != nil {
		return fmt.Errorf("watch descriptor %d: %w", fd, err)
	}
	p.handlers[int32(fd)] = handler{serial: p.serial, call: handle}
	return nil
}

// forget stops watching a descriptor.
func (p *poller) forget(fd int) {
	delete(p.handlers, int32(fd))
	_ = unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil)
}

// closeFD forgets and closes a descriptor.
func (p *poller) closeFD(fd int) {
	p.forget(fd)
	closeAll(fd)
}

// run calls handlers, holding lock, until the poller is closed.
func (p *poller) run(lock sync.Locker) {
	events := make([]unix.EpollEvent, 64)
	for {
		n := 0
		err := p.raw.Read(func(fd uintptr) bool {
			var err error
			n, err = unix.EpollWait(int(fd), events, 0)
			return n > 0 || err != nil && err != unix.EINTR
		})
		if err != nil {
			return
		}
		lock.Lock()
		for _, event := range events[:max(n, 0)] {
			if h, found := p.handlers[event.Fd]; found && h.serial == event.Pad {
				h.call(event.Events)
			}
		}
		lock.Unlock()
	}
}

func (p *poller) close() { p.file.Close() }
