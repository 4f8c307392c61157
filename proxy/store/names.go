// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"errors"
	"fmt"

	"slapos/slap"
)

// Named implements [Names].
func (d *Database) Named(ctx context.Context, name Name) (instance *Instance, err error) {
	err = d.read(ctx, func(ctx context.Context, s *session) error {
		if name.Shared {
			row, err := s.shared(ctx, "WHERE reference = $1", name.Reference())
			if err != nil {
				return err
			}
			if row == nil {
				return ErrNotFound
			}
			instance, err = s.sharedInstance(ctx, *row, name)
			return err
		}
		p, err := s.allocated(ctx, name.Title, name.Root)
		if err != nil {
			return err
		}
		if p == nil {
			return ErrNotFound
		}
		if err := s.addresses(ctx, p); err != nil {
			return err
		}
		instance, err = instanceOf(p)
		return err
	})
	return instance, err
}

// sharedInstance joins a row with its entry in the host's list. When either is
// missing, the instance lacks what they say, and the error is ErrNoHost or
// ErrNotFound.
func (s *session) sharedInstance(ctx context.Context, row sharedRow, name Name) (*Instance, error) {
	instance := &Instance{Name: name, State: string(slap.StateStarted), ConnectionXML: row.connection}
	var err error
	if instance.Connection, err = decode(row.connection, "connection parameters of "+row.reference); err != nil {
		return nil, err
	}
	if instance.Partition, err = s.at(ctx, slap.PartitionID{Computer: row.computer, Partition: row.host}); err != nil {
		return nil, err
	}
	if instance.Partition == nil {
		return instance, ErrNoHost
	}
	entry, err := entryOf(instance.Partition, row.reference)
	if err != nil {
		return instance, err
	}
	instance.SoftwareType, instance.Parameters = entryText(entry, sharedType), ownParameters(entry)
	return instance, nil
}

// Titled implements [Names].
func (d *Database) Titled(ctx context.Context, title string) (p *Partition, err error) {
	err = d.look(ctx, func(ctx context.Context, s *session) error {
		if p, err = s.first(ctx, "WHERE partition_reference = $1", title); err != nil {
			return err
		}
		if p == nil {
			return ErrNotFound
		}
		return nil
	})
	return p, err
}

// Hosted implements [Names].
func (d *Database) Hosted(ctx context.Context, name Name) (hosted []*Instance, err error) {
	err = d.read(ctx, func(ctx context.Context, s *session) error {
		hosted = nil
		if name.Shared {
			return ErrNotFound
		}
		host, err := s.allocated(ctx, name.Title, name.Root)
		if err != nil {
			return err
		}
		if host == nil {
			return ErrNotFound
		}
		list, err := host.SharedList()
		if err != nil {
			return err
		}
		for _, item := range list {
			entry, ok := item.(slap.Dict)
			if !ok {
				return fmt.Errorf("shared instances of %s: an entry is no dictionary", host.ID.Partition)
			}
			row := sharedRow{reference: entryText(entry, sharedTitle), computer: host.ID.Computer}
			if known, err := s.shared(ctx, "WHERE reference = $1 AND computer_reference = $2", row.reference, row.computer); err != nil {
				return err
			} else if known != nil {
				row = *known
			}
			instance := &Instance{Partition: host, State: string(slap.StateStarted),
				SoftwareType: entryText(entry, sharedType), Parameters: ownParameters(entry), ConnectionXML: row.connection}
			if instance.Name, err = s.nameShared(ctx, row); err != nil {
				return err
			}
			hosted = append(hosted, instance)
		}
		return nil
	})
	return hosted, err
}

// Roots implements [Names].
func (d *Database) Roots(ctx context.Context) (*Roots, error) {
	return d.roots(ctx,
		"WHERE slap_state <> 'free' AND requested_by = '' ORDER BY rowid", nil,
		"WHERE substr(reference, 1, 1) = '_' ORDER BY rowid", nil)
}

// RootsTitled implements [Names].
func (d *Database) RootsTitled(ctx context.Context, title string) (*Roots, error) {
	return d.roots(ctx,
		"WHERE partition_reference = $1 AND slap_state <> 'free' AND requested_by = '' ORDER BY rowid", []any{title},
		"WHERE reference = $1 ORDER BY rowid", []any{Name{Title: title}.Reference()})
}

