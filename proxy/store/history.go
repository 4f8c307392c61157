// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"slapos/slap"
)

// The kinds of what reports and events are about. With a computer, its subject
// names it: the URL of a release, a partition, the reference of a shared
// instance; a node has none.
const (
	KindNode     = "node"
	KindRelease  = "release"
	KindInstance = "instance"
	KindShared   = "shared"
)

// The states that nodes report. An instance and a release that failed are both
// [ReportError].
const (
	ReportBuilding  = "building"
	ReportAvailable = "available"
	ReportStarted   = "started"
	ReportStopped   = "stopped"
	ReportError     = "error"
	// reportRequested is that of a release since its supply.
	reportRequested = "requested"
)

// Defaults of [Options].
const (
	DefaultHistoryDays   = 90
	DefaultHistoryEvents = 200
)

// What bounds history beside [Options]: characters of a message, bytes of a
// log's text, logs and failing promises that are kept.
const (
	MaximumMessage  = 400
	MaximumLog      = 512 << 10
	maximumLogs     = 3
	maximumPromises = 100
)

// How often what is only kept in memory is written, and old events are looked
// for; how long a start after a failed promise is waited with, since the next
// failure may follow it.
const (
	flushEvery   = 10 * time.Second
	sweepEvery   = time.Hour
	confirmAfter = 60.0
	trimPause    = time.Minute
)

// Report is what a node tells about something that it has.
type Report struct {
	Computer string
	Kind     string // KindRelease, KindInstance or KindShared
	Subject  string
	State    string // ReportBuilding and the like
	// Log is the text of an error; its end counts if it is long.
	Log string
	// Identity is the computer that the reporter has proved to be, "" for none: one
	// that is known speaks for itself alone.
	Identity string
}

// PromiseReport are the promises of a partition after a run of all of them.
type PromiseReport struct {
	slap.PartitionID
	Passed   int
	Failing  []FailingPromise
	Identity string // as in Report
}

// FailingPromise is a promise that fails, and since when.
type FailingPromise struct {
	Name    string
	Message string
	Since   float64
}

// Event is something that happened. Message has no line breaks.
type Event struct {
	ID       int64
	Time     float64
	Computer string
	Kind     string
	Subject  string
	// Title and Root are those of the instance at that time.
	Title string
	Root  string
	// Event is one of the constants that begin with Event.
	Event   string
	State   string
	Message string
	// Actor is who asked for it, "" for a node's report.
	Actor string
	// HasLog is true if Log has more.
	HasLog bool
}

// The events.
const (
	EventRequested = "requested" // an instance is new
	EventChanged   = "changed"   // it was requested otherwise
	EventRefused   = "refused"   // it couldn't be placed
	EventPublished = "published" // its connection parameters changed
	EventRenamed   = "renamed"
	EventBang      = "bang"
	EventDestroyed = "destroyed" // the partition is free, the release gone
	EventSupplied  = "supplied"  // a release was asked for, or its end
	EventReported  = "reported"  // a node reported another state
	EventPromise   = "promise"   // a promise begins to fail, or passes again
	EventFormatted = "formatted" // a node has other partitions
	EventSilent    = "silent"    // a node wasn't heard of for three periods
	EventHeard     = "heard"     // a silent node is back
)

// EventKinds lists the events.
func EventKinds() []string {
	return []string{
		EventRequested, EventChanged, EventRefused, EventPublished, EventRenamed, EventBang, EventDestroyed, EventSupplied,
		EventReported, EventPromise, EventFormatted, EventSilent, EventHeard,
	}
}

// EventFilter selects events; empty fields select all.
type EventFilter struct {
	Computer string
	Kind     string
	Subject  string
	Title    string
	// Event is one of the events.
	Event string
	// Actor is a part of who asked. Search has words which must all be somewhere in an
	// event. Both look at the last searchedEvents alone; so do Kind, Subject and Event
	// without Computer, Title or After.
	Actor, Search string
	// After selects events with a greater id, all if it is negative, the oldest
	// first. Without it, the
	// newest are selected, and those with a smaller id than Before unless that is
	// 0.
	After, Before int64
	// Limit is 100 when zero.
	Limit int
}

