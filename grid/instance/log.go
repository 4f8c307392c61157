// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
	// maxInstanceLog is the size, in bytes, at which a partition's log is
	// rotated.
	maxInstanceLog = 20 << 20
)

// openInstanceLog makes the log of the partition's directory, for its user to
// read, a copy of everything logged about it from now on (GRID-50). Close the
// file at the end.
func (d *deployment) openInstanceLog() (*os.File, error) {
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
	if err := d.rotateInstanceLog(); err != nil {
		return nil, err
	}
	file, err := d.Root.Append(instanceLog, 0o644)
	if err != nil {
		return nil, err
	}
	copied := &instanceLogHandler{mu: &sync.Mutex{}, file: file, hide: d.Node.Hide, name: "slapos"}
	d.Log = slog.New(slog.NewMultiHandler(d.Log.Handler(), copied))
	return file, nil
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
	mu   *sync.Mutex
	file *os.File
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
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := h.file.Write(line.Bytes())
	return err
}

func (h *instanceLogHandler) WithAttrs(attributes []slog.Attr) slog.Handler {
	for _, a := range attributes {
		if a.Key == "logger" {
			return &instanceLogHandler{mu: h.mu, file: h.file, hide: h.hide, name: a.Value.String()}
		}
	}
	return h
}

func (h *instanceLogHandler) WithGroup(string) slog.Handler { return h }
