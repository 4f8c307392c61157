// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
)

// reportRow is the last report about something. Message and failures are about
// its last failure, until a report says that all is well.
type reportRow struct {
	Computer, Kind, Subject string

	State   string
	Message string
	// digest is that of the log, without its numbers.
	digest string
	// Since is when it got the state, Time when it was last reported, and Failing
	// when the failures in a row began.
	Since, Time, Failing float64
	Failures             int64
	Event                int64 // that has the log
}

var reportTable = table[reportRow]{name: "report18", order: "computer_reference, kind, subject", late: historySchema, columns: []column[reportRow]{
	{name: "computer_reference", at: func(r *reportRow) cell { return text{&r.Computer} }},
	{name: "kind", at: func(r *reportRow) cell { return text{&r.Kind} }},
	{name: "subject", at: func(r *reportRow) cell { return text{&r.Subject} }},
	{name: "state", at: func(r *reportRow) cell { return text{&r.State} }},
	{name: "message", at: func(r *reportRow) cell { return text{&r.Message} }},
	{name: "digest", at: func(r *reportRow) cell { return text{&r.digest} }},
	{name: "since", at: func(r *reportRow) cell { return number{&r.Since} }},
	{name: "time", at: func(r *reportRow) cell { return number{&r.Time} }},
	{name: "failures", at: func(r *reportRow) cell { return whole{&r.Failures} }},
	{name: "failing", at: func(r *reportRow) cell { return number{&r.Failing} }},
	{name: "event", at: func(r *reportRow) cell { return whole{&r.Event} }},
}}

func (r *reportRow) key() reportKey { return reportKey{r.Computer, r.Kind, r.Subject} }

func (r *Report) key() reportKey { return reportKey{r.Computer, r.Kind, r.Subject} }

// check refuses a report that makes no sense.
func (r *Report) check() error {
	states := []string{ReportStarted, ReportStopped, ReportError}
	switch r.Kind {
	case KindRelease:
		states = []string{ReportBuilding, ReportAvailable, ReportError}
	case KindShared:
		states = []string{ReportError}
	case KindInstance:
	default:
		return fmt.Errorf("a report about a %s", r.Kind)
	}
	if !slices.Contains(states, r.State) {
		return fmt.Errorf("a %s is reported as %s", r.Kind, r.State)
	}
	return nil
}

// Report implements [History].
func (d *Database) Report(ctx context.Context, r Report) error {
	if err := r.check(); err != nil {
		return err
	}
	log, message, digest := "", "", ""
	if r.State == ReportError {
		log = cleanLog(r.Log)
		message, digest = summary(log), digestOf(log)
	}
	name, former, err := d.lastReport(ctx, r)
	if err != nil {
		return err
	}
	if former != nil && d.repeated(r, former, message, digest) {
		return nil
	}
	return d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		return t.report(ctx, r, name, message, digest, log)
	})
}

// lastReport looks up what a report is about, and the one before it, nil
// without one.
func (d *Database) lastReport(ctx context.Context, r Report) (name Name, former *reportRow, err error) {
	err = d.read(ctx, func(ctx context.Context, s *session) error {
		former = nil
		if r.Identity != "" && r.Identity != r.Computer {
			// A certificate may be anybody's: of a node, it is that node's alone.
			if err := s.known(ctx, r.Identity); err == nil || !errors.Is(err, ErrNotFound) {
				return errors.Join(ErrNotFound, err)
			}
		}
		if name, err = s.reported(ctx, r); err != nil {
			return err
		}
		if keeps, err := d.keepsHistory(ctx, s); err != nil || !keeps {
			return err
		}
		former, err = s.reportOf(ctx, r.key())
		return err
	})
	return name, former, err
}

