// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"

	"slapos/slap"
)

// The keys that the store adds to the parameters of a shared instance, in the
// list of its host (PROXY-66).
const (
	sharedTitle     = "slave_title"
	sharedReference = "slave_reference"
	sharedType      = "slap_software_type"
)

// sharedRow is what is known of a shared instance beside its host's list.
type sharedRow struct {
	reference  string
	computer   string
	host       string
	requester  string
	connection *string
}

// shared reads the first row that a condition selects, nil without one.
func (s *session) shared(ctx context.Context, condition string, args ...any) (*sharedRow, error) {
	rows, err := s.sharedRows(ctx, condition+" ORDER BY rowid LIMIT 1", args...)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

func (s *session) sharedRows(ctx context.Context, condition string, args ...any) ([]sharedRow, error) {
	var list []sharedRow
	err := s.rows(ctx, "SELECT reference, computer_reference, hosted_by, requester_id, connection_xml FROM slave18 "+condition,
		args, func(rows *sql.Rows) error {
			var r sharedRow
			var reference, computer, host sql.NullString
			err := rows.Scan(&reference, &computer, &host, &r.requester, &r.connection)
			r.reference, r.computer, r.host = reference.String, computer.String, host.String
			list = append(list, r)
			return err
		})
	return list, err
}

// RequestShared implements [Requests].
func (d *Database) RequestShared(ctx context.Context, order Order) (instance *Instance, err error) {
	if err := order.check(); err != nil {
		return nil, err
	}
	document, err := slap.EncodeInstance(order.Parameters)
	if err != nil {
		return nil, fmt.Errorf("parameters of %s: %w", order.Reference, err)
	}
	// What is answered went through the document, and is text (SLAP-27).
	parameters, err := slap.DecodeInstance(document)
	if err != nil {
		return nil, fmt.Errorf("parameters of %s: %w", order.Reference, err)
	}
	err = d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		requester, err := t.requester(ctx, order)
		if err != nil {
			return err
		}
		name := Name{Title: order.Reference, Root: requester.Root, Shared: true}
		host, err := t.host(ctx, d.computerOf(order), order)
		if err != nil {
			return err
		}
		if err := t.enlist(ctx, host, name, order); err != nil {
			return err
		}
		row, err := t.recordShared(ctx, host, name, requester)
		if err != nil {
			return err
		}
		if err := t.addresses(ctx, host); err != nil {
			return err
		}
		// The host is the one on record, were another chosen this time (PROXY-67).
		host.ID.Partition = row.host
		instance = &Instance{
			Name: name, Partition: host, SoftwareType: host.SoftwareType,
			State: string(slap.StateStarted), Parameters: parameters, ConnectionXML: row.connection,
		}
		instance.Connection, err = decode(row.connection, "connection parameters of "+row.reference)
		return err
	})
	return instance, err
}

// enlist puts the entry of a shared instance in its host's list, or takes it
// out of there.
func (t *transaction) enlist(ctx context.Context, host *Partition, name Name, order Order) error {
	list, err := host.SharedList()
	if err != nil {
		return err
	}
	reference := name.Reference()
	entry := slap.Dict{sharedTitle: reference, sharedType: order.SoftwareType, sharedReference: reference}
	maps.Copy(entry, order.Parameters)
	at := slices.IndexFunc(list, func(item any) bool { return entryText(item, sharedReference) == reference })
	changed := true
	switch {
	case order.State == slap.StateDestroyed:
		changed = at >= 0
		list = slices.DeleteFunc(list, func(item any) bool { return entryText(item, sharedReference) == reference })
	case at < 0:
		list = append(list, entry)
	default:
		if changed, err = differ(list[at], entry); err != nil {
			return err
		}
		list[at] = entry
	}
	if !changed {
		return nil
	}
	text, err := slap.Marshal(list)
	if err != nil {
		return fmt.Errorf("shared instance %s: %w", reference, err)
	}
	_, err = t.write(ctx, host.ID.Computer,
		"UPDATE partition18 SET slave_instance_list = $1, timestamp = $2 WHERE reference = $3 AND computer_reference = $4",
		string(text), t.time, host.ID.Partition, host.ID.Computer)
	return err
}

func differ(a, b any) (bool, error) {
	former, err := slap.Marshal(a)
	if err != nil {
		return false, err
	}
	current, err := slap.Marshal(b)
	return !bytes.Equal(former, current), err
}

// recordShared keeps the row of a shared instance, which outlives its entry.
func (t *transaction) recordShared(ctx context.Context, host *Partition, name Name, requester Requester) (*sharedRow, error) {
	reference := name.Reference()
	row, err := t.shared(ctx, "WHERE reference = $1 AND computer_reference = $2", reference, host.ID.Computer)
	switch {
	case err != nil:
	case row == nil:
		row = &sharedRow{reference: reference, computer: host.ID.Computer, host: host.ID.Partition, requester: requester.ID}
		err = t.note(ctx, "INSERT INTO slave18 (reference, computer_reference, hosted_by, requester_id) VALUES ($1, $2, $3, $4)",
			reference, host.ID.Computer, host.ID.Partition, requester.ID)
	case row.requester != requester.ID:
		err = t.note(ctx, "UPDATE slave18 SET requester_id = $1 WHERE reference = $2 AND computer_reference = $3",
			requester.ID, reference, host.ID.Computer)
	}
	return row, err
}

// entryText is a text of an entry of a host's list.
func entryText(item any, key string) string {
	entry, _ := item.(slap.Dict)
	text, _ := entry[key].(string)
	return text
}

// entryOf finds the entry of a shared instance in its host's list.
func entryOf(host *Partition, reference string) (slap.Dict, error) {
	list, err := host.SharedList()
	if err != nil {
		return nil, err
	}
	for _, item := range list {
		if entryText(item, sharedReference) == reference {
			return item.(slap.Dict), nil
		}
	}
	return nil, ErrNotFound
}

// ownParameters are those of an entry that the store didn't add.
func ownParameters(entry slap.Dict) slap.Dict {
	parameters := maps.Clone(entry)
	delete(parameters, sharedTitle)
	delete(parameters, sharedReference)
	delete(parameters, sharedType)
	return parameters
}

// nameShared takes a reference "<root title>_<title>" apart. Titles may hold
// an underscore: the requester knows its root; when it is gone, the first
// underscore is taken.
func (s *session) nameShared(ctx context.Context, row sharedRow) (Name, error) {
	requester, err := s.at(ctx, slap.PartitionID{Computer: row.computer, Partition: row.requester})
	if err != nil {
		return Name{}, err
	}
	if requester != nil && requester.RootTitle() != "" {
		if title, ok := strings.CutPrefix(row.reference, requester.RootTitle()+"_"); ok {
			return Name{Title: title, Root: requester.RootTitle(), Shared: true}, nil
		}
	}
	root, title, _ := strings.Cut(row.reference, "_")
	return Name{Title: title, Root: root, Shared: true}, nil
}
