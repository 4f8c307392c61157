// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"slapos/slap"
)

// Conditions tell the condition of what is on the computers that they are of.
type Conditions struct {
	// Now is the moment that they are of; Began is when the master began to keep
	// reports, 0 for not yet.
	Now, Began float64

	heard    map[string]Heard
	reports  map[reportKey]*reportRow
	promises map[slap.PartitionID]*promiseSums
	failing  map[slap.PartitionID][]FailingPromise
	software map[releaseKey]slap.State
	// used are releases that an instance was started with.
	used map[releaseKey]float64
}

type releaseKey struct{ computer, url string }

func (c *Conditions) facts(key reportKey, wanted slap.State, timestamp float64) *facts {
	if timestamp > c.Now {
		timestamp = 0 // what is reported now is older than no change
	}
	return &facts{now: c.Now, began: c.Began, node: c.heard[key.computer], report: c.reports[key], wanted: wanted, timestamp: timestamp}
}

// Heard returns when a node was last heard of; the Time of one that never was
// is 0.
func (c *Conditions) Heard(computer string) Heard { return c.heard[computer] }

// Wanted is the state in which a release is supplied to a computer; false for one
// that isn't.
func (c *Conditions) Wanted(computer, url string) (slap.State, bool) {
	state, supplied := c.software[releaseKey{computer, url}]
	return state, supplied
}

// Node is the condition of a node.
func (c *Conditions) Node(computer string) Actual {
	return c.facts(reportKey{computer: computer}, "", 0).nodeCondition()
}

// Release is the condition of a release on a computer.
func (c *Conditions) Release(software Software) Actual {
	f := c.facts(reportKey{software.Computer, KindRelease, software.URL}, software.State, 0)
	a := f.releaseCondition()
	since, used := c.used[releaseKey{software.Computer, software.URL}]
	if used && software.State != slap.StateDestroyed && f.node.Time > 0 && !f.node.Silent(c.Now) &&
		(a.Condition == slap.ConditionUnknown || a.Condition == slap.ConditionRequested && a.Since < since) {
		// It was there before its supply.
		return Actual{Condition: slap.ConditionAvailable, Since: since, Reported: since}
	}
	return a
}

// Instance is the condition of the instance in a partition, the zero value for a
// free one.
func (c *Conditions) Instance(p *Partition) Actual {
	if !p.Busy {
		return Actual{}
	}
	var timestamp float64
	if p.Timestamp != nil {
		timestamp = *p.Timestamp
	}
	f := c.facts(reportKey{p.ID.Computer, KindInstance, p.ID.Partition}, slap.State(p.State), timestamp)
	f.release = p.SoftwareRelease
	if state, supplied := c.software[releaseKey{p.ID.Computer, p.SoftwareRelease}]; supplied {
		f.supplied = true
		f.built = c.Release(Software{URL: p.SoftwareRelease, Computer: p.ID.Computer, State: state})
	}
	if sums := c.promises[p.ID]; sums != nil {
		f.promises = *sums
	}
	return f.instanceCondition()
}

// Shared is the condition of a shared instance.
func (c *Conditions) Shared(i *Instance) Actual {
	if i.Partition == nil {
		return Actual{Condition: slap.ConditionUnknown, Message: "its host is gone"}
	}
	host := c.Instance(i.Partition)
	var timestamp float64
	if i.Partition.Timestamp != nil {
		timestamp = *i.Partition.Timestamp
	}
	f := c.facts(reportKey{i.Partition.ID.Computer, KindShared, i.Reference()}, slap.StateStarted, timestamp)
	return f.sharedCondition(host, i.ConnectionXML != nil)
}

// Of is the condition of an instance of either kind.
func (c *Conditions) Of(i *Instance) Actual {
	if i.Shared {
		return c.Shared(i)
	}
	return c.Instance(i.Partition)
}

// PromiseCounts counts the promises of an instance by their last report.
type PromiseCounts struct {
	Passed, Failed int64
	// Time is when they were last reported, 0 for never.
	Time float64
}

// Promises counts the promises of the instance in a partition, and names those
// that fail.
func (c *Conditions) Promises(id slap.PartitionID) (PromiseCounts, []FailingPromise) {
	sums := c.promises[id]
	if sums == nil {
		return PromiseCounts{}, nil
	}
	return PromiseCounts{sums.passed, sums.failed, sums.time}, c.failing[id]
}

// Conditions implements [History].
func (d *Database) Conditions(ctx context.Context, computers ...string) (c *Conditions, err error) {
	err = d.read(ctx, func(ctx context.Context, s *session) error {
		c, err = d.conditions(ctx, s, computers)
		return err
	})
	return c, err
}