// reported finds what a report is about: something that the node should have.
func (s *session) reported(ctx context.Context, r Report) (name Name, err error) {
	var found bool
	switch r.Kind {
	case KindRelease:
		var one int
		found, err = s.row(ctx, "SELECT 1 FROM software18 WHERE url = $1 AND computer_reference = $2", []any{r.Subject, r.Computer}, &one)
	case KindInstance:
		found, err = s.row(ctx, `SELECT partition_reference, requested_by FROM partition18
			WHERE reference = $1 AND computer_reference = $2 AND slap_state <> 'free'`,
			[]any{r.Subject, r.Computer}, text{&name.Title}, text{&name.Root})
	case KindShared:
		var row *sharedRow
		if row, err = s.sharedOn(ctx, r.Subject, r.Computer); err == nil && row != nil {
			found = true
			name, err = s.nameShared(ctx, *row)
		}
	}
	if err == nil && !found {
		err = ErrNotFound
	}
	return name, err
}

func (s *session) reportOf(ctx context.Context, key reportKey) (*reportRow, error) {
	rows, err := reportTable.read(ctx, s, "WHERE computer_reference = $1 AND kind = $2 AND subject = $3", key.computer, key.kind, key.subject)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0], nil
}

// repeated reports whether a report says nothing new. Then its time is kept in
// memory.
func (d *Database) repeated(r Report, former *reportRow, message, digest string) bool {
	now := d.seconds()
	h := d.history
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if r.State == ReportError {
		delete(h.starts, r.key())
	}
	switch {
	case r.State == ReportError:
		if former.State != ReportError || former.Message != message || former.digest != digest {
			return false
		}
		h.times[r.key()] = reportTime{now, h.times[r.key()].failures + 1}
		return true
	case former.State == r.State && former.Failures == 0:
		h.times[r.key()] = reportTime{now, 0}
		return true
	case former.State == ReportError && promiseFailed(former.Message) && r.Kind == KindInstance:
		// A node of slapos.core says that it started the instance, then runs its
		// promises, and says so again in the next pass.
		if _, held := h.starts[r.key()]; !held {
			h.starts[r.key()] = heldStart{r, now}
		}
		return true
	}
	return false
}

// promiseFailed reports whether an error is that of a promise (PROM-2).
func promiseFailed(message string) bool {
	return strings.HasPrefix(message, "Promise ") && strings.Contains(message, " failed with output:")
}

// report writes a report that says something new, and its event.
func (t *transaction) report(ctx context.Context, r Report, name Name, message, digest, log string) error {
	if keep, err := t.keep(ctx); err != nil || !keep {
		return err
	}
	former, err := t.reportOf(ctx, r.key())
	if err != nil {
		return err
	}
	row := reportRow{Computer: r.Computer, Kind: r.Kind, Subject: r.Subject, State: r.State, Since: t.time, Time: t.time}
	e := Event{Computer: r.Computer, Kind: r.Kind, Subject: r.Subject, Title: name.Title, Root: name.Root,
		Event: EventReported, State: r.State, Message: message}
	recorded := former == nil || former.State != r.State
	if former != nil {
		if former.State == r.State {
			row.Since = former.Since
		}
		row.Message, row.digest, row.Failing, row.Failures, row.Event = former.Message, former.digest, former.Failing, former.Failures, former.Event
	}
	switch {
	case r.State == ReportError:
		recorded = row.Failures == 0 || row.Message != message
		if row.Failures == 0 {
			row.Failing = t.time
		}
		row.Message, row.digest, row.Failures = message, digest, row.Failures+1
		row.Failures += t.db.takeFailures(r.key())
	case r.State == ReportBuilding && row.Failures > 0:
		recorded = false // it is tried again, with each pass
	default:
		row.Message, row.digest, row.Failing, row.Failures, row.Event = "", "", 0, 0, 0
	}
	if recorded {
		id, err := t.eventID(ctx, e)
		if err != nil {
			return err
		}
		if r.State == ReportError {
			row.Event = id
		}
	}
	if r.State == ReportError {
		if err := t.log(ctx, e, row.Event, log); err != nil {
			return err
		}
	}
	return t.setReport(ctx, &row)
}

// takeFailures returns the failures in a row that are only in memory.
func (d *Database) takeFailures(key reportKey) int64 {
	h := d.history
	h.mutex.Lock()
	defer h.mutex.Unlock()
	failures := h.times[key].failures
	delete(h.times, key)
	return failures
}

