// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// pipes are the standard streams of a process about to start.
//
// A service has both ends of its pipes open for reading and writing. So when
// this process dies, neither writing its output nor reading its input fails:
// output waits in the pipe for the next supervisor (D-5).
//
// An event listener has plain pipes: it should end with its supervisor.
type pipes struct {
	stdin, stdout, stderr              int // the child's ends
	writeStdin, readStdout, readStderr int // ours; -1 for none
}

func (p *process) makePipes() (*pipes, error) {
	s := &pipes{stdin: -1, stdout: -1, stderr: -1, writeStdin: -1, readStdout: -1, readStderr: -1}
	makeInput, outputPipe := s.makeInput, sharedOutputPipe
	if p.listener != nil {
		makeInput, outputPipe = s.makeListenerInput, plainOutputPipe
	}
	err := makeInput()
	if err == nil {
		s.readStdout, s.stdout, err = outputPipe()
	}
	if err == nil && p.stderr != nil {
		s.readStderr, s.stderr, err = outputPipe()
	} else {
		s.stderr = s.stdout
	}
	if err != nil {
		s.closeChild()
		s.closeParent()
		return nil, err
	}
	return s, nil
}

// makeInput makes the standard input of a service.
func (s *pipes) makeInput() error {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	s.stdin = forBoth(ends[0])
	closeAll(ends[1]) // sendInput opens it when needed
	return nil
}

// makeListenerInput makes the standard input of an event listener.
func (s *pipes) makeListenerInput() error {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	s.stdin, s.writeStdin = ends[0], ends[1]
	return unix.SetNonblock(s.writeStdin, true)
}

// plainOutputPipe makes an output of an event listener.
func plainOutputPipe() (read, write int, err error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return -1, -1, err
	}
	return ends[0], ends[1], unix.SetNonblock(ends[0], true)
}

// sharedOutputPipe makes an output of a service.
func sharedOutputPipe() (read, write int, err error) {
	if read, write, err = plainOutputPipe(); err == nil {
		write = forBoth(write)
	}
	return read, write, err
}

// forBoth replaces one end of a pipe with one that is open for reading and
// writing; without /proc it stays as it is.
func forBoth(fd int) int {
	both, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fd
	}
	closeAll(fd)
	return both
}

func (s *pipes) closeChild() {
	if s.stderr != s.stdout {
		closeAll(s.stderr)
	}
	closeAll(s.stdin, s.stdout)
}

func (s *pipes) closeParent() { closeAll(s.writeStdin, s.readStdout, s.readStderr) }

func closeAll(fds ...int) {
	for _, fd := range fds {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// inode identifies a pipe as long as somebody has it open.
func inode(fd int) uint64 {
	var stat unix.Stat_t
	if unix.Fstat(fd, &stat) != nil {
		return 0
	}
	return stat.Ino
}

// errNotThePipe says that a process replaced its pipe with something else.
var errNotThePipe = errors.New("the process has replaced its standard stream")

// reopenPipe opens a pipe that a process has as descriptor fd. It opens only a
// pipe, and only the wanted one unless wanted is 0: the process chooses what
// its descriptor is, and we may be root.
func reopenPipe(pid, fd, flags int, wanted uint64) (int, error) {
	path := fmt.Sprintf("/proc/%d/fd/%d", pid, fd)
	held, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", path, err)
	}
	defer closeAll(held)
	var stat unix.Stat_t
	if err := unix.Fstat(held, &stat); err != nil {
		return -1, fmt.Errorf("stat %s: %w", path, err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFIFO || wanted != 0 && stat.Ino != wanted || !isAnonymous(held) {
		return -1, errNotThePipe
	}
	opened, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", held), flags|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", path, err)
	}
	return opened, nil
}

// isAnonymous distinguishes a pipe from a named FIFO.
func isAnonymous(fd int) bool {
	var system unix.Statfs_t
	return unix.Fstatfs(fd, &system) == nil && system.Type == unix.PIPEFS_MAGIC
}