// history is what a database keeps in memory of what nodes tell.
type history struct {
	// begun is true once the tables are there, with the row that says since when.
	begun atomic.Bool
	// changes counts what may have changed a condition.
	changes atomic.Int64

	mutex sync.Mutex
	// events are counted since the database was opened, by what they are.
	events map[string]int64
	heard  map[string]*heardNode
	// opened is when this master began to listen to them.
	opened float64
	// times are those of reports that said nothing new.
	times map[reportKey]reportTime
	// starts are those of instances whose promises failed.
	starts map[reportKey]heldStart
	// trimmed is when history last made room, known to the writer alone.
	trimmed time.Time

	overview overviews

	stop, stopped chan struct{}
	ending        sync.Once
}

type reportKey struct{ computer, kind, subject string }

type reportTime struct {
	time     float64
	failures int64
}

type heldStart struct {
	report Report
	time   float64
}

func newHistory() *history {
	return &history{
		events: map[string]int64{}, heard: map[string]*heardNode{}, times: map[reportKey]reportTime{}, starts: map[reportKey]heldStart{},
		stop: make(chan struct{}), stopped: make(chan struct{}),
	}
}

// openHistory reads what memory needs.
func (d *Database) openHistory(ctx context.Context, s *session) error {
	d.history.opened = d.seconds()
	if exists, err := d.hasTable(ctx, s, heardTable.name); err != nil || !exists {
		return err
	}
	rows, err := heardTable.read(ctx, s, "")
	for _, row := range rows {
		if row.Computer == "" {
			d.history.begun.Store(true)
			continue
		}
		row.Time = min(row.Time, d.history.opened)
		d.history.heard[row.Computer] = &heardNode{Heard: *row, poll: row.Time}
	}
	return err
}

// count adds to the numbers of events.
func (h *history) count(events map[string]int64) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	for event, n := range events {
		h.events[event] += n
	}
}

// loop writes what is in memory now and then, until the database is closed.
func (h *history) loop(d *Database) {
	defer close(h.stopped)
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	var swept time.Time
	for {
		select {
		case <-ticker.C:
			steps := d.flushing()
			if time.Since(swept) > sweepEvery {
				swept = time.Now()
				steps = append(steps, d.sweep)
			}
			d.run(steps)
			d.keepUp(context.Background())
		case <-h.stop:
			return
		}
	}
}

// close ends the loop.
func (h *history) close() {
	h.ending.Do(func() { close(h.stop) })
	<-h.stopped
}

// flushing are the steps that write what is only in memory.
func (d *Database) flushing() []func(context.Context) error {
	return []func(context.Context) error{d.confirmStarts, d.flushTimes, d.flushHeard}
}

// run runs steps whose failures are no operation's: they are told, and the next
// time may do better.
func (d *Database) run(steps []func(context.Context) error) {
	for _, step := range steps {
		if err := step(context.Background()); err != nil {
			d.options.Logger.Warn("What nodes reported can't be kept", "error", lineError{err})
		}
	}
}

// keepsHistory reports whether the tables of history are there, for a reader.
func (d *Database) keepsHistory(ctx context.Context, s *session) (bool, error) {
	if d.history.begun.Load() {
		return true, nil
	}
	return d.hasTable(ctx, s, eventTable.name)
}

// keep makes sure of the tables of history, before a transaction writes to
// them. It returns false if it shall do without.
func (t *transaction) keep(ctx context.Context) (bool, error) {
	if t.forgetful {
		return false, nil
	}
	if t.db.history.begun.Load() || t.begins {
		return true, nil
	}
	if t.db.dialect.file != "" {
		if err := t.script(ctx, historySchema); err != nil {
			return false, err
		}
	}
	t.begins = true
	// What nodes reported before this moment isn't known.
	return true, t.note(ctx, "INSERT INTO heard18 (computer_reference, time, period) VALUES ('', $1, 0) ON CONFLICT (computer_reference) DO NOTHING", t.time)
}
