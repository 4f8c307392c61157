// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"errors"
	"fmt"

	"slapos/slap"
)

// Selection says which instances a list has: see [Roots], [RootsTitled],
// [Titled], [InTree] and [HostedBy].
type Selection struct {
	// partitions and shared select rows of their tables, "" none of them.
	partitions, shared string
	args, sharedArgs   []any
	host               Subject
}

// Roots selects the roots of all instance trees.
func Roots() Selection {
	return Selection{
		partitions: "WHERE slap_state <> 'free' AND requested_by = '' ORDER BY rowid",
		shared:     "WHERE substr(reference, 1, 1) = '_' ORDER BY rowid",
	}
}

// RootsTitled selects the roots of that title.
func RootsTitled(title string) Selection {
	return Selection{
		partitions: "WHERE partition_reference = $1 AND slap_state <> 'free' AND requested_by = '' ORDER BY rowid", args: []any{title},
		shared: "WHERE reference = $1 ORDER BY rowid", sharedArgs: []any{Name{Title: title}.Reference()},
	}
}

// Titled selects the instances with that title and their own partition, in any
// tree.
func Titled(title string) Selection {
	return Selection{partitions: "WHERE partition_reference = $1 ORDER BY rowid", args: []any{title}}
}

// InTree selects the instances with their own partition below the root with
// that title.
func InTree(root string) Selection {
	return Selection{partitions: "WHERE requested_by = $1 AND requested_by <> '' ORDER BY rowid", args: []any{root}}
}

// Running selects the instances with their own partition and that release.
func Running(release string) Selection {
	return Selection{partitions: "WHERE software_release = $1 AND slap_state <> 'free' ORDER BY rowid", args: []any{release}}
}

// HostedBy selects the shared instances that an instance is the host of. It is
// unknown when the host is.
func HostedBy(host Subject) Selection { return Selection{host: host} }

// List implements [Instances].
func (d *Database) List(ctx context.Context, selection Selection) (list []*Instance, err error) {
	// One statement sees one moment by itself.
	reading := d.read
	if selection.host == nil && selection.shared == "" {
		reading = d.look
	}
	err = reading(ctx, func(ctx context.Context, s *session) error {
		list, err = s.list(ctx, selection)
		return err
	})
	return list, err
}

func (s *session) list(ctx context.Context, selection Selection) (list []*Instance, err error) {
	if selection.host != nil {
		return s.hosted(ctx, selection.host)
	}
	partitions, err := partitionTable.read(ctx, s, selection.partitions, selection.args...)
	if err != nil {
		return nil, err
	}
	for _, p := range partitions {
		list = append(list, p.instance())
	}
	if selection.shared == "" {
		return list, nil
	}
	rows, err := sharedTable.read(ctx, s, selection.shared, selection.sharedArgs...)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		instance, err := s.sharedInstance(ctx, row, Name{Title: row.reference[1:], Shared: true})
		if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrNoHost) {
			return nil, err
		}
		list = append(list, instance)
	}
	return list, nil
}

// hosted lists the shared instances of a host.
func (s *session) hosted(ctx context.Context, subject Subject) (list []*Instance, err error) {
	host, err := s.owned(ctx, subject)
	if err != nil {
		return nil, err
	}
	entries, err := host.SharedList()
	if err != nil {
		return nil, err
	}
	for _, item := range entries {
		entry, ok := item.(slap.Dict)
		if !ok {
			return nil, fmt.Errorf("shared instances of %s: an entry is not a dictionary", host.ID.Partition)
		}
		row, err := s.sharedOn(ctx, entryText(entry, sharedTitle), host.ID.Computer)
		if err != nil {
			return nil, err
		}
		if row == nil {
			row = &sharedRow{reference: entryText(entry, sharedTitle), computer: host.ID.Computer}
		}
		instance := &Instance{Partition: host, State: string(slap.StateStarted),
			SoftwareType: entryText(entry, sharedType), Parameters: ownParameters(entry), ConnectionXML: row.connection}
		if instance.Name, err = s.nameShared(ctx, *row); err != nil {
			return nil, err
		}
		list = append(list, instance)
	}
	return list, nil
}
