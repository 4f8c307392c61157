// SPDX-License-Identifier: GPL-3.0-or-later

package pass

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap/clock"
	"slapos/slap/confined"
	"slapos/slap/wholefile"
)

// A RunningError says that another agent holds the pid file: exit code 10.
type RunningError struct{ PID int }

func (e *RunningError) Error() string {
	// The spelling is the original's: scripts look for it (CLI-37).
	return fmt.Sprintf("New slapos process started, but another slapos process is aleady running with pid %d, exiting.", e.PID)
}

// A PIDFile says which process is at work, and is locked so that no other starts.
type PIDFile struct {
	path string
	file *os.File
}

// TakePIDFile writes our pid to path. It fails with a [*RunningError] when a
// live agent holds the file: one of ours by the lock, one of another kind when
// its pid is that of a live process with slapos in its command line (GRID-7) that
// is no younger than the file (GRID-108).
// What an agent that was killed left there is overwritten.
func TakePIDFile(path string, logger *slog.Logger) (*PIDFile, error) {
	for {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, fmt.Errorf("slapgrid could not write pidfile %s: %w", path, err)
		}
		pid, written, err := lockPIDFile(file)
		if err != nil {
			file.Close()
			return nil, err
		}
		if !wholefile.IsAt(path, file) {
			file.Close() // removed by its holder while we waited for the lock
			continue
		}
		if pid != os.Getpid() && isSlapos(pid) && !clock.BeganAfter(pid, written) {
			file.Close()
			return nil, &RunningError{pid}
		}
		if !written.IsZero() {
			logger.Info(fmt.Sprintf("Existing pid file '%s' was stale, overwritten", path))
		}
		held := &PIDFile{path, file}
		if err := held.write(); err != nil {
			held.Release()
			return nil, fmt.Errorf("slapgrid could not write pidfile %s: %w", path, err)
		}
		return held, nil
	}
}

// lockPIDFile locks the file and reads it, and tells when it was written, if it holds
// anything.
func lockPIDFile(file *os.File) (pid int, written time.Time, err error) {
	lockError := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	content := make([]byte, 64)
	n, _ := file.ReadAt(content, 0)
	pid, _ = strconv.Atoi(strings.TrimSpace(string(content[:n])))
	if errors.Is(lockError, unix.EWOULDBLOCK) {
		return 0, written, &RunningError{pid}
	}
	// File systems without locks still have the pid.
	if info, err := file.Stat(); err == nil && n > 0 {
		written = info.ModTime()
	}
	return pid, written, nil
}

func (f *PIDFile) write() error {
	if err := f.file.Truncate(0); err != nil {
		return err
	}
	_, err := f.file.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)
	return err
}

// Release removes the file if it is still ours.
func (f *PIDFile) Release() {
	if wholefile.IsAt(f.path, f.file) {
		os.Remove(f.path)
	}
	f.file.Close()
}

// isSlapos reports whether pid is a live process of our user with slapos in its
// command line: a reused pid may belong to anybody.
func isSlapos(pid int) bool {
	if pid <= 0 {
		return false
	}
	info, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	if err != nil {
		return false
	}
	if uid, _ := confined.Owner(info); uid != os.Geteuid() {
		return false
	}
	command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && bytes.Contains(command, []byte("slapos"))
}
