// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"sync"
	"time"

	"slapos/slap"
)

// Overview is the condition of everything, in the order of the master's lists.
type Overview struct {
	Now       float64
	Nodes     []NodeOverview
	Releases  []ReleaseOverview
	Instances []InstanceOverview
	// Refused are requests of the last day that couldn't be placed, and whose
	// instance isn't there: the newest of each title, at most 100.
	Refused []Event

	// event is the newest event that it knows of; byTitle are the indexes of the
	// instances in the order of their titles.
	event   int64
	byTitle []int32
}

// NodeOverview is a node, with how many partitions it has and uses, how many
// releases it should have, and how much of either needs attention.
type NodeOverview struct {
	Actual
	Computer         string
	Partitions, Busy int
	Releases         int
	Attention        int
}

// ReleaseOverview is a release on a computer.
type ReleaseOverview struct {
	Actual
	Software
}

// InstanceOverview is an instance, with its own partition or shared.
type InstanceOverview struct {
	Actual
	Name
	slap.PartitionID
	SoftwareRelease string
	SoftwareType    string
	Wanted          string
	Timestamp       float64
	Promises        PromiseCounts

	// text is what a search looks at.
	text string
}

// overviews keeps the last one.
type overviews struct {
	mutex sync.Mutex
	last  *Overview
	// changes is the number of changes before it, made when it was, and took how
	// long that took.
	changes int64
	made    time.Time
	took    time.Duration
	making  bool
}

// A small cloud's overview is made whenever something changed. That of a large one
// is renewed, and made anew beside: while somebody looks, that takes a twentieth of
// the time at most, else a hundredth.
const (
	smallOverview = 50 * time.Millisecond
	overviewLasts = time.Second
	pauseLooked   = 20
	pauseAlone    = 100
)

// Overview implements [History].
func (d *Database) Overview(ctx context.Context) (*Overview, error) {
	o := &d.history.overview
	o.mutex.Lock()
	defer o.mutex.Unlock()
	switch {
	case o.last != nil && time.Since(o.made) < overviewLasts && o.changes == d.history.changes.Load():
		return o.last, nil
	case o.last != nil && o.took >= smallOverview:
		// Who asks now doesn't wait for another one.
		d.remakeOverview(ctx, pauseLooked)
		return d.renew(ctx)
	}
	// One that gives up must not cancel it for those who wait.
	fresh := d.freshOverview(context.WithoutCancel(ctx))
	if fresh.err != nil {
		return nil, fresh.err
	}
	o.keep(fresh)
	return o.last, nil
}

// remakeOverview begins to make the overview anew, whose lock is held, if it is older
// than a multiple of the time which that takes.
func (d *Database) remakeOverview(ctx context.Context, pause time.Duration) {
	o := &d.history.overview
	if o.making || time.Since(o.made) < pause*o.took {
		return
	}
	o.making = true
	go func() { // Close waits until it has read
		fresh := d.freshOverview(context.WithoutCancel(ctx))
		o.mutex.Lock()
		defer o.mutex.Unlock()
		o.making = false
		if fresh.err == nil {
			o.keep(fresh)
		}
	}()
}

// keepUp renews the overview of a large cloud before somebody asks for it: he needn't
// wait then, however long nobody did.
func (d *Database) keepUp(ctx context.Context) {
	o := &d.history.overview
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if o.last != nil && o.took >= smallOverview {
		d.remakeOverview(ctx, pauseAlone)
		_, _ = d.renew(ctx) // whoever asks is told
	}
}

// freshOverview is an overview, and what changed before it.
type freshOverview struct {
	overview *Overview
	changes  int64
	begin    time.Time
	err      error
}

func (d *Database) freshOverview(ctx context.Context) freshOverview {
	fresh := freshOverview{changes: d.history.changes.Load(), begin: time.Now()}
	fresh.overview, fresh.err = d.makeOverview(ctx)
	return fresh
}

func (o *overviews) keep(fresh freshOverview) {
	o.last, o.changes, o.made, o.took = fresh.overview, fresh.changes, time.Now(), time.Since(fresh.begin)
}

func (d *Database) makeOverview(ctx context.Context) (o *Overview, err error) {
	err = d.read(ctx, func(ctx context.Context, s *session) error {
		o, err = d.overview(ctx, s, nil)
		if err == nil {
			err = d.addRefused(ctx, s, o)
		}
		return err
	})
	return o, err
}

// overview is that of some computers, of all of them if none is named.
func (d *Database) overview(ctx context.Context, s *session, computers []string) (*Overview, error) {
	c, err := d.conditions(ctx, s, slices.Clone(computers))
	if err != nil {
		return nil, err
	}
	o := &Overview{Now: c.Now}
	for _, part := range parts(computers) {
		if err := d.overviewPart(ctx, s, c, o, part); err != nil {
			return nil, err
		}
	}
	o.byTitle = o.sorted(0)
	keeps, err := d.keepsHistory(ctx, s)
	if err == nil && keeps {
		_, err = s.row(ctx, "SELECT COALESCE(max(id), 0) FROM event18", nil, &o.event)
	}
	return o, err
}

