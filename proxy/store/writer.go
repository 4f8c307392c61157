// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// maximumBatch bounds the operations that share a commit, and with it how
// long the first of them waits for the last.
const maximumBatch = 128

// transaction is one operation's view of the database while it writes.
type transaction struct {
	*session
	time float64
	// changed are the computers of which Node's answer changes; "" is all.
	changed map[string]bool
	wrote   bool

	db    *Database
	actor string // who asked for the operation
	// forgetful transactions leave history alone, which has no room.
	forgetful bool
	begins    bool             // makes the tables of history, or the row of its begin
	events    map[string]int64 // the events that it adds, by what they are
}

// write runs a statement that changes what a computer runs, "" for any
// computer.
func (t *transaction) write(ctx context.Context, computer, text string, args ...any) (int64, error) {
	t.wrote = true
	n, err := t.exec(ctx, text, args...)
	if n > 0 {
		t.changed[computer] = true
	}
	return n, err
}

// note runs a statement that no answer of Node depends on.
func (t *transaction) note(ctx context.Context, text string, args ...any) error {
	t.wrote = true
	_, err := t.exec(ctx, text, args...)
	return err
}

// noted is note that says how many rows it changed.
func (t *transaction) noted(ctx context.Context, text string, args ...any) (int64, error) {
	n, err := t.exec(ctx, text, args...)
	t.wrote = t.wrote || n > 0
	return n, err
}

// job is an operation that waits for its turn.
type job struct {
	ctx  context.Context
	run  func(context.Context, *transaction) error
	err  error
	done chan struct{}
}

// writer does all writing of this process, on one connection. Operations that
// come while a commit is on its way to the disk share the next one.
type writer struct {
	db   *Database
	jobs chan *job

	// turn is held while the connection is used.
	turn    sync.Mutex
	session *session
	// forgetful is true while a batch is written without history.
	forgetful bool
	// failing is true since a batch couldn't be written, or not with its history.
	failing atomic.Bool

	stop    chan struct{}
	stopped chan struct{}
}

