// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// pidFile holds the number of the supervisor's process. It is locked as long as
// the supervisor lives, so that two can't serve the same files.
type pidFile struct {
	path  string
	file  *os.File // nil if it can't be made
	stale bool     // an earlier supervisor left it: it was killed
	ours  bool     // it has been written
}

// takePIDFile locks the file. A directory that can't be written to is no reason
// not to start; another supervisor is.
func takePIDFile(path, configFile string) (*pidFile, error) {
	for {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o644)
		if err != nil {
			return &pidFile{path: path}, nil
		}
		content := make([]byte, 32)
		n, _ := file.Read(content)
		text := strings.TrimSpace(string(content[:n]))
		if unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil || runsWith(text, configFile) {
			file.Close()
			return nil, fmt.Errorf("another supervisor (process %s) uses %s: shut it down first", text, path)
		}
		locked, err := file.Stat()
		present, presentErr := os.Stat(path)
		if err == nil && presentErr == nil && os.SameFile(locked, present) {
			return &pidFile{path: path, file: file, stale: text != ""}, nil
		}
		file.Close() // its owner has just removed it
	}
}

// runsWith tells whether a process was started with our configuration: a
// supervisor of Python, which locks nothing.
func runsWith(pid, configFile string) bool {
	number, err := strconv.Atoi(pid)
	if err != nil || number == os.Getpid() {
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