func (d *Database) overviewPart(ctx context.Context, s *session, c *Conditions, o *Overview, part []string) error {
	where, args := among("reference", part)
	computers, err := computerTable.read(ctx, s, where+" ORDER BY rowid", args...)
	if err != nil {
		return err
	}
	nodes := map[string]int{}
	for _, computer := range computers {
		nodes[computer.Reference] = len(o.Nodes)
		o.Nodes = append(o.Nodes, NodeOverview{Computer: computer.Reference, Actual: c.Node(computer.Reference)})
	}
	at := func(computer string) *NodeOverview {
		if i, known := nodes[computer]; known {
			return &o.Nodes[i]
		}
		return &NodeOverview{} // nobody looks at it
	}
	where, args = among("computer_reference", part)
	software, err := softwareTable.read(ctx, s, where+" ORDER BY rowid", args...)
	if err != nil {
		return err
	}
	for _, row := range software {
		release := ReleaseOverview{c.Release(*row), *row}
		if _, known := nodes[row.Computer]; !known && release.Condition == slap.ConditionRequested && row.Computer != d.options.Computer {
			release.Stuck, release.Message = true, "there is no computer "+row.Computer
		}
		o.Releases = append(o.Releases, release)
		node := at(row.Computer)
		node.Releases++
		node.count(release.Actual)
	}
	return d.overviewInstances(ctx, s, c, o, part, at)
}

func (n *NodeOverview) count(a Actual) {
	if a.NeedsAttention() {
		n.Attention++
	}
}

// add adds an instance, with the text to find it by.
func (o *Overview) add(i InstanceOverview) {
	i.text = strings.ToLower(strings.Join([]string{i.Title, i.Root, i.Computer, i.Partition, i.SoftwareType, i.SoftwareRelease}, "\n"))
	o.Instances = append(o.Instances, i)
}

// overviewInstances reads only the columns that it needs: parameters are long.
func (d *Database) overviewInstances(ctx context.Context, s *session, c *Conditions, o *Overview, part []string, at func(string) *NodeOverview) error {
	where, args := among("computer_reference", part)
	var hosts []*Partition
	err := s.rows(ctx, `SELECT computer_reference, reference, slap_state, software_release, software_type, partition_reference,
		requested_by, requested_state, timestamp, slave_instance_list FROM partition18 `+where+" ORDER BY rowid", args, func(rows *sql.Rows) error {
		var p Partition
		if err := rows.Scan(text{&p.ID.Computer}, text{&p.ID.Partition}, busy{&p.Busy}, text{&p.SoftwareRelease}, text{&p.SoftwareType},
			text{&p.Title}, text{&p.Root}, text{&p.State}, optional[float64]{&p.Timestamp}, optional[string]{&p.Shared}); err != nil {
			return err
		}
		node := at(p.ID.Computer)
		node.Partitions++
		if !p.Busy {
			return nil
		}
		node.Busy++
		instance := InstanceOverview{Actual: c.Instance(&p), Name: p.Name(), PartitionID: p.ID,
			SoftwareRelease: p.SoftwareRelease, SoftwareType: p.SoftwareType, Wanted: p.State}
		if p.Timestamp != nil {
			instance.Timestamp = *p.Timestamp
		}
		instance.Promises, _ = c.Promises(p.ID)
		o.add(instance)
		node.count(instance.Actual)
		if p.Shared != nil && *p.Shared != "" {
			hosts = append(hosts, &p)
		}
		return nil
	})
	if err != nil || len(hosts) == 0 {
		return err
	}
	rows, err := sharedTable.read(ctx, s, where, args...)
	if err != nil {
		return err
	}
	type place struct{ computer, reference string }
	known := map[place]*sharedRow{}
	for _, row := range rows {
		known[place{row.computer, row.reference}] = row
	}
	roots := map[slap.PartitionID]string{}
	for _, instance := range o.Instances {
		roots[instance.PartitionID] = instance.Name.tree().Title
	}
	for _, host := range hosts {
		entries, err := host.SharedList()
		if err != nil {
			continue // its own page says so
		}
		for _, entry := range entries {
			reference := entryText(entry, sharedReference)
			row := known[place{host.ID.Computer, reference}]
			if row == nil {
				continue
			}
			name := splitShared(reference, roots[slap.PartitionID{Computer: row.computer, Partition: row.requester}])
			instance := &Instance{Name: name, Partition: host, ConnectionXML: row.connection}
			o.add(InstanceOverview{Actual: c.Shared(instance), Name: name, PartitionID: host.ID,
				SoftwareRelease: host.SoftwareRelease, SoftwareType: entryText(entry, sharedType), Wanted: string(slap.StateStarted)})
		}
	}
	return nil
}

// addRefused finds requests that wait for a place.
func (d *Database) addRefused(ctx context.Context, s *session, o *Overview) error {
	if keeps, err := d.keepsHistory(ctx, s); err != nil || !keeps {
		return err
	}
	rows, err := eventTable.read(ctx, s, "WHERE kind = 'instance' AND subject = '' AND event = 'refused' AND time > $1 ORDER BY id DESC LIMIT 1000",
		o.Now-24*3600)
	if err != nil || len(rows) == 0 {
		return err
	}
	refused := map[string]*Event{}
	for _, row := range slices.Backward(rows) {
		refused[row.Title] = row
	}
	for i := range o.Instances {
		delete(refused, o.Instances[i].Title)
	}
	o.Refused = nil
	for _, row := range rows {
		if refused[row.Title] == row && len(o.Refused) < 100 {
			o.Refused = append(o.Refused, *row)
		}
	}
	return nil
}
