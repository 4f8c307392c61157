// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"slapos/grid/supervisor/config"
)

// mainLog is the supervisor's own log, in the format of the original:
//
//	2026-11-21 01:44:42,412 INFO spawned: 'web' with pid 17
//
// The messages are the original's, too, since monitoring parses them. That is
// why they are whole sentences without attributes.
type mainLog struct {
	level  slog.Level
	mu     *sync.Mutex
	file   *logFile  // nil for none
	stdout io.Writer // standard output in the foreground; nil for none
	attrs  string
}

// openMainLog opens the log named by the configuration.
func openMainLog(c *config.Config, stdout io.Writer) (*mainLog, error) {
	l := &mainLog{level: c.LogLevel, mu: new(sync.Mutex), stdout: stdout}
	if c.LogFile == "" {
		return l, nil
	}
	var err error
	l.file, err = openLog(c.LogFile, c.LogFileMaxBytes, c.LogFileBackups)
	return l, err
}

func (l *mainLog) Enabled(_ context.Context, level slog.Level) bool { return level >= l.level }

func (l *mainLog) Handle(_ context.Context, record slog.Record) error {
	var b strings.Builder
	b.WriteString(record.Time.Format("2006-01-02 15:04:05"))
	fmt.Fprintf(&b, ",%03d %s %s%s", record.Time.Nanosecond()/int(time.Millisecond), levelName(record.Level), record.Message, l.attrs)
	record.Attrs(func(a slog.Attr) bool {
		b.WriteString(" " + a.String())
		return true
	})
	b.WriteByte('\n')
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stdout != nil {
		_, _ = io.WriteString(l.stdout, b.String())
	}
	if l.file != nil {
		_, err := l.file.Write([]byte(b.String()))
		return err
	}
	return nil
}

func (l *mainLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *l
	for _, a := range attrs {
		with.attrs += " " + a.String()
	}
	return &with
}

func (l *mainLog) WithGroup(string) slog.Handler { return l }

// locked calls an action on the file, if there is one.
func (l *mainLog) locked(action func(*logFile) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	return action(l.file)
}

func (l *mainLog) close() {
	_ = l.locked(func(file *logFile) error {
		file.close()
		return nil
	})
}

func levelName(level slog.Level) string {
	switch {
	case level >= config.LevelCritical:
		return "CRIT"
	case level >= config.LevelError:
		return "ERRO"
	case level >= config.LevelWarn:
		return "WARN"
	case level >= config.LevelInfo:
		return "INFO"
	case level >= config.LevelDebug:
		return "DEBG"
	case level >= config.LevelTrace:
		return "TRAC"
	}
	return "BLAT"
}
