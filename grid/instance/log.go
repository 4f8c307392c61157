// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"

	"slapos/grid/pass"
	"slapos/slap"
)

const (
	stateDirectory = ".slapgrid"
	instanceLog    = ".slapgrid/log/instance.log"
	// defaultMaxInstanceLog is the size, in bytes, at which a partition's log is
	// rotated.
	defaultMaxInstanceLog = 20 << 20
)

// maxInstanceLog is smaller in tests.
var maxInstanceLog int64 = defaultMaxInstanceLog

// openInstanceLog makes the log of the partition's directory, for its user to
// read, a copy of everything logged about it from now on (GRID-50). Close the
// file at the end.
func (d *deployment) openInstanceLog() (io.Closer, error) {
	for _, directory := range []struct {
		name string
		mode fs.FileMode
	}{{stateDirectory, 0o777}, {stateDirectory + "/log", 0o700}} {
		if info, err := d.Root.Lstat(directory.name); err == nil && !info.IsDir() {
			if err := d.Root.Remove(directory.name); err != nil {
				return nil, err
			}
		}
		if err := d.Root.MakeDirectory(directory.name, directory.mode); err != nil {
			return nil, err
		}
	}
	if err := d.Root.GiveAwayTree(stateDirectory); err != nil {
		return nil, err
	}
	log := &instanceLogFile{open: d.appendInstanceLog}
	if err := log.begin(); err != nil {
		return nil, err
	}
	copied := &instanceLogHandler{log: log, hide: d.Node.Hide, name: "slapos"}
	d.Log = slog.New(slog.NewMultiHandler(d.Log.Handler(), copied))
	return log, nil
}

// appendInstanceLog opens the log at its end, after it was set aside if it is large.
func (d *deployment) appendInstanceLog() (*os.File, error) {
	if err := d.rotateInstanceLog(); err != nil {
		return nil, err
	}
	return d.Root.Append(instanceLog, 0o644)
}

// An instanceLogFile is a partition's log, which is rotated in the middle of a pass,
// too: what runs there may print without end.
type instanceLogFile struct {
	open func() (*os.File, error)

	mu   sync.Mutex
	file *os.File // nil: it is over
	size int64
}

func (l *instanceLogFile) begin() error {
	file, err := l.open()
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	l.file, l.size = file, info.Size()
	return nil
}

func (l *instanceLogFile) write(line []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil && l.size >= maxInstanceLog {
		err := l.file.Close()
		l.file = nil
		if err = errors.Join(err, l.begin()); err != nil {
			return err // nothing more is written: what can't be rotated has no bound
		}
	}
	if l.file == nil {
		return nil
	}
	n, err := l.file.Write(line)
	l.size += int64(n)
	return err
}

// Close ends the log.
func (l *instanceLogFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

// rotateInstanceLog also sets aside a log that the user doesn't own, as old
// agents left them: it could be a hard link to another file.
func (d *deployment) rotateInstanceLog() error {
	info, err := d.Root.Lstat(instanceLog)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().IsRegular() && info.Size() < maxInstanceLog && d.Root.Owns(info) {
		return nil
	}
	return d.Root.Rename(instanceLog, instanceLog+".1")
}

// An instanceLogHandler writes "[time] LEVEL logger message" lines, without
// secrets that the partition's user must not see.
type instanceLogHandler struct {
	log  *instanceLogFile
	hide func(string) string
	name string // of the logger
}

func (h *instanceLogHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *instanceLogHandler) Handle(_ context.Context, r slog.Record) error {
	var line bytes.Buffer
	milliseconds := r.Time.Nanosecond() / 1e6
	fmt.Fprintf(&line, "[%s,%03d] %-8s %s %s", r.Time.Format("2006-01-02 15:04:05"), milliseconds, slap.PythonLevelName(r.Level), h.name, pass.Printable(h.hide(r.Message)))
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&line, " %s=%s", a.Key, pass.Printable(h.hide(a.Value.String())))
		return true
	})
	line.WriteByte('\n')
	return h.log.write(line.Bytes())
}

func (h *instanceLogHandler) WithAttrs(attributes []slog.Attr) slog.Handler {
	for _, a := range attributes {
		if a.Key == "logger" {
			return &instanceLogHandler{log: h.log, hide: h.hide, name: a.Value.String()}
		}
	}
	return h
}

func (h *instanceLogHandler) WithGroup(string) slog.Handler { return h }
