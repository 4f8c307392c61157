// SPDX-License-Identifier: GPL-3.0-or-later

package pass

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// An ItemLog keeps together the records of each of the items that are processed
// at the same time. It writes those of the oldest item at once, and holds those
// of the others until it has ended (D-6).
type ItemLog struct {
	mu    sync.Mutex
	items []*logItem // begun and not yet fully written, in order
}

// maxPending is how many records of an item wait in memory before they move to
// a temporary file: a build can print for hours.
const maxPending = 5000

// A logItem is the log of one item.
type logItem struct {
	log      *ItemLog
	ended    bool
	pending  []pendingRecord
	handlers []*itemHandler // that pending records refer to
	spill    *os.File       // older pending records
}

// A pendingRecord is a record to write later. Its attributes are already text.
// Texts are bytes because JSON preserves those even if they aren't UTF-8.
type pendingRecord struct {
	Handler int
	Time    time.Time
	Level   slog.Level
	Message []byte
	Names   []string
	Values  [][]byte
}

// Begin returns a logger for the next item, and a function to call at its end.
func (l *ItemLog) Begin(logger *slog.Logger) (*slog.Logger, func()) {
	item := &logItem{log: l}
	l.mu.Lock()
	l.items = append(l.items, item)
	l.mu.Unlock()
	return slog.New(&itemHandler{item, logger.Handler()}), item.end
}

func (i *logItem) end() {
	l := i.log
	l.mu.Lock()
	defer l.mu.Unlock()
	i.ended = true
	for len(l.items) > 0 && l.items[0].ended {
		l.items = l.items[1:]
		if len(l.items) > 0 {
			l.items[0].write()
		}
	}
}

// write hands on the records that have waited.
func (i *logItem) write() {
	if i.spill != nil {
		if err := i.writeSpilled(); err != nil {
			slog.New(i.handlers[0].inner).Error(fmt.Sprintf("Lines of the log are lost here, the temporary file they were kept in can't be read: %v", err))
		}
		i.spill.Close()
		i.spill = nil
	}
	for _, record := range i.pending {
		i.writeRecord(record)
	}
	i.pending, i.handlers = nil, nil
}

func (i *logItem) writeRecord(p pendingRecord) {
	record := slog.NewRecord(p.Time, p.Level, string(p.Message), 0)
	for n, name := range p.Names {
		record.AddAttrs(slog.String(name, string(p.Values[n])))
	}
	_ = i.handlers[p.Handler].inner.Handle(context.Background(), record)
}

func (i *logItem) writeSpilled() error {
	if _, err := i.spill.Seek(0, io.SeekStart); err != nil {
		return err
	}
	decoder := json.NewDecoder(i.spill)
	for {
		var batch []pendingRecord
		if err := decoder.Decode(&batch); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		for _, record := range batch {
			i.writeRecord(record)
		}
	}
}

func (i *logItem) keep(handler *itemHandler, record slog.Record) {
	p := pendingRecord{Handler: i.handlerIndex(handler), Time: record.Time, Level: record.Level, Message: []byte(record.Message)}
	record.Attrs(func(a slog.Attr) bool {
		p.Names = append(p.Names, a.Key)
		p.Values = append(p.Values, []byte(a.Value.Resolve().String()))
		return true
	})
	i.pending = append(i.pending, p)
	if len(i.pending) >= maxPending {
		i.spillPending()
	}
}

func (i *logItem) handlerIndex(handler *itemHandler) int {
	for n := len(i.handlers) - 1; n >= 0; n-- {
		if i.handlers[n] == handler {
			return n
		}
	}
	i.handlers = append(i.handlers, handler)
	return len(i.handlers) - 1
}

// spillPending moves the pending records to a file; if it can't, they stay in
// memory.
func (i *logItem) spillPending() {
	if i.spill == nil {
		file, err := os.CreateTemp("", "slapos-log-")
		if err != nil {
			return
		}
		os.Remove(file.Name())
		i.spill = file
	}
	end, err := i.spill.Seek(0, io.SeekEnd)
	if err != nil {
		return
	}
	writer := bufio.NewWriter(i.spill)
	if json.NewEncoder(writer).Encode(i.pending) != nil || writer.Flush() != nil {
		_ = i.spill.Truncate(end)
		return
	}
	i.pending = nil
}

// An itemHandler writes an item's records at once if it is the item's turn,
// else it holds them.
type itemHandler struct {
	item  *logItem
	inner slog.Handler
}

func (h *itemHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.inner.Enabled(ctx, level)
}

func (h *itemHandler) Handle(ctx context.Context, record slog.Record) error {
	l := h.item.log
	l.mu.Lock()
	defer l.mu.Unlock()
	// Records that follow an item's end, of a background upload for instance,
	// aren't held.
	if h.item.ended || l.items[0] == h.item {
		return h.inner.Handle(ctx, record)
	}
	h.item.keep(h, record)
	return nil
}

func (h *itemHandler) WithAttrs(attributes []slog.Attr) slog.Handler {
	return &itemHandler{h.item, h.inner.WithAttrs(attributes)}
}

func (h *itemHandler) WithGroup(name string) slog.Handler {
	return &itemHandler{h.item, h.inner.WithGroup(name)}
}
