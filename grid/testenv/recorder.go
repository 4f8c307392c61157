// SPDX-License-Identifier: GPL-3.0-or-later

package testenv

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// A Recorder is a [slog.Handler] that keeps the messages of a log.
type Recorder struct {
	mu    sync.Mutex
	lines []string
}

// Enabled returns true.
func (r *Recorder) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs ignores attributes.
func (r *Recorder) WithAttrs([]slog.Attr) slog.Handler { return r }

// WithGroup ignores groups.
func (r *Recorder) WithGroup(string) slog.Handler { return r }

// Handle keeps a message.
func (r *Recorder) Handle(_ context.Context, record slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, record.Message)
	return nil
}

// String returns all messages.
func (r *Recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "\n")
}

// Index returns the place of a message, or -1.
func (r *Recorder) Index(message string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Index(r.lines, message)
}
