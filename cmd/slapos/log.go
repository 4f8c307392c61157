// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"

	"slapos/grid/pass"
	"slapos/slap"
)

// Text lines of the log look like the original's (CLI-12):
//
//	2026-11-21 01:44:13 slapos.format[17707] INFO message    on the console
//	[2026-11-21 01:44:13,412] INFO     message               in a log file
//
// Attributes of a record follow the message as name=value. Attributes given to
// the logger by With are context: text lines leave them out, so that messages
// of the original keep the original's text, except on DEBUG lines; JSON lines
// have them all. The attribute "logger" of a logger is its name.

// globalLevel is the level of the console, by -v and -q.
func (o *globalOptions) level() slog.Level {
	switch {
	case o.quiet:
		return slog.LevelWarn
	case o.verbose > 0:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// console is the log's handler for standard error.
func (e *environment) console() slog.Handler {
	if e.global.logFormat == "json" {
		return secretHandler{newJSONHandler(e.stderr, e.global.level())}
	}
	return secretHandler{&textHandler{
		sink:   &sink{w: e.stderr},
		level:  e.global.level(),
		name:   "slapos",
		prefix: e.consolePrefix(),
	}}
}

// consolePrefix formats what comes before the message.
func (e *environment) consolePrefix() func(slog.Record, string) (string, string, string) {
	colored := isTerminal(e.stderr) && e.getenv("NO_COLOR") == "" && e.getenv("TERM") != "dumb"
	color := func(code, text string) string {
		if !colored || code == "" {
			return text
		}
		return "\x1b[" + code + "m" + text + "\x1b[0m"
	}
	return func(r slog.Record, name string) (string, string, string) {
		var b strings.Builder
		if !e.global.noTime {
			b.WriteString(color("0;32", r.Time.Format("2006-01-02 15:04:05")) + " ")
		}
		b.WriteString(color("0;34", name+"["+strconv.Itoa(e.pid)+"]") + " ")
		b.WriteString(color("1;30", slap.PythonLevelName(r.Level)) + " ")
		if code := messageColor(r.Level); colored && code != "" {
			return b.String(), "\x1b[" + code + "m", "\x1b[0m"
		}
		return b.String(), "", ""
	}
}

func filePrefix(r slog.Record, _ string) (string, string, string) {
	milliseconds := r.Time.Nanosecond() / 1e6
	return fmt.Sprintf("[%s,%03d] %-8s ", r.Time.Format("2006-01-02 15:04:05"), milliseconds, slap.PythonLevelName(r.Level)), "", ""
}

// addLogFile appends everything from DEBUG up to a file, beside the console. Nobody but
// its owner can write a new one, whatever the umask (CLI-11).
func (e *environment) addLogFile(path string) error {
	file, err := os.OpenFile(e.expandUser(path), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("log file: %w", err)
	}
	var handler slog.Handler = &textHandler{sink: &sink{w: file}, level: slog.LevelDebug, name: "slapos", prefix: filePrefix}
	if e.global.logFormat == "json" {
		handler = newJSONHandler(file, slog.LevelDebug)
	}
	e.log = slog.New(slog.NewMultiHandler(e.log.Handler(), secretHandler{handler}))
	return nil
}

// A libraryLog takes messages that libraries log on their own, as net/http does
// about servers that answer too much.
type libraryLog struct{ e *environment }

func (l libraryLog) Write(line []byte) (int, error) {
	l.e.log.Debug(strings.TrimSpace(string(line)))
	return len(line), nil
}

func newJSONHandler(w io.Writer, level slog.Level) slog.Handler {
	return slog.NewJSONHandler(w, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.LevelKey {
				a.Value = slog.StringValue(slap.PythonLevelName(a.Value.Any().(slog.Level)))
			}
			return a
		},
	})
}

func messageColor(level slog.Level) string {
	switch slap.PythonLevelName(level) {
	case "CRITICAL":
		return "1;31"
	case "ERROR":
		return "0;31"
	case "WARNING":
		return "0;33"
	case "DEBUG":
		return "0;32"
	}
	return ""
}

// A sink writes whole lines, one at a time.
type sink struct {
	mu sync.Mutex
	w  io.Writer
}

// A textHandler writes the original's lines.
type textHandler struct {
	sink    *sink
	level   slog.Level
	name    string // of the logger
	context string // attributes of the logger, formatted
	group   string // prefix of the names of attributes
	// prefix gives what precedes the message, then what begins and ends its colour.
	prefix func(slog.Record, string) (string, string, string)
}

func (h *textHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

func (h *textHandler) Handle(_ context.Context, r slog.Record) error {
	name := h.name
	var attributes bytes.Buffer
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "logger" {
			name = a.Value.String()
		} else {
			appendAttribute(&attributes, h.group, a)
		}
		return true
	})
	if r.Level < slog.LevelInfo {
		attributes.WriteString(h.context)
	}
	prefix, begin, end := h.prefix(r, name)
	line := prefix + begin + pass.Printable(r.Message+attributes.String()) + end + "\n"
	h.sink.mu.Lock()
	defer h.sink.mu.Unlock()
	_, err := io.WriteString(h.sink.w, line)
	return err
}

func (h *textHandler) WithAttrs(attributes []slog.Attr) slog.Handler {
	with := *h
	var b bytes.Buffer
	for _, a := range attributes {
		if a.Key == "logger" {
			with.name = a.Value.String()
		} else {
			appendAttribute(&b, h.group, a)
		}
	}
	with.context += b.String()
	return &with
}

func (h *textHandler) WithGroup(name string) slog.Handler {
	with := *h
	with.group += name + "."
	return &with
}

// appendAttribute writes " name=value", quoted where a reader would stumble.
func appendAttribute(b *bytes.Buffer, group string, a slog.Attr) {
	value := a.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, member := range value.Group() {
			appendAttribute(b, group, member)
		}
		return
	}
	if a.Equal(slog.Attr{}) {
		return
	}
	text := value.String()
	if text == "" || strings.ContainsAny(text, " \t\r\n\"=") {
		text = strconv.Quote(text)
	}
	b.WriteString(" " + group + a.Key + "=" + text)
}