func (t *transaction) setReport(ctx context.Context, row *reportRow) error {
	return t.note(ctx, reportTable.insertion()+` ON CONFLICT (computer_reference, kind, subject) DO UPDATE SET
		state = excluded.state, message = excluded.message, digest = excluded.digest, since = excluded.since, time = excluded.time,
		failures = excluded.failures, failing = excluded.failing, event = excluded.event`, reportTable.values(row)...)
}

// forget removes what nodes reported of something that is gone.
func (t *transaction) forget(ctx context.Context, key reportKey) error {
	if keep, err := t.keep(ctx); err != nil || !keep {
		return err
	}
	h := t.db.history
	h.mutex.Lock()
	delete(h.times, key)
	delete(h.starts, key)
	h.mutex.Unlock()
	if _, err := t.noted(ctx, "DELETE FROM report18 WHERE computer_reference = $1 AND kind = $2 AND subject = $3",
		key.computer, key.kind, key.subject); err != nil {
		return err
	}
	if key.kind != KindInstance {
		return nil
	}
	_, err := t.noted(ctx, "DELETE FROM promise18 WHERE computer_reference = $1 AND partition_reference = $2", key.computer, key.subject)
	return err
}

// confirmStarts reports the starts after which no promise failed.
func (d *Database) confirmStarts(ctx context.Context) error {
	h := d.history
	now := d.seconds()
	h.mutex.Lock()
	var confirmed []heldStart
	for key, held := range h.starts {
		if now-held.time > confirmAfter {
			confirmed = append(confirmed, held)
			delete(h.starts, key)
		}
	}
	h.mutex.Unlock()
	for _, held := range confirmed {
		if err := d.confirmStart(ctx, held.report, held.time); err != nil {
			return err
		}
	}
	return nil
}

// confirmStart writes a start, unless something was reported after it.
func (d *Database) confirmStart(ctx context.Context, r Report, at float64) error {
	name, former, err := d.lastReport(ctx, r)
	if err != nil || former != nil && former.Time > at {
		return ignoreUnknown(err)
	}
	return d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		return t.report(ctx, r, name, "", "", "")
	})
}

func ignoreUnknown(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// flushTimes writes the times of reports that said nothing new.
func (d *Database) flushTimes(ctx context.Context) error {
	h := d.history
	h.mutex.Lock()
	times := h.times
	h.times = map[reportKey]reportTime{}
	h.mutex.Unlock()
	keys := slices.SortedFunc(maps.Keys(times), func(a, b reportKey) int {
		return strings.Compare(a.computer+"\x00"+a.kind+"\x00"+a.subject, b.computer+"\x00"+b.kind+"\x00"+b.subject)
	})
	for part := range slices.Chunk(keys, 500) {
		err := d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
			if keep, err := t.keep(ctx); err != nil || !keep {
				return err
			}
			for _, key := range part {
				var err error
				if key.kind == kindPromise {
					err = t.note(ctx, "UPDATE promise18 SET time = $1 WHERE computer_reference = $2 AND partition_reference = $3 AND time < $1",
						times[key].time, key.computer, key.subject)
				} else {
					err = t.note(ctx, `UPDATE report18 SET time = $1, failures = failures + $2
						WHERE computer_reference = $3 AND kind = $4 AND subject = $5 AND time < $1`,
						times[key].time, times[key].failures, key.computer, key.kind, key.subject)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// kindPromise is the kind of times of promises.
const kindPromise = "promise"

// digestOf identifies a log, whatever times, processes and durations it names.
func digestOf(log string) string {
	hash := fnv.New64a()
	part := make([]byte, 0, 4096)
	for i := range len(log) {
		if c := log[i]; c < '0' || c > '9' {
			if part = append(part, c); len(part) == cap(part) {
				_, _ = hash.Write(part)
				part = part[:0]
			}
		}
	}
	_, _ = hash.Write(part)
	return fmt.Sprintf("%x", hash.Sum64())
}
