// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"fmt"

	"slapos/slap"
)

// SetConnection implements [Instances].
func (d *Database) SetConnection(ctx context.Context, id slap.PartitionID, connection slap.Dict) error {
	document, err := slap.EncodeInstance(connection)
	if err != nil {
		return fmt.Errorf("connection parameters of %s: %w", id.Partition, err)
	}
	return d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		p, err := t.at(ctx, id)
		if err != nil || p == nil {
			return err
		}
		return t.publish(ctx, p, string(document))
	})
}

// publish stores connection parameters. Its own time stamp stays, that of the
// direct requester is renewed (PROXY-41, PROXY-50).
func (t *transaction) publish(ctx context.Context, p *Partition, document string) error {
	if p.Connection != nil && *p.Connection == document {
		return nil
	}
	if _, err := t.write(ctx, p.ID.Computer, "UPDATE partition18 SET connection_xml = $1 WHERE reference = $2 AND computer_reference = $3",
		document, p.ID.Partition, p.ID.Computer); err != nil {
		return err
	}
	return t.touch(ctx, slap.PartitionID{Computer: p.ID.Computer, Partition: p.Requester})
}

// touch makes a partition be processed again.
func (t *transaction) touch(ctx context.Context, id slap.PartitionID) error {
	if id.Partition == "" {
		return nil
	}
	_, err := t.write(ctx, id.Computer, "UPDATE partition18 SET timestamp = $1 WHERE reference = $2 AND computer_reference = $3",
		t.time, id.Partition, id.Computer)
	return err
}

// SetSharedConnection implements [Instances].
func (d *Database) SetSharedConnection(ctx context.Context, reference, host string, connection slap.Dict) error {
	document, err := slap.EncodeInstance(connection)
	if err != nil {
		return fmt.Errorf("connection parameters of %s: %w", reference, err)
	}
	return d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		rows, err := t.sharedRows(ctx, "WHERE reference = $1 ORDER BY rowid", reference)
		if err != nil {
			return err
		}
		for i, row := range rows {
			at := host
			if at == "" {
				at = row.host
			}
			changed := row.connection == nil || *row.connection != string(document)
			if !changed && row.host == at {
				continue
			}
			// Every row of that reference is told, the requester of the first.
			if err := t.note(ctx, "UPDATE slave18 SET connection_xml = $1, hosted_by = $2 WHERE reference = $3 AND computer_reference = $4",
				string(document), at, reference, row.computer); err != nil {
				return err
			}
			if changed && i == 0 {
				if err := t.touch(ctx, slap.PartitionID{Computer: row.computer, Partition: row.requester}); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Bang implements [Instances].
func (d *Database) Bang(ctx context.Context, id slap.PartitionID) error {
	return d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		p, err := t.at(ctx, id)
		if err != nil || p == nil {
			return err
		}
		return t.bang(ctx, p.RootTitle(), "")
	})
}

// bang renews the time stamps of an instance and of all whose root it is,
// with the same time (PROXY-42).
func (t *transaction) bang(ctx context.Context, title, root string) error {
	if title == "" {
		return nil
	}
	if _, err := t.write(ctx, "", "UPDATE partition18 SET timestamp = $1 WHERE partition_reference = $2 AND requested_by = $3",
		t.time, title, root); err != nil {
		return err
	}
	_, err := t.write(ctx, "", "UPDATE partition18 SET timestamp = $1 WHERE requested_by = $2 AND requested_by <> ''", t.time, title)
	return err
}

// Rename implements [Instances].
func (d *Database) Rename(ctx context.Context, id slap.PartitionID, title string) error {
	if err := checkText("title", title); err != nil {
		return err
	}
	return d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		p, err := t.at(ctx, id)
		if err != nil {
			return err
		}
		if p == nil {
			return ErrNotFound
		}
		if p.Root == "" && p.Title != "" {
			if _, err := t.write(ctx, "", "UPDATE partition18 SET requested_by = $1 WHERE requested_by = $2 AND requested_by <> ''",
				title, p.Title); err != nil {
				return err
			}
		}
		_, err = t.write(ctx, id.Computer, "UPDATE partition18 SET partition_reference = $1 WHERE reference = $2 AND computer_reference = $3",
			title, id.Partition, id.Computer)
		return err
	})
}

// Destroy implements [Instances].
func (d *Database) Destroy(ctx context.Context, id slap.PartitionID) (waiting []string, err error) {
	err = d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		p, err := t.at(ctx, id)
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

// destroy frees a partition, or asks what it is the root of to go first
// (PROXY-44).
func (t *transaction) destroy(ctx context.Context, p *Partition) (waiting []string, err error) {
	if p.Root == "" && p.Title != "" {
		descendants, err := t.partitions(ctx, "WHERE requested_by = $1 AND requested_by <> '' ORDER BY partition_reference", p.Title)
		if err != nil {
			return nil, err
		}
		for _, descendant := range descendants {
			waiting = append(waiting, descendant.Title)
		}
		if len(waiting) > 0 {
			_, err := t.write(ctx, "", `UPDATE partition18 SET requested_state = 'destroyed'
				WHERE requested_by = $1 AND requested_by <> '' AND requested_state <> 'destroyed'`, p.Title)
			return waiting, err
		}
	}
	_, err = t.write(ctx, p.ID.Computer, `UPDATE partition18 SET slap_state = 'free', software_release = NULL, xml = NULL,
		connection_xml = NULL, slave_instance_list = NULL, software_type = NULL, partition_reference = NULL,
		requested_by = '', requester_id = '', requested_state = 'started'
		WHERE reference = $1 AND computer_reference = $2`, p.ID.Partition, p.ID.Computer)
	return nil, err
}
