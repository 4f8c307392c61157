// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

var eventTable = table[Event]{name: "event18", order: "id", late: historySchema, columns: []column[Event]{
	{name: "id", at: func(e *Event) cell { return whole{&e.ID} }},
	{name: "time", at: func(e *Event) cell { return number{&e.Time} }},
	{name: "computer_reference", at: func(e *Event) cell { return text{&e.Computer} }},
	{name: "kind", at: func(e *Event) cell { return text{&e.Kind} }},
	{name: "subject", at: func(e *Event) cell { return text{&e.Subject} }},
	{name: "title", at: func(e *Event) cell { return text{&e.Title} }},
	{name: "root", at: func(e *Event) cell { return text{&e.Root} }},
	{name: "event", at: func(e *Event) cell { return text{&e.Event} }},
	{name: "state", at: func(e *Event) cell { return text{&e.State} }},
	{name: "message", at: func(e *Event) cell { return text{&e.Message} }},
	{name: "actor", at: func(e *Event) cell { return text{&e.Actor} }},
}}

// logRow is the text of an error, compressed, as base64: a column of bytes is
// none that all databases and their tools agree on.
type logRow struct {
	event int64
	text  string
}

var logTable = table[logRow]{name: "log18", order: "event", late: historySchema, columns: []column[logRow]{
	{name: "event", at: func(r *logRow) cell { return whole{&r.event} }},
	{name: "text", at: func(r *logRow) cell { return text{&r.text} }},
}}

// actorKey is that of a context's actor.
type actorKey struct{}

// As returns a context for operations that somebody asks for: who is told by
// their events.
func As(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

func actorOf(ctx context.Context) string {
	actor, _ := ctx.Value(actorKey{}).(string)
	return messageOf(actor)
}

// event adds an event, and lets the oldest of its subject go.
func (t *transaction) event(ctx context.Context, e Event) error {
	_, err := t.eventID(ctx, e)
	return err
}

func (t *transaction) eventID(ctx context.Context, e Event) (id int64, err error) {
	if keep, err := t.keep(ctx); err != nil || !keep {
		return 0, err
	}
	e.Time, e.Message = t.time, messageOf(e.Message)
	if e.Event != EventReported && e.Event != EventPromise {
		e.Actor = t.actor
	}
	t.wrote = true
	// Writers take turns: no other transaction can take the same number.
	found, err := t.row(ctx, eventInsertion, eventTable.values(&e)[1:], &id)
	if err != nil || !found {
		return 0, err
	}
	err = t.note(ctx, `DELETE FROM event18 WHERE computer_reference = $1 AND kind = $2 AND subject = $3 AND id <=
		(SELECT id FROM event18 WHERE computer_reference = $1 AND kind = $2 AND subject = $3 ORDER BY id DESC LIMIT 1 OFFSET $4)`,
		e.Computer, e.Kind, e.Subject, t.db.options.HistoryEvents)
	if t.events == nil {
		t.events = map[string]int64{}
	}
	t.events[e.Event]++
	return id, err
}

const eventInsertion = `INSERT INTO event18 (id, time, computer_reference, kind, subject, title, root, event, state, message, actor)
	VALUES ((SELECT COALESCE(max(id), 0) + 1 FROM event18), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id`

// log keeps the text of an event, and the last ones of its subject.
func (t *transaction) log(ctx context.Context, e Event, id int64, text string) error {
	if id == 0 || text == "" {
		return nil
	}
	row := logRow{id, packLog(text)}
	if err := t.note(ctx, logTable.insertion()+" ON CONFLICT (event) DO UPDATE SET text = excluded.text", logTable.values(&row)...); err != nil {
		return err
	}
	return t.note(ctx, `DELETE FROM log18 WHERE event IN (SELECT event18.id FROM event18 JOIN log18 ON log18.event = event18.id
		WHERE computer_reference = $1 AND kind = $2 AND subject = $3 ORDER BY event18.id DESC LIMIT 1000 OFFSET $4)`,
		e.Computer, e.Kind, e.Subject, maximumLogs)
}

// packer and unpacker are made with the first log, and serve all.
var (
	packer = sync.OnceValue(func() *zstd.Encoder {
		encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(MaximumLog))
		if err != nil {
			panic(err) // the options are ours
		}
		return encoder
	})
	unpacker = sync.OnceValue(func() *zstd.Decoder {
		decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(2*MaximumLog))
		if err != nil {
			panic(err)
		}
		return decoder
	})
)