func startWriter(ctx context.Context, db *Database) (*writer, error) {
	session, err := newSession(ctx, db.pool)
	if err != nil {
		return nil, err
	}
	w := &writer{
		db: db, session: session, jobs: make(chan *job, maximumBatch),
		stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	return w, nil
}

// do runs an operation and returns when it is on disk. An operation may run more
// than once; only the last run counts.
func (w *writer) do(ctx context.Context, run func(context.Context, *transaction) error) error {
	j := &job{ctx: ctx, run: run, done: make(chan struct{})}
	select {
	case w.jobs <- j:
	case <-ctx.Done():
		return ctx.Err()
	case <-w.stop:
		return errClosed
	}
	select {
	case <-j.done:
		return j.err
	case <-w.stopped:
	}
	select {
	case <-j.done:
		return j.err
	default:
		return errClosed
	}
}

var errClosed = errors.New("the database is closed")

func (w *writer) loop() {
	defer close(w.stopped)
	for {
		var batch []*job
		select {
		case j := <-w.jobs:
			batch = append(batch, j)
		case <-w.stop:
			return
		}
		for more := true; more && len(batch) < maximumBatch; {
			select {
			case j := <-w.jobs:
				batch = append(batch, j)
			default:
				more = false
			}
		}
		w.commit(batch)
	}
}

// close ends the loop after the batch under way.
func (w *writer) close() {
	close(w.stop)
	<-w.stopped
	if w.session != nil {
		w.session.close()
	}
}

// commit runs a batch in one transaction and answers every job of it.
func (w *writer) commit(batch []*job) {
	w.turn.Lock()
	defer w.turn.Unlock()
	// A commit is never left half way because a client went away.
	ctx := context.Background()
	var err error
	w.forgetful = false
	for attempt := 0; attempt < 10; attempt++ {
		err = w.try(ctx, batch)
		switch {
		case serialization(err):
			time.Sleep(time.Duration(attempt) * 10 * time.Millisecond)
			continue
		case full(err) && w.db.makeRoom(ctx, w):
			continue
		case full(err) && !w.forgetful:
			// What happened is lost before what is asked for is.
			w.forgetful = true
			continue
		}
		break
	}
	if full(err) {
		err = fmt.Errorf("%w: %w", ErrFull, err)
	}
	w.failing.Store(err != nil || w.forgetful)
	for _, j := range batch {
		if err != nil {
			j.err = fmt.Errorf("write to the database: %w", err)
		}
		close(j.done)
	}
}

func (w *writer) try(ctx context.Context, batch []*job) error {
	if err := w.begin(ctx); err != nil {
		return err
	}
	changed := map[string]bool{}
	wrote, begins := false, false
	events := map[string]int64{}
	for _, j := range batch {
		t := &transaction{
			session: w.session, time: w.db.seconds(), changed: map[string]bool{},
			db: w.db, actor: actorOf(j.ctx), forgetful: w.forgetful,
		}
		run := w.runAlone
		if len(batch) > 1 {
			run = w.runAmongOthers
		}
		if err := run(ctx, j, t); err != nil {
			return w.abandon(ctx, err)
		}
		if j.err != nil {
			if serialization(j.err) || full(j.err) {
				return w.abandon(ctx, j.err)
			}
			continue
		}
		wrote, begins = wrote || t.wrote, begins || t.begins
		for event, n := range t.events {
			events[event] += n
		}
		for computer := range t.changed {
			changed[computer] = true
		}
	}
	if !wrote {
		return w.abandon(ctx, nil)
	}
	if len(events) > 0 {
		changed[eventsChanged] = true
	}
	if err := w.db.changes.record(ctx, w.session, changed); err != nil {
		return w.abandon(ctx, err)
	}
	if _, err := w.session.exec(ctx, "COMMIT"); err != nil {
		return w.abandon(ctx, err)
	}
	w.db.changes.committed(changed)
	for computer := range changed {
		w.db.awaited.ring(computer)
	}
	if begins {
		w.db.history.begun.Store(true)
	}
	w.db.history.count(events)
	w.db.history.changes.Add(1)
	return nil
}

// runAlone runs a job and leaves what a failed one wrote to the end of the
// transaction. The error of the job is the job's.
func (w *writer) runAlone(ctx context.Context, j *job, t *transaction) error {
	if j.err = j.ctx.Err(); j.err == nil {
		j.err = j.run(ctx, t)
	}
	return nil
}

// runAmongOthers runs a job and leaves nothing of a failed one. The error is one
// of the whole transaction.
func (w *writer) runAmongOthers(ctx context.Context, j *job, t *transaction) error {
	if j.err = j.ctx.Err(); j.err != nil {
		return nil
	}
	if _, err := w.session.exec(ctx, "SAVEPOINT operation"); err != nil {
		return err
	}
	if j.err = j.run(ctx, t); j.err != nil {
		if _, err := w.session.exec(ctx, "ROLLBACK TO SAVEPOINT operation"); err != nil {
			return err
		}
	}
	_, err := w.session.exec(ctx, "RELEASE SAVEPOINT operation")
	return err
}

// begin opens the transaction, on a new connection when the server closed the
// last one.
func (w *writer) begin(ctx context.Context) (err error) {
	for range 2 {
		if w.session == nil {
			if w.session, err = newSession(ctx, w.db.pool); err != nil {
				return err
			}
		}
		if err = w.open(ctx); err == nil {
			return nil
		}
		if _ = w.abandon(ctx, err); w.session != nil {
			return err
		}
	}
	return err
}

func (w *writer) open(ctx context.Context) error {
	for _, text := range w.db.dialect.begin {
		// The lock is a row: read it, so that the statement is complete.
		if err := w.session.rows(ctx, text, nil, func(*sql.Rows) error { return nil }); err != nil {
			return err
		}
	}
	return w.db.changes.began(ctx, w.session)
}

// abandon rolls back, and gives up a connection that can't: the server closed
// it. It returns err.
func (w *writer) abandon(ctx context.Context, err error) error {
	if _, failure := w.session.exec(ctx, "ROLLBACK"); failure != nil && w.db.dialect.file == "" {
		w.session.close()
		w.session = nil
	}
	return err
}
