// SPDX-License-Identifier: GPL-3.0-or-later

package confined

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// A mountGuard detaches what users mount for everybody (FUSE, allow_other) in
// directories while root has them open: whoever waits for the server of such a
// file system then gets an error.
type mountGuard struct {
	mutex sync.Mutex
	// guarded are the open directories. While there are some, a goroutine waits
	// for the table of mounts to change, or for wake.
	guarded map[*guarded]bool
	wake    int
}

// guarded is an open directory: its descriptor, that of its place, and its name
// there.
type guarded struct {
	place, directory int
	name             string
}

var guard mountGuard

// enter guards a directory of a place until leave is called.
func (m *mountGuard) enter(place int, name string, directory int) (leave func(), err error) {
	g := &guarded{name: name, place: -1}
	if g.directory, err = unix.FcntlInt(uintptr(directory), unix.F_DUPFD_CLOEXEC, 3); err != nil {
		return nil, err
	}
	if g.place, err = unix.FcntlInt(uintptr(place), unix.F_DUPFD_CLOEXEC, 3); err != nil {
		g.close()
		return nil, err
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if len(m.guarded) == 0 {
		if err := m.begin(); err != nil {
			g.close()
			return nil, err
		}
	}
	m.guarded[g] = true
	return sync.OnceFunc(func() { m.leave(g) }), nil
}

// begin has the table open before it returns: no later change is missed.
func (m *mountGuard) begin() error {
	table, err := openMounts()
	if err != nil {
		return err
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		table.Close()
		return err
	}
	m.guarded, m.wake = map[*guarded]bool{}, wake
	go m.run(table, wake)
	return nil
}

func (m *mountGuard) leave(g *guarded) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	delete(m.guarded, g)
	g.close()
	if len(m.guarded) == 0 {
		_, _ = unix.Write(m.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

func (g *guarded) close() {
	unix.Close(g.directory)
	if g.place >= 0 {
		unix.Close(g.place)
	}
}

// run ends after the last directory was left.
func (m *mountGuard) run(table *os.File, wake int) {
	defer unix.Close(wake)
	defer table.Close()
	for {
		changes := []unix.PollFd{{Fd: int32(table.Fd()), Events: unix.POLLPRI}, {Fd: int32(wake), Events: unix.POLLIN}}
		if _, err := unix.Poll(changes, -1); err == unix.EINTR {
			continue
		}
		if changes[1].Revents != 0 {
			return
		}
		if text := mountsOfEverybody(table); text != "" {
			m.clear(text)
		}
	}
}

func (m *mountGuard) clear(table string) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	for g := range m.guarded {
		if place, err := pathOf(g.place); err == nil && isMountOfEverybody(table, filepath.Join(place, g.name)) {
			_ = detachUserMount(g.place, g.name)
		}
		_ = clearWaiting(table, g.directory)
	}
}

// openMounts opens the table of mounts for poll(2). The runtime must not know it: it
// would poll by itself, and the kernel tells each change once.
func openMounts() (*os.File, error) {
	const path = "/proc/self/mountinfo"
	fd, err := openRetrying(unix.AT_FDCWD, path, unix.O_RDONLY)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// mountsOfEverybody returns the lines with allow_other of the table of mounts.
func mountsOfEverybody(table *os.File) string {
	var text strings.Builder
	lines := bufio.NewScanner(io.NewSectionReader(table, 0, 1<<30))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if bytes.Contains(lines.Bytes(), []byte("allow_other")) {
			fmt.Fprintln(&text, lines.Text())
		}
	}
	return text.String()
}

func pathOf(descriptor int) (string, error) {
	return os.Readlink(fmt.Sprintf("/proc/self/fd/%d", descriptor))
}

// A mountLine is a line of mountinfo.
type mountLine struct{ path, system, options string }

func parseMountLine(line string) (m mountLine, ok bool) {
	mount, system, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
	fields, facts := strings.Fields(mount), strings.Fields(system)
	if !ok || len(fields) < 5 || len(facts) < 3 {
		return m, false
	}
	return mountLine{mountEscapes.Replace(fields[4]), facts[0], facts[2]}, true
}

// ofUser reports whether it is FUSE of an ordinary user.
func (m mountLine) ofUser() bool { return strings.HasPrefix(m.system, "fuse") && hasUser(m.options) }

// ofEverybody reports whether it is FUSE of an ordinary user that all can enter.
func (m mountLine) ofEverybody() bool {
	return m.ofUser() && slices.Contains(strings.Split(m.options, ","), "allow_other")
}

func isMountOfEverybody(table, path string) bool {
	for line := range strings.Lines(table) {
		if m, ok := parseMountLine(line); ok && m.path == path && m.ofEverybody() {
			return true
		}
	}
	return false
}