func packLog(text string) string {
	return base64.StdEncoding.EncodeToString(packer().EncodeAll([]byte(text), nil))
}

// unpackLog reads what packLog wrote, and no more than it writes.
func unpackLog(packed string) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(packed)
	if err != nil {
		return "", err
	}
	text, err := unpacker().DecodeAll(raw, nil)
	return string(text), err
}

// Events implements [History].
func (d *Database) Events(ctx context.Context, filter EventFilter) (events []Event, err error) {
	var conditions []string
	var args []any
	where := func(condition string, value any) {
		args = append(args, value)
		conditions = append(conditions, fmt.Sprintf(condition, len(args)))
	}
	for _, c := range []struct{ condition, value string }{
		{"computer_reference = $%d", filter.Computer}, {"kind = $%d", filter.Kind}, {"subject = $%d", filter.Subject},
		{"title = $%d AND title <> ''", filter.Title}, {"event = $%d", filter.Event},
	} {
		if c.value != "" {
			where(c.condition, c.value)
		}
	}
	for text, search := range map[string]string{"actor": filter.Actor, eventText: filter.Search} {
		list := words(search)
		for _, word := range list[:min(len(list), maximumWords)] {
			where("lower("+text+") LIKE $%d ESCAPE '!'", like(word))
		}
	}
	if filter.Actor != "" || filter.Search != "" || filter.scattered() {
		where("id > (SELECT max(id) FROM event18) - $%d", searchedEvents)
	}
	order := "DESC"
	if filter.After != 0 {
		order = "ASC"
		where("id > $%d", max(filter.After, 0))
	} else if filter.Before > 0 {
		where("id < $%d", filter.Before)
	}
	query := ""
	if len(conditions) > 0 {
		query = "WHERE " + strings.Join(conditions, " AND ")
	}
	limit := filter.Limit
	if limit <= 0 {
		limit = 100
	}
	args = append(args, limit)
	query += fmt.Sprintf(" ORDER BY id %s LIMIT $%d", order, len(args))
	err = d.read(ctx, func(ctx context.Context, s *session) error {
		events = nil
		if keeps, err := d.keepsHistory(ctx, s); err != nil || !keeps {
			return err
		}
		rows, err := eventTable.read(ctx, s, query, args...)
		if err != nil {
			return err
		}
		events = valuesOf(rows)
		if order == "DESC" {
			slices.Reverse(events)
		}
		return s.markLogs(ctx, events)
	})
	return events, err
}

// scattered reports whether no index leads to what is selected.
func (f EventFilter) scattered() bool {
	return f.Computer == "" && f.Title == "" && f.After == 0 && (f.Kind != "" || f.Subject != "" || f.Event != "")
}

// searchedEvents bounds how many events a search reads, and so how long it takes.
const searchedEvents = 50_000

// What counts of a search: more makes no sense, and patterns have a limit.
const (
	maximumWords = 10
	maximumWord  = 200
)

// eventText is what a search looks at.
const eventText = "actor || ' ' || title || ' ' || subject || ' ' || computer_reference || ' ' || message || ' ' || event || ' ' || state"

// like is the pattern of a text that has a word.
func like(word string) string {
	word = strings.ToValidUTF8(word[:min(len(word), maximumWord)], "")
	return "%" + strings.NewReplacer("!", "!!", "%", "!%", "_", "!_", "\x00", "").Replace(word) + "%"
}