func (d *Database) roots(ctx context.Context, partitions string, args []any, shared string, sharedArgs []any) (*Roots, error) {
	roots := &Roots{}
	err := d.read(ctx, func(ctx context.Context, s *session) (err error) {
		roots.Shared = nil
		if roots.Partitions, err = s.partitions(ctx, partitions, args...); err != nil {
			return err
		}
		rows, err := s.sharedRows(ctx, shared, sharedArgs...)
		if err != nil {
			return err
		}
		for _, row := range rows {
			instance, err := s.sharedInstance(ctx, row, Name{Title: row.reference[1:], Shared: true})
			if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrNoHost) {
				return err
			}
			roots.Shared = append(roots.Shared, instance)
		}
		return nil
	})
	return roots, err
}

// Tree implements [Names].
func (d *Database) Tree(ctx context.Context, root string) (partitions []*Partition, err error) {
	if root == "" {
		return nil, nil
	}
	err = d.look(ctx, func(ctx context.Context, s *session) error {
		partitions, err = s.partitions(ctx, "WHERE requested_by = $1 AND requested_by <> '' ORDER BY rowid", root)
		return err
	})
	return partitions, err
}

// SetNamedState implements [Names].
func (d *Database) SetNamedState(ctx context.Context, name Name, state slap.State) error {
	return d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		if name.Shared {
			return t.setSharedState(ctx, name, state)
		}
		p, err := t.allocated(ctx, name.Title, name.Root)
		if err != nil {
			return err
		}
		if p == nil {
			return ErrNotFound
		}
		wanted := wish{string(state), p.SoftwareRelease, p.SoftwareType, noParameters}
		if p.Parameters != nil {
			wanted.parameters = *p.Parameters
		}
		return t.update(ctx, p, wanted)
	})
}

// setSharedState takes a shared instance from the list of its host.
func (t *transaction) setSharedState(ctx context.Context, name Name, state slap.State) error {
	if state != slap.StateDestroyed {
		return fmt.Errorf("shared instance %s: it can only be destroyed", name.Title)
	}
	row, err := t.shared(ctx, "WHERE reference = $1", name.Reference())
	if err != nil {
		return err
	}
	if row == nil {
		return ErrNotFound
	}
	host, err := t.at(ctx, slap.PartitionID{Computer: row.computer, Partition: row.host})
	if err != nil {
		return err
	}
	if host == nil {
		return ErrNoHost
	}
	return t.enlist(ctx, host, name, Order{Request: slap.Request{State: state}})
}

// SetNamedConnection implements [Names].
func (d *Database) SetNamedConnection(ctx context.Context, name Name, connection slap.Dict) error {
	if name.Shared {
		return d.SetSharedConnection(ctx, name.Reference(), "", connection)
	}
	document, err := slap.EncodeInstance(connection)
	if err != nil {
		return fmt.Errorf("connection parameters of %s: %w", name.Title, err)
	}
	return d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		p, err := t.allocated(ctx, name.Title, name.Root)
		if err != nil || p == nil {
			return err
		}
		return t.publish(ctx, p, string(document))
	})
}

// BangNamed implements [Names].
func (d *Database) BangNamed(ctx context.Context, name Name) error {
	return d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		return t.bang(ctx, name.Title, name.Root)
	})
}

// RenameNamed implements [Names].
func (d *Database) RenameNamed(ctx context.Context, name Name, title string) error {
	if err := checkText("title", title); err != nil {
		return err
	}
	return d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		_, err := t.write(ctx, "", "UPDATE partition18 SET partition_reference = $1 WHERE partition_reference = $2 AND requested_by = $3",
			title, name.Title, name.Root)
		return err
	})
}

// DestroyNamed implements [Names].
func (d *Database) DestroyNamed(ctx context.Context, name Name) (waiting []string, err error) {
	err = d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		p, err := t.allocated(ctx, name.Title, name.Root)
		if err != nil {
			return err
		}
		if p == nil {
			return ErrNotFound
		}
		waiting, err = t.destroy(ctx, p)
		return err
	})
	return waiting, err
}
