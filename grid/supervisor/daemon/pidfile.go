// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap/clock"
)

// pidFile holds the supervisor's process number. It stays locked while the
// supervisor runs, so that two can't serve the same files.
type pidFile struct {
	path  string
	file  *os.File // nil if it can't be made
	stale bool     // an earlier supervisor left it: it was killed
	ours  bool     // it has been written
}

// takePIDFile locks the file. A supervisor still starts in a directory that it
// can't write to, but not beside another one.
func takePIDFile(path, configFile string) (*pidFile, error) {
	for {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o644)
		if err != nil {
			return &pidFile{path: path}, nil
		}
		content := make([]byte, 32)
		n, _ := file.Read(content)
		text := strings.TrimSpace(string(content[:n]))
		held := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil
		if running := runsWith(text, file, configFile); held || running {
			file.Close()
			return nil, &servedError{pid: text, configFile: configFile, ours: held && running, python: !held}
		}
		locked, err := file.Stat()
		present, presentErr := os.Stat(path)
		if err == nil && presentErr == nil && os.SameFile(locked, present) {
			return &pidFile{path: path, file: file, stale: text != ""}, nil
		}
		file.Close() // its owner has just removed it
	}
}

// servedError says that another supervisor serves the same configuration.
type servedError struct {
	pid, configFile string
	ours            bool // it knows SIGUSR2
	python          bool
}

func (e *servedError) Error() string {
	return fmt.Sprintf("another supervisor (process %s) already runs with %s", e.pid, e.configFile)
}

// answerLimit is how long a supervisor may take to recreate its socket, or to end.
const answerLimit = 5 * time.Second

// claimPIDFile takes the pid file unless another supervisor serves our
// configuration. One whose socket is gone is useless, so it is asked to recreate
// it. One that was killed may hold the file a moment longer, as may its child that
// has yet to become a program.
func (d *daemon) claimPIDFile() (err error) {
	asked := false
	for end := time.Now().Add(answerLimit); ; time.Sleep(answerLimit / 200) {
		d.pidFile, err = d.takePIDFile()
		var served *servedError
		switch {
		case !errors.As(err, &served) || d.allAnswer():
			return err
		case served.python:
			return fmt.Errorf("%w, and does not answer: being Python's, it makes its socket anew only on SIGHUP, when it starts its programs anew, too", err)
		case time.Now().After(end):
			return fmt.Errorf("%w, and does not answer: %s says why", err, cmp.Or(d.config.LogFile, "its log"))
		case served.ours && !asked:
			asked = true
			if pid, numberErr := strconv.Atoi(served.pid); numberErr == nil {
				_ = unix.Kill(pid, unix.SIGUSR2)
			}
		}
	}
}

// allAnswer reports whether somebody listens on each socket of the configuration.
func (d *daemon) allAnswer() bool {
	for _, c := range d.config.Servers {
		if c.Socket == "" {
			continue
		}
		connection, err := net.Dial("unix", c.Socket)
		if err != nil {
			return false
		}
		_ = connection.Close()
	}
	return true
}

// runsWith tells whether a process was started with our configuration: a
// supervisor of Python, which locks nothing. One that is younger than the file with
// its number is another process, whose number was used again (GRID-108).
func runsWith(pid string, file *os.File, configFile string) bool {
	number, err := strconv.Atoi(pid)
	if err != nil || number == os.Getpid() {
		return false
	}
	var owner unix.Stat_t
	if unix.Stat(filepath.Join("/proc", strconv.Itoa(number)), &owner) != nil || int(owner.Uid) != os.Geteuid() {
		return false // the number belongs to another user by now
	}
	if info, err := file.Stat(); err != nil || clock.BeganAfter(number, info.ModTime()) {
		return false
	}
	line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(number), "cmdline"))
	return err == nil && bytes.Contains(line, []byte(configFile)) && bytes.Contains(line, []byte("supervisord"))
}

func (f *pidFile) write() error {
	if f.file == nil {
		return fmt.Errorf("could not write pidfile %s", f.path)
	}
	f.ours = true
	err := f.file.Truncate(0)
	if err == nil {
		_, err = f.file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return fmt.Errorf("could not write pidfile %s: %w", f.path, err)
	}
	return nil
}

// release removes the file if its content is ours.
func (f *pidFile) release() {
	if f.file == nil {
		return
	}
	if f.ours || !f.stale {
		os.Remove(f.path)
	}
	f.file.Close()
}
