// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
)

// changedComputers is on how many computers something may have changed for an
// overview to be renewed.
const changedComputers = 200

// renew renews the last overview, whose lock is held.
func (d *Database) renew(ctx context.Context) (*Overview, error) {
	renewed, err := d.renewed(context.WithoutCancel(ctx), d.history.overview.last)
	if err == nil {
		d.history.overview.last = renewed
	}
	return renewed, err
}

// renewed is an overview with what happened since, which events tell. Those who
// have the former one keep it as it was.
func (d *Database) renewed(ctx context.Context, former *Overview) (o *Overview, err error) {
	err = d.read(ctx, func(ctx context.Context, s *session) error {
		o = former
		if keeps, err := d.keepsHistory(ctx, s); err != nil || !keeps {
			return err
		}
		var changed []string
		err := s.rows(ctx, `SELECT DISTINCT computer_reference FROM (SELECT computer_reference FROM event18 WHERE id > $1 ORDER BY id LIMIT 5000) AS later
			LIMIT $2`, []any{former.event, changedComputers + 1}, func(rows *sql.Rows) error {
			var computer string
			changed = append(changed, "")
			err := rows.Scan(text{&computer})
			changed[len(changed)-1] = computer
			return err
		})
		if err != nil || len(changed) == 0 {
			return err
		}
		if len(changed) > changedComputers {
			return nil // too much for this way: the next one that is made has it
		}
		part, err := d.overview(ctx, s, changed)
		if err != nil {
			return err
		}
		o = former.with(part, changed)
		return d.addRefused(ctx, s, o)
	})
	return o, err
}

// with is an overview in which some computers are as in another one.
func (o *Overview) with(part *Overview, computers []string) *Overview {
	changed := map[string]bool{}
	for _, computer := range computers {
		changed[computer] = true
	}
	renewed := &Overview{Now: part.Now, event: part.event, Refused: o.Refused}
	nodes := map[string]NodeOverview{}
	for _, node := range part.Nodes {
		nodes[node.Computer] = node
	}
	renewed.Nodes = make([]NodeOverview, 0, len(o.Nodes)+len(nodes))
	for i := range o.Nodes {
		node := &o.Nodes[i]
		if changed[node.Computer] {
			later, there := nodes[node.Computer]
			if !there {
				continue
			}
			delete(nodes, node.Computer)
			node = &later
		}
		renewed.Nodes = append(renewed.Nodes, *node)
	}
	for _, node := range part.Nodes {
		if _, added := nodes[node.Computer]; added {
			renewed.Nodes = append(renewed.Nodes, node)
		}
	}
	renewed.Releases = make([]ReleaseOverview, 0, len(o.Releases)+len(part.Releases))
	for i := range o.Releases {
		if !changed[o.Releases[i].Computer] {
			renewed.Releases = append(renewed.Releases, o.Releases[i])
		}
	}
	renewed.Releases = append(renewed.Releases, part.Releases...)
	renewed.Instances = make([]InstanceOverview, 0, len(o.Instances)+len(part.Instances))
	places := make([]int32, len(o.Instances)) // where each is now, -1 for nowhere
	for i := range o.Instances {
		places[i] = -1
		if !changed[o.Instances[i].Computer] {
			places[i] = int32(len(renewed.Instances)) //nolint:gosec // far fewer
			renewed.Instances = append(renewed.Instances, o.Instances[i])
		}
	}
	kept := len(renewed.Instances)
	renewed.Instances = append(renewed.Instances, part.Instances...)
	added := renewed.sorted(kept)
	renewed.byTitle = make([]int32, 0, len(renewed.Instances))
	for _, i := range o.byTitle {
		if places[i] < 0 {
			continue
		}
		for len(added) > 0 && renewed.compareTitles(added[0], places[i]) < 0 {
			renewed.byTitle, added = append(renewed.byTitle, added[0]), added[1:]
		}
		renewed.byTitle = append(renewed.byTitle, places[i])
	}
	renewed.byTitle = append(renewed.byTitle, added...)
	return renewed
}

// sorted are the indexes of the instances from one on, in the order of their titles.
func (o *Overview) sorted(first int) []int32 {
	indexes := make([]int32, 0, len(o.Instances)-first)
	for i := first; i < len(o.Instances); i++ {
		indexes = append(indexes, int32(i)) //nolint:gosec // far fewer
	}
	slices.SortFunc(indexes, o.compareTitles)
	return indexes
}

func (o *Overview) compareTitles(i, j int32) int {
	a, b := &o.Instances[i], &o.Instances[j]
	return cmp.Or(cmp.Compare(a.Title, b.Title), cmp.Compare(a.Root, b.Root), cmp.Compare(a.Computer, b.Computer), cmp.Compare(a.Partition, b.Partition))
}