// markLogs says which events have a log.
func (s *session) markLogs(ctx context.Context, events []Event) error {
	failed := map[int64]*Event{}
	for i := range events {
		if e := &events[i]; e.Event == EventReported && e.State == ReportError {
			failed[e.ID] = e
		}
	}
	for part := range slices.Chunk(slices.Sorted(maps.Keys(failed)), partSize) {
		where, args := among("event", part)
		err := s.rows(ctx, "SELECT event FROM log18 "+where, args, func(rows *sql.Rows) error {
			var id int64
			err := rows.Scan(&id)
			if e := failed[id]; e != nil {
				e.HasLog = true
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// EventCounts implements [History].
func (d *Database) EventCounts() map[string]int64 {
	d.history.mutex.Lock()
	defer d.history.mutex.Unlock()
	return maps.Clone(d.history.events)
}

// LastEvent implements [History].
func (d *Database) LastEvent(ctx context.Context) (id int64, err error) {
	err = d.look(ctx, func(ctx context.Context, s *session) error {
		id = 0
		if keeps, err := d.keepsHistory(ctx, s); err != nil || !keeps {
			return err
		}
		_, err := s.row(ctx, "SELECT COALESCE(max(id), 0) FROM event18", nil, &id)
		return err
	})
	return id, err
}

// Log implements [History].
func (d *Database) Log(ctx context.Context, event int64) (text string, err error) {
	var packed string
	err = d.look(ctx, func(ctx context.Context, s *session) error {
		keeps, err := d.keepsHistory(ctx, s)
		if err != nil {
			return err
		}
		if keeps {
			keeps, err = s.row(ctx, "SELECT text FROM log18 WHERE event = $1", []any{event}, &packed)
		}
		if err == nil && !keeps {
			err = ErrNotFound
		}
		return err
	})
	if err != nil {
		return "", err
	}
	if text, err = unpackLog(packed); err != nil {
		return "", fmt.Errorf("log of event %d: %w", event, err)
	}
	return text, nil
}

// sweep lets events go that are too old, and what nothing refers to any more.
func (d *Database) sweep(ctx context.Context) error {
	if !d.history.begun.Load() {
		return nil
	}
	oldest := d.seconds() - float64(d.options.HistoryDays)*24*3600
	for {
		var gone int64
		err := d.writer.do(ctx, func(ctx context.Context, t *transaction) (err error) {
			gone, err = t.forgetEvents(ctx, "time < $1", oldest)
			return err
		})
		if err != nil {
			return err
		}
		if gone == 0 {
			break
		}
	}
	return d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		for _, statement := range []string{
			"DELETE FROM log18 WHERE NOT EXISTS (SELECT 1 FROM event18 WHERE event18.id = log18.event)",
			`DELETE FROM report18 WHERE kind = 'instance' AND NOT EXISTS (SELECT 1 FROM partition18
				WHERE reference = subject AND partition18.computer_reference = report18.computer_reference AND slap_state <> 'free')`,
			`DELETE FROM report18 WHERE kind = 'release' AND NOT EXISTS (SELECT 1 FROM software18
				WHERE url = subject AND software18.computer_reference = report18.computer_reference)`,
			`DELETE FROM promise18 WHERE NOT EXISTS (SELECT 1 FROM partition18
				WHERE partition18.reference = promise18.partition_reference AND partition18.computer_reference = promise18.computer_reference AND slap_state <> 'free')`,
		} {
			if _, err := t.noted(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

// forgetEvents removes some of the oldest events that a condition selects, but
// never the newest of all: the numbers of later ones follow it.
func (t *transaction) forgetEvents(ctx context.Context, condition string, args ...any) (int64, error) {
	return t.noted(ctx, `DELETE FROM event18 WHERE id IN (SELECT id FROM event18 ORDER BY id LIMIT 500) AND `+condition+
		` AND id < (SELECT max(id) FROM event18)`, args...)
}

// makeRoom halves history when there is no room for more, at most once in a
// while. It reports whether it did.
func (d *Database) makeRoom(ctx context.Context, w *writer) bool {
	h := d.history
	if !h.begun.Load() || time.Since(h.trimmed) < trimPause {
		return false
	}
	h.trimmed = time.Now()
	j := &job{ctx: ctx, run: func(ctx context.Context, t *transaction) error {
		const half = " <= (SELECT (min(id) + max(id)) / 2 FROM event18)"
		if err := t.note(ctx, "DELETE FROM log18 WHERE event"+half); err != nil {
			return err
		}
		return t.note(ctx, "DELETE FROM event18 WHERE id"+half+" AND id < (SELECT max(id) FROM event18)")
	}}
	if err := errors.Join(w.try(ctx, []*job{j}), j.err); err != nil {
		d.options.Logger.Warn("The database has no more room", "error", lineError{err})
		return false
	}
	d.options.Logger.Warn("The database has no more room: the older half of what happened was forgotten")
	return true
}
