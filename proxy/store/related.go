// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"errors"
	"slices"

	"slapos/slap"
)

// relatedRow is an instance that a partition's last deployment requested.
type relatedRow struct{ computer, partition, title string }

var relatedTable = table[relatedRow]{name: "related18", order: "computer_reference, partition_reference, title", late: relatedSchema, columns: []column[relatedRow]{
	{name: "computer_reference", at: func(r *relatedRow) cell { return text{&r.computer} }},
	{name: "partition_reference", at: func(r *relatedRow) cell { return text{&r.partition} }},
	{name: "title", at: func(r *relatedRow) cell { return text{&r.title} }},
}}

// Related implements [Instances].
func (d *Database) Related(ctx context.Context, id slap.PartitionID, titles []string) (dropped []string, err error) {
	titles = slices.Compact(slices.Sorted(slices.Values(titles)))
	err = d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		dropped = nil
		p, err := t.owned(ctx, At(id))
		if err != nil {
			return err
		}
		before, err := d.relatedTo(ctx, t.session, id)
		if err != nil || slices.Equal(before, titles) {
			return err
		}
		if err := d.noteRelated(ctx, t, id, titles); err != nil {
			return err
		}
		for _, title := range before {
			if _, kept := slices.BinarySearch(titles, title); kept {
				continue
			}
			gone, err := t.drop(ctx, id, Name{Title: title, Root: p.RootTitle()})
			if err != nil {
				return err
			}
			if gone {
				dropped = append(dropped, title)
			}
		}
		return nil
	})
	return dropped, err
}

// relatedTo returns the titles of the last list of a partition, sorted.
func (d *Database) relatedTo(ctx context.Context, s *session, id slap.PartitionID) ([]string, error) {
	if exists, err := d.hasTable(ctx, s, relatedTable.name); err != nil || !exists {
		return nil, err
	}
	rows, err := relatedTable.read(ctx, s, "WHERE computer_reference = $1 AND partition_reference = $2", id.Computer, id.Partition)
	var titles []string
	for _, row := range rows {
		titles = append(titles, row.title)
	}
	slices.Sort(titles)
	return titles, err
}

func (d *Database) noteRelated(ctx context.Context, t *transaction, id slap.PartitionID, titles []string) error {
	if d.dialect.file != "" {
		if err := t.script(ctx, relatedTable.late); err != nil {
			return err
		}
	}
	if err := d.forgetRelated(ctx, t, id); err != nil {
		return err
	}
	for _, title := range titles {
		row := relatedRow{computer: id.Computer, partition: id.Partition, title: title}
		if err := t.note(ctx, relatedTable.insertion(), relatedTable.values(&row)...); err != nil {
			return err
		}
	}
	return nil
}

func (d *Database) forgetRelated(ctx context.Context, t *transaction, id slap.PartitionID) error {
	if exists, err := d.hasTable(ctx, t.session, relatedTable.name); err != nil || !exists {
		return err
	}
	return t.note(ctx, "DELETE FROM related18 WHERE computer_reference = $1 AND partition_reference = $2", id.Computer, id.Partition)
}

// drop asks for the end of an instance that a partition no longer requests. One that
// another requester has taken since, and one that is going already, are left alone.
func (t *transaction) drop(ctx context.Context, requester slap.PartitionID, name Name) (bool, error) {
	p, err := t.partition(ctx, name)
	if err != nil {
		return false, err
	}
	if p != nil && p.Requester == requester.Partition {
		if p.State == string(slap.StateDestroyed) {
			return false, nil
		}
		return true, t.setState(ctx, p, slap.StateDestroyed)
	}
	name.Shared = true
	reference, _ := name.shared()
	row, err := t.sharedAnywhere(ctx, reference)
	if err == nil && row.requester == requester.Partition {
		err = t.dismissShared(ctx, reference)
		return err == nil, err
	}
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrNoHost) {
		err = nil
	}
	return false, err
}
