// SPDX-License-Identifier: GPL-3.0-or-later

package agent

import (
	"context"
	"log/slog"
)

// A taskHandler writes the log of a run. Runs are many and at the same time: each line
// says whose it is, and what a pass says of itself is for debugging.
type taskHandler struct {
	inner slog.Handler
	name  string
	// own is true for what is about the release or the partition itself.
	own bool
}

func (h *taskHandler) level(level slog.Level) slog.Level {
	if !h.own && level == slog.LevelInfo {
		return slog.LevelDebug
	}
	return level
}

// Enabled implements slog.Handler.
func (h *taskHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.inner.Enabled(ctx, h.level(level))
}

// Handle implements slog.Handler.
func (h *taskHandler) Handle(ctx context.Context, r slog.Record) error {
	level := h.level(r.Level)
	if !h.inner.Enabled(ctx, level) {
		return nil
	}
	line := slog.NewRecord(r.Time, level, h.name+": "+r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		line.AddAttrs(a)
		return true
	})
	return h.inner.Handle(ctx, line)
}

// WithAttrs implements slog.Handler.
func (h *taskHandler) WithAttrs(attributes []slog.Attr) slog.Handler {
	own := h.own
	for _, a := range attributes {
		own = own || a.Key == "partition" || a.Key == "release"
	}
	return &taskHandler{h.inner.WithAttrs(attributes), h.name, own}
}

// WithGroup implements slog.Handler.
func (h *taskHandler) WithGroup(name string) slog.Handler {
	return &taskHandler{h.inner.WithGroup(name), h.name, h.own}
}
