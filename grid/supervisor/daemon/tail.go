// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"context"
	"errors"
	"io"
	"os"
	"time"
)

const (
	tailHead  = 1024 // shown at once
	tailPause = 100 * time.Millisecond
)

// tail follows a log through rotations.
type tail struct {
	path     string
	file     *os.File
	modified time.Time
}

func openTail(path string) (*tail, error) {
	if path == "" {
		return nil, errors.New("there is no log")
	}
	file, err := openForReading(path)
	if err != nil {
		return nil, err
	}
	t := &tail{path: path, file: file}
	info, err := file.Stat()
	if err == nil {
		t.modified = info.ModTime()
		_, err = file.Seek(max(0, info.Size()-tailHead), io.SeekStart)
	}
	if err != nil {
		file.Close()
	}
	return t, err
}

func (t *tail) close() { t.file.Close() }

// follow copies what is there and what is added, until the client disconnects
// or the supervisor ends. It polls while there is a client, and calls between
// when all that it has read is written.
func (t *tail) follow(ctx context.Context, ending <-chan struct{}, w io.Writer, between func()) {
	ticker := time.NewTicker(tailPause)
	defer ticker.Stop()
	for {
		if _, err := io.Copy(w, t.file); err != nil {
			return
		}
		between()
		select {
		case <-ctx.Done():
			return
		case <-ending:
			return
		case <-ticker.C:
		}
		if t.renew(w) != nil {
			return
		}
	}
}

// renew opens the file that has the log's name now, or starts over in one that
// was emptied.
func (t *tail) renew(w io.Writer) error {
	held, err := t.file.Stat()
	if err != nil {
		return err
	}
	if present, err := os.Lstat(t.path); err == nil && !os.SameFile(held, present) {
		if next, err := openForReading(t.path); err == nil {
			_, err = io.Copy(w, t.file)
			t.file.Close()
			t.file = next
			return err
		}
	}
	at, err := t.file.Seek(0, io.SeekCurrent)
	if err != nil || held.Size() >= at {
		return err
	}
	if _, err = io.WriteString(w, "==> File truncated <==\n"); err == nil {
		_, err = t.file.Seek(0, io.SeekStart)
	}
	return err
}
