// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"slices"
	"strings"
)

// promiseRow is a failing promise or, without a name, how many there are.
type promiseRow struct {
	computer, partition, name string
	message                   string
	since, time               float64
	passed, failed            int64
}

var promiseTable = table[promiseRow]{name: "promise18", order: "computer_reference, partition_reference, name", late: historySchema, columns: []column[promiseRow]{
	{name: "computer_reference", at: func(r *promiseRow) cell { return text{&r.computer} }},
	{name: "partition_reference", at: func(r *promiseRow) cell { return text{&r.partition} }},
	{name: "name", at: func(r *promiseRow) cell { return text{&r.name} }},
	{name: "message", at: func(r *promiseRow) cell { return text{&r.message} }},
	{name: "since", at: func(r *promiseRow) cell { return number{&r.since} }},
	{name: "time", at: func(r *promiseRow) cell { return number{&r.time} }},
	{name: "passed", at: func(r *promiseRow) cell { return whole{&r.passed} }},
	{name: "failed", at: func(r *promiseRow) cell { return whole{&r.failed} }},
}}

// Promises implements [History].
func (d *Database) Promises(ctx context.Context, r PromiseReport) error {
	failing := slices.Clone(r.Failing)
	for i := range failing {
		failing[i].Name, failing[i].Message = messageOf(failing[i].Name), messageOf(failing[i].Message)
	}
	slices.SortStableFunc(failing, func(a, b FailingPromise) int { return strings.Compare(a.Name, b.Name) })
	failing = slices.CompactFunc(failing, func(a, b FailingPromise) bool { return a.Name == b.Name })
	failing = slices.DeleteFunc(failing, func(p FailingPromise) bool { return p.Name == "" })
	failed := len(failing)
	failing = failing[:min(failed, maximumPromises)]
	report := Report{Computer: r.Computer, Kind: KindInstance, Subject: r.Partition, State: ReportStarted, Identity: r.Identity}
	name, last, err := d.lastReport(ctx, report)
	if err != nil {
		return err
	}
	if failed == 0 && last != nil && last.State == ReportError && promiseFailed(last.Message) {
		// They pass again, which the node said in this way only.
		if err := d.Report(ctx, report); err != nil {
			return err
		}
		if start, held := d.takeStart(report.key()); held {
			if err := d.confirmStart(ctx, start.report, start.time); err != nil {
				return err
			}
		}
	}
	rows, err := d.promisesOf(ctx, r)
	if err != nil {
		return err
	}
	summary := promiseRow{computer: r.Computer, partition: r.Partition, passed: int64(max(r.Passed, 0)), failed: int64(failed)}
	if samePromises(rows, summary, failing) {
		h := d.history
		h.mutex.Lock()
		h.times[reportKey{r.Computer, kindPromise, r.Partition}] = reportTime{time: d.seconds()}
		h.mutex.Unlock()
		return nil
	}
	return d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		return t.promises(ctx, name, summary, failing)
	})
}

func (d *Database) takeStart(key reportKey) (heldStart, bool) {
	h := d.history
	h.mutex.Lock()
	defer h.mutex.Unlock()
	start, held := h.starts[key]
	delete(h.starts, key)
	return start, held
}

func (d *Database) promisesOf(ctx context.Context, r PromiseReport) (rows []*promiseRow, err error) {
	err = d.look(ctx, func(ctx context.Context, s *session) error {
		rows = nil
		if keeps, err := d.keepsHistory(ctx, s); err != nil || !keeps {
			return err
		}
		rows, err = s.promises(ctx, r.Computer, r.Partition)
		return err
	})
	return rows, err
}

func (s *session) promises(ctx context.Context, computer, partition string) ([]*promiseRow, error) {
	return promiseTable.read(ctx, s, "WHERE computer_reference = $1 AND partition_reference = $2 ORDER BY name", computer, partition)
}

// samePromises reports whether a report says what the rows say, the first of
// which has the counts.
func samePromises(rows []*promiseRow, summary promiseRow, failing []FailingPromise) bool {
	if len(rows) != len(failing)+1 || rows[0].name != "" || rows[0].passed != summary.passed || rows[0].failed != summary.failed {
		return false
	}
	sorted := slices.SortedFunc(slices.Values(rows[1:]), func(a, b *promiseRow) int { return strings.Compare(a.name, b.name) })
	for i, p := range failing {
		if sorted[i].name != p.Name || digestOf(sorted[i].message) != digestOf(p.Message) {
			return false
		}
	}
	return true
}

// promises writes what is new about the promises of a partition, an event for each
// that fails for the first time or passes again.
func (t *transaction) promises(ctx context.Context, name Name, summary promiseRow, failing []FailingPromise) error {
	if keep, err := t.keep(ctx); err != nil || !keep {
		return err
	}
	former, err := t.session.promises(ctx, summary.computer, summary.partition)
	if err != nil {
		return err
	}
	since := map[string]float64{}
	for _, row := range former {
		since[row.name] = row.since
	}
	recorded := 0
	record := func(state, promise, message string) error {
		if recorded++; recorded > 10 {
			return nil // the first of many say enough
		}
		return t.event(ctx, Event{Computer: summary.computer, Kind: KindInstance, Subject: summary.partition, Title: name.Title, Root: name.Root,
			Event: EventPromise, State: state, Message: strings.TrimSuffix(promise+": "+message, ": ")})
	}
	summary.since, summary.time = t.time, t.time
	if before, known := since[""]; known && (summary.failed == 0) == (len(former) <= 1) {
		summary.since = before
	}
	rows := [][]any{promiseTable.values(&summary)}
	for _, p := range failing {
		row := promiseRow{computer: summary.computer, partition: summary.partition, name: p.Name, message: p.Message, since: t.time, time: t.time}
		if before, known := since[p.Name]; known {
			row.since = before
		} else if err := record("failed", p.Name, p.Message); err != nil {
			return err
		}
		delete(since, p.Name)
		rows = append(rows, promiseTable.values(&row))
	}
	delete(since, "")
	for _, row := range former {
		if _, gone := since[row.name]; gone {
			if err := record("passed", row.name, ""); err != nil {
				return err
			}
		}
	}
	if _, err := t.noted(ctx, "DELETE FROM promise18 WHERE computer_reference = $1 AND partition_reference = $2",
		summary.computer, summary.partition); err != nil {
		return err
	}
	return t.insertNotes(ctx, promiseTable.into(), rows, "")
}
