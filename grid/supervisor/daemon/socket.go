// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"fmt"
	"maps"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// fileID distinguishes files that have had the same name.
type fileID struct{ device, inode uint64 }

// identify returns the identity of the file at a path; zero if there is none.
func identify(path string) fileID {
	var stat unix.Stat_t
	if unix.Lstat(path, &stat) != nil {
		return fileID{}
	}
	return fileID{device: stat.Dev, inode: stat.Ino}
}

// hasFile reports whether the server's socket file still exists; the caller holds s.mu.
func (s *server) hasFile() bool {
	return s.config.Socket != "" && identify(s.config.Socket) == s.file
}

// restore recreates the socket file if it is gone. Open connections go on. It
// replaces neither the socket of another supervisor nor anything that isn't a
// socket.
func (s *server) restore() (made bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.config.Socket == "" || s.closed || s.hasFile() {
		return false, nil
	}
	listener, file, err := listenUnix(s.config)
	if err != nil {
		return false, err
	}
	_ = s.listener.Close()
	s.listener, s.file = listener, file
	if s.resumed != nil {
		_ = listener.(deadliner).SetDeadline(longAgo)
	}
	go s.serve(listener) // as long as the listener is open
	return true, nil
}

// socketWatch recreates socket files that somebody removes. The kernel reports
// changes in their directories or, if one is missing, in its nearest existing
// parent. The daemon's lock guards it.
type socketWatch struct {
	d        *daemon
	servers  servers
	notify   int             // the inotify descriptor; -1: only SIGUSR2 triggers a look
	watches  map[int]bool    // its watch descriptors
	problems map[string]bool // already reported, and not solved
	due      bool            // it will look soon
}

// watchSockets starts watching; the caller holds d.mu.
func (d *daemon) watchSockets(all servers) {
	w := &socketWatch{d: d, servers: all, notify: -1, watches: map[int]bool{}, problems: map[string]bool{}}
	d.sockets = w
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err == nil {
		if err = d.poller.add(fd, unix.EPOLLIN, func(uint32) { w.changed() }); err != nil {
			closeAll(fd)
		} else {
			w.notify = fd
		}
	}
	if err != nil {
		d.log.Warn("a removed socket will be made again only on SIGUSR2", "error", err)
	}
	w.look()
}

// lookDelay gives whoever removes a whole directory time to finish.
const lookDelay = 100 * time.Millisecond

// changed drains the kernel's events, and looks soon.
func (w *socketWatch) changed() {
	buffer := make([]byte, 4096)
	for {
		if n, err := unix.Read(w.notify, buffer); n <= 0 && err != unix.EINTR {
			break
		}
	}
	if w.due {
		return
	}
	w.due = true
	time.AfterFunc(lookDelay, func() {
		w.d.mu.Lock()
		defer w.d.mu.Unlock()
		w.due = false
		if w.notify >= 0 { // not closed meanwhile
			w.look()
		}
	})
}

// look recreates the socket files that are gone.
func (w *socketWatch) look() {
	for changed := true; changed; { // again if a directory came or went meanwhile
		changed = w.arm()
		w.restore()
	}
}

func (w *socketWatch) restore() {
	problems := map[string]bool{}
	for _, s := range w.servers {
		made, err := s.restore()
		if made {
			w.d.log.Warn(fmt.Sprintf("socket %s was removed, it is made again", s.config.Socket))
		}
		if err != nil {
			problems[err.Error()] = true
			if !w.problems[err.Error()] {
				w.d.critical("a removed socket can't be made again yet: " + err.Error())
			}
		}
	}
	w.problems = problems
}

const socketChanges = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF

// arm watches the current directories of all sockets, and reports whether they
// have changed.
func (w *socketWatch) arm() (changed bool) {
	if w.notify < 0 {
		return false
	}
	present := map[int]bool{}
	for _, s := range w.servers {
		if s.config.Socket == "" {
			continue
		}
		for directory := filepath.Dir(s.config.Socket); ; directory = filepath.Dir(directory) {
			watch, err := unix.InotifyAddWatch(w.notify, directory, socketChanges|unix.IN_ONLYDIR)
			if err == nil {
				present[watch] = true
			}
			if err == nil || directory == filepath.Dir(directory) {
				break
			}
		}
	}
	for watch := range w.watches {
		if !present[watch] {
			_, _ = unix.InotifyRmWatch(w.notify, uint32(watch))
		}
	}
	changed = !maps.Equal(w.watches, present)
	w.watches = present
	return changed
}

// close ends the watch; the caller holds d.mu.
func (w *socketWatch) close() {
	if w.notify >= 0 {
		w.d.poller.closeFD(w.notify)
	}
	w.notify = -1
}
