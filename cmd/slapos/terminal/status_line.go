// SPDX-License-Identifier: GPL-3.0-or-later

package terminal

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

// A StatusLine is the last line of a terminal: the items in progress, and for
// how long. It implements [pass.Progress] (D-15).
type StatusLine struct {
	terminal io.Writer
	now      func() time.Time
	width    func() int

	mu           sync.Mutex
	shown        bool
	items        []statusItem // that are worked on, in order
	ended, total int
	stop         chan struct{} // ends the ticking
}

// NewStatusLine returns the line of a terminal that nothing else writes to but
// the log of [StatusLine.Above].
func NewStatusLine(terminal io.Writer, now func() time.Time) *StatusLine {
	width := func() int { width, _ := Size(terminal); return width }
	return &StatusLine{terminal: terminal, now: now, width: width}
}

// Above returns a handler that logs above the line as inner does.
func (s *StatusLine) Above(inner slog.Handler) slog.Handler {
	return &statusHandler{line: s, inner: inner}
}

type statusItem struct {
	name, doing string
	since       time.Time
}

// Plan sets the number of items.
func (s *StatusLine) Plan(items int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total = items
}

// Begin starts an item.
func (s *StatusLine) Begin(item string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items = append(s.items, statusItem{name: item, doing: "", since: s.now()})
	if s.stop == nil {
		s.stop = make(chan struct{})
		go s.tick(s.stop) // draws with s.mu held, ends when stop is closed; nobody waits for it
	}
}

// Step says what is being done to an item.
func (s *StatusLine) Step(item, doing string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.items {
		if s.items[i].name == item {
			s.items[i].doing, s.items[i].since = doing, s.now()
		}
	}
	s.redraw()
}

// End ends an item.
func (s *StatusLine) End(item string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.items {
		if s.items[i].name == item {
			s.items = append(s.items[:i:i], s.items[i+1:]...)
			break
		}
	}
	s.ended++
	s.redraw()
	if len(s.items) == 0 && s.stop != nil {
		close(s.stop)
		s.stop = nil
	}
}

// tick keeps the time in the line right.
func (s *StatusLine) tick(stop chan struct{}) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
			s.mu.Lock()
			s.redraw()
			s.mu.Unlock()
		}
	}
}

const eraseLine = "\r\x1b[K"

func (s *StatusLine) erase() {
	if s.shown {
		io.WriteString(s.terminal, eraseLine)
		s.shown = false
	}
}

func (s *StatusLine) redraw() {
	text := s.text()
	if text == "" {
		s.erase()
		return
	}
	io.WriteString(s.terminal, eraseLine+text)
	s.shown = true
}

// text shows the oldest item that has reported a step.
func (s *StatusLine) text() string {
	for _, item := range s.items {
		if item.doing == "" {
			continue
		}
		text := fmt.Sprintf("[%d/%d] %s %s, %s", s.ended+1, s.total, item.doing, item.name, s.now().Sub(item.since).Truncate(time.Second))
		if more := len(s.items) - 1; more > 0 {
			text += fmt.Sprintf(" (and %d more)", more)
		}
		return Cut(text, s.width()-1)
	}
	return ""
}

// A statusHandler logs above the status line.
type statusHandler struct {
	line  *StatusLine
	inner slog.Handler
}

func (h *statusHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.inner.Enabled(ctx, level)
}

func (h *statusHandler) Handle(ctx context.Context, record slog.Record) error {
	h.line.mu.Lock()
	defer h.line.mu.Unlock()
	h.line.erase()
	err := h.inner.Handle(ctx, record)
	h.line.redraw()
	return err
}

func (h *statusHandler) WithAttrs(attributes []slog.Attr) slog.Handler {
	return &statusHandler{line: h.line, inner: h.inner.WithAttrs(attributes)}
}

func (h *statusHandler) WithGroup(name string) slog.Handler {
	return &statusHandler{line: h.line, inner: h.inner.WithGroup(name)}
}
