// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"database/sql"

	"slapos/slap"
)

const selectPartition = `SELECT reference, computer_reference, slap_state, software_release, software_type,
	partition_reference, requested_by, requester_id, requested_state, xml, connection_xml, slave_instance_list, timestamp
	FROM partition18 `

// scanner is a row of a query.
type scanner interface{ Scan(...any) error }

func scanPartition(row scanner) (*Partition, error) {
	var p Partition
	var computer, state, release, softwareType, title sql.NullString
	err := row.Scan(&p.ID.Partition, &computer, &state, &release, &softwareType, &title,
		&p.Root, &p.Requester, &p.State, &p.Parameters, &p.Connection, &p.Shared, &p.Timestamp)
	p.ID.Computer = computer.String
	p.Busy = state.String != "free"
	p.SoftwareRelease, p.SoftwareType, p.Title = release.String, softwareType.String, title.String
	return &p, err
}

// partitions reads the partitions that a condition selects.
func (s *session) partitions(ctx context.Context, condition string, args ...any) ([]*Partition, error) {
	var partitions []*Partition
	err := s.rows(ctx, selectPartition+condition, args, func(rows *sql.Rows) error {
		p, err := scanPartition(rows)
		partitions = append(partitions, p)
		return err
	})
	return partitions, err
}

// first reads the first of them, nil without one.
func (s *session) first(ctx context.Context, condition string, args ...any) (*Partition, error) {
	partitions, err := s.partitions(ctx, condition+" ORDER BY rowid LIMIT 1", args...)
	if err != nil || len(partitions) == 0 {
		return nil, err
	}
	return partitions[0], nil
}

// at reads a partition, nil when unknown.
func (s *session) at(ctx context.Context, id slap.PartitionID) (*Partition, error) {
	return s.first(ctx, "WHERE reference = $1 AND computer_reference = $2", id.Partition, id.Computer)
}

// allocated reads the partition of an instance, nil when it has none.
func (s *session) allocated(ctx context.Context, title, root string) (*Partition, error) {
	return s.first(ctx, "WHERE partition_reference = $1 AND requested_by = $2", title, root)
}

// addresses completes a partition.
func (s *session) addresses(ctx context.Context, p *Partition) error {
	p.Addresses = []slap.Address{}
	return s.rows(ctx, `SELECT reference, address FROM partition_network18
		WHERE computer_reference = $1 AND partition_reference = $2 ORDER BY rowid`,
		[]any{p.ID.Computer, p.ID.Partition}, func(rows *sql.Rows) error {
			var name, ip sql.NullString
			err := rows.Scan(&name, &ip)
			p.Addresses = append(p.Addresses, slap.Address{Interface: name.String, IP: ip.String})
			return err
		})
}

// allAddresses completes all partitions of a computer.
func (s *session) allAddresses(ctx context.Context, computer string, partitions []*Partition) error {
	byName := make(map[string]*Partition, len(partitions))
	for _, p := range partitions {
		p.Addresses = []slap.Address{}
		byName[p.ID.Partition] = p
	}
	return s.rows(ctx, `SELECT partition_reference, reference, address FROM partition_network18
		WHERE computer_reference = $1 ORDER BY rowid`, []any{computer}, func(rows *sql.Rows) error {
		var partition, name, ip sql.NullString
		if err := rows.Scan(&partition, &name, &ip); err != nil {
			return err
		}
		if p := byName[partition.String]; p != nil {
			p.Addresses = append(p.Addresses, slap.Address{Interface: name.String, IP: ip.String})
		}
		return nil
	})
}