// conditions reads each table once, whatever the number of instances.
func (d *Database) conditions(ctx context.Context, s *session, computers []string) (*Conditions, error) {
	c := &Conditions{
		Now: d.seconds(), heard: map[string]Heard{}, reports: map[reportKey]*reportRow{},
		promises: map[slap.PartitionID]*promiseSums{}, failing: map[slap.PartitionID][]FailingPromise{},
		software: map[releaseKey]slap.State{}, used: map[releaseKey]float64{},
	}
	for _, part := range parts(computers) {
		if err := d.readConditions(ctx, s, c, part); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// partSize is how many computers a statement names.
const partSize = 50

// parts cuts a list of computers into those that a statement names. Without any,
// one statement is about all of them, and its part is nil.
func parts(computers []string) [][]string {
	if len(computers) == 0 {
		return [][]string{nil}
	}
	computers = slices.Sorted(slices.Values(computers))
	return slices.Collect(slices.Chunk(slices.Compact(computers), partSize))
}

// among is a condition that selects the rows of a part of what a column has, or of
// the computers. A number of places that is always the same is one statement to prepare.
func among[T any](column string, values []T) (where string, args []any) {
	if values == nil {
		return "", nil
	}
	places := make([]string, partSize)
	for i := range places {
		places[i] = fmt.Sprintf("$%d", i+1)
		args = append(args, values[min(i, len(values)-1)])
	}
	return "WHERE " + column + " IN (" + strings.Join(places, ", ") + ")", args
}

func (d *Database) readConditions(ctx context.Context, s *session, c *Conditions, computers []string) error {
	where, args := among("computer_reference", computers)
	software, err := softwareTable.read(ctx, s, where, args...)
	if err != nil {
		return err
	}
	for _, row := range software {
		c.software[releaseKey{row.Computer, row.URL}] = row.State
	}
	if keeps, err := d.keepsHistory(ctx, s); err != nil {
		return err
	} else if keeps {
		if err := d.readHistory(ctx, s, c, where, args); err != nil {
			return err
		}
	}
	d.addMemory(c, computers)
	return d.readUses(ctx, s, c, where, args)
}

func (d *Database) readHistory(ctx context.Context, s *session, c *Conditions, where string, args []any) error {
	if _, err := s.row(ctx, "SELECT time FROM heard18 WHERE computer_reference = ''", nil, &c.Began); err != nil {
		return err
	}
	reports, err := reportTable.read(ctx, s, where, args...)
	if err != nil {
		return err
	}
	for _, row := range reports {
		c.reports[row.key()] = row
	}
	heard, err := heardTable.read(ctx, s, where, args...)
	if err != nil {
		return err
	}
	for _, row := range heard {
		if row.Time > c.Now {
			row.Time = 0 // by a clock that was wrong: memory knows better
		}
		if row.Computer != "" {
			c.heard[row.Computer] = *row
		}
	}
	promises, err := promiseTable.read(ctx, s, where+" ORDER BY name", args...)
	if err != nil {
		return err
	}
	for _, row := range promises {
		c.addPromise(row)
	}
	return nil
}

func (c *Conditions) addPromise(row *promiseRow) {
	id := slap.PartitionID{Computer: row.computer, Partition: row.partition}
	sums := c.promises[id]
	if sums == nil {
		sums = &promiseSums{}
		c.promises[id] = sums
	}
	if row.name == "" {
		sums.passed, sums.failed, sums.time = row.passed, row.failed, row.time
		return
	}
	c.failing[id] = append(c.failing[id], FailingPromise{row.name, row.message, row.since})
	if sums.since == 0 || row.since < sums.since {
		sums.since = row.since
	}
	if sums.first == "" {
		sums.first = strings.TrimSuffix(row.name+": "+row.message, ": ")
	}
}

// addMemory adds what isn't written yet about some computers, nil for all. It
// doesn't look at more: nodes that speak wait for it.
func (d *Database) addMemory(c *Conditions, computers []string) {
	h := d.history
	h.mutex.Lock()
	defer h.mutex.Unlock()
	hear := func(n *heardNode) {
		if n != nil && n.Time > c.heard[n.Computer].Time {
			c.heard[n.Computer] = n.Heard
		}
	}
	for _, computer := range computers {
		hear(h.heard[computer])
	}
	if computers == nil {
		for _, n := range h.heard {
			hear(n)
		}
	}
	if len(h.times) == 0 {
		return
	}
	for key, row := range c.reports {
		// Those of computers that were read before have it already.
		if later, found := h.times[key]; found && later.time > row.Time {
			row.Time = later.time
			row.Failures += later.failures
		}
	}
	for id, sums := range c.promises {
		if later, found := h.times[reportKey{id.Computer, kindPromise, id.Partition}]; found {
			sums.time = max(sums.time, later.time)
		}
	}
}

// readUses finds the releases that instances were started with: a node that had one
// before its supply doesn't report it.
func (d *Database) readUses(ctx context.Context, s *session, c *Conditions, where string, args []any) error {
	if len(c.reports) == 0 {
		return nil
	}
	return s.rows(ctx, "SELECT computer_reference, reference, software_release FROM partition18 "+where, args, func(rows *sql.Rows) error {
		var computer, partition, release string
		if err := rows.Scan(text{&computer}, text{&partition}, text{&release}); err != nil || release == "" {
			return err
		}
		row := c.reports[reportKey{computer, KindInstance, partition}]
		if row != nil && (row.State == ReportStarted || row.State == ReportStopped) {
			key := releaseKey{computer, release}
			if first := c.used[key]; first == 0 || row.Since < first {
				c.used[key] = row.Since
			}
		}
		return nil
	})
}
