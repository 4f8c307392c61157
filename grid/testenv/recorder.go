// SPDX-License-Identifier: GPL-3.0-or-later

package testenv

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// A Recorder keeps the messages of a log. It is a [slog.Handler].
type Recorder struct {
	mu    sync.Mutex
	lines []string
}

// Enabled is true.
func (r *Recorder) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs changes nothing.
func (r *Recorder) WithAttrs([]slog.Attr) slog.Handler { return r }

// WithGroup changes nothing.
func (r *Recorder) WithGroup(string) slog.Handler { return r }

// Handle keeps a message.
func (r *Recorder) Handle(_ context.Context, record slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, record.Message)
	return nil
}

// String is all messages.
func (r *Recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "\n")
}

// Index is the place of a message, -1 for none.
func (r *Recorder) Index(message string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Index(r.lines, message)
}
