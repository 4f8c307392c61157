// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"
	"sync"

	"slapos/slap"
)

// Partition is a partition and the instance in it, if any.
type Partition struct {
	ID   slap.PartitionID
	Busy bool
	// SoftwareRelease, SoftwareType and Title are empty when free.
	SoftwareRelease string
	SoftwareType    string
	Title           string
	// Root is the title of the root of the tree, "" for a root.
	Root string
	// Requester is the partition that asked last, "user" when none did.
	Requester string
	State     string
	// Parameters and Connection are <instance> documents, nil when there are
	// none.
	Parameters *string
	Connection *string
	// Shared is the marshalled list of hosted shared instances, nil when it
	// never was a host.
	Shared *string
	// Timestamp is the time of the last change, in seconds since 1970; nil
	// when never set.
	Timestamp *float64
	Addresses []slap.Address
}

var partitionTable = table[Partition]{name: "partition18", order: "rowid", columns: []column[Partition]{
	{name: "reference", at: func(p *Partition) cell { return text{&p.ID.Partition} }},
	{name: "computer_reference", at: func(p *Partition) cell { return text{&p.ID.Computer} }},
	{name: "slap_state", at: func(p *Partition) cell { return busy{&p.Busy} }, freed: "'free'"},
	{name: "software_release", at: func(p *Partition) cell { return text{&p.SoftwareRelease} }, requested: true, freed: "NULL"},
	{name: "xml", at: func(p *Partition) cell { return optional[string]{&p.Parameters} }, requested: true, freed: "NULL"},
	{name: "connection_xml", at: func(p *Partition) cell { return optional[string]{&p.Connection} }, freed: "NULL"},
	{name: "slave_instance_list", at: func(p *Partition) cell { return optional[string]{&p.Shared} }, freed: "NULL"},
	{name: "software_type", at: func(p *Partition) cell { return text{&p.SoftwareType} }, requested: true, freed: "NULL"},
	{name: "partition_reference", at: func(p *Partition) cell { return text{&p.Title} }, freed: "NULL"},
	{name: "requested_by", at: func(p *Partition) cell { return text{&p.Root} }, freed: "''"},
	{name: "requester_id", at: func(p *Partition) cell { return text{&p.Requester} }, freed: "''"},
	{name: "requested_state", at: func(p *Partition) cell { return text{&p.State} }, requested: true, freed: "'started'"},
	{name: "timestamp", at: func(p *Partition) cell { return optional[float64]{&p.Timestamp} }},
}}

// busy is the state of a partition: anything but "free".
type busy struct{ *bool }

func (c busy) Scan(value any) error {
	var state string
	err := text{&state}.Scan(value)
	*c.bool = state != "free"
	return err
}

func (c busy) Value() (driver.Value, error) {
	if *c.bool {
		return "busy", nil
	}
	return "free", nil
}

// Name is the name of the instance in a partition.
func (p *Partition) Name() Name { return Name{Title: p.Title, Root: p.Root} }

// RootTitle is the title of the root of the tree, which may be the instance
// itself.
func (p *Partition) RootTitle() string { return p.Name().tree().Title }

// ParameterDict decodes the parameters.
func (p *Partition) ParameterDict() (slap.Dict, error) {
	return decode(p.Parameters, "parameters of "+p.ID.Partition)
}

// ConnectionDict decodes the connection parameters.
func (p *Partition) ConnectionDict() (slap.Dict, error) {
	return decode(p.Connection, "connection parameters of "+p.ID.Partition)
}

// SharedList decodes the list of hosted shared instances.
func (p *Partition) SharedList() ([]any, error) {
	if p.Shared == nil || *p.Shared == "" {
		return []any{}, nil
	}
	value, err := slap.Unmarshal([]byte(*p.Shared))
	if err != nil {
		return nil, fmt.Errorf("shared instances of %s: %w", p.ID.Partition, err)
	}
	list, ok := value.([]any)
	if !ok {
		return nil, fmt.Errorf("shared instances of %s: not a list", p.ID.Partition)
	}
	return list, nil
}

func decode(document *string, what string) (slap.Dict, error) {
	if document == nil {
		return slap.Dict{}, nil
	}
	dict, err := slap.DecodeInstance([]byte(*document))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return dict, nil
}

// set writes columns of a partition.
func (t *transaction) set(ctx context.Context, p *Partition, columns ...string) error {
	assignments, values := partitionTable.assignments(p, columns...)
	n := len(values)
	_, err := t.write(ctx, p.ID.Computer, fmt.Sprintf("UPDATE partition18 SET %s WHERE reference = $%d AND computer_reference = $%d",
		assignments, n+1, n+2), append(values, p.ID.Partition, p.ID.Computer)...)
	return err
}

// requestedColumns are the columns that a request sets.
var requestedColumns = sync.OnceValue(func() (names []string) {
	for _, c := range partitionTable.columns {
		if c.requested {
			names = append(names, c.name)
		}
	}
	return names
})

// fits reports whether a partition has everything that is requested.
func (p *Partition) fits(requested *Partition) bool {
	for _, c := range partitionTable.columns {
		if c.requested {
			// Values of cells are comparable, and reading them can't fail.
			former, _ := c.at(p).Value()
			current, _ := c.at(requested).Value()
			if former != current {
				return false
			}
		}
	}
	return true
}

// update makes a partition what is requested, and notes when (PROXY-51).
func (t *transaction) update(ctx context.Context, p *Partition, requested Partition) error {
	if p.Timestamp != nil && p.fits(&requested) {
		return nil
	}
	e := requested.event(EventChanged)
	if e.State, e.Message = requested.State, p.changed(&requested); p.SoftwareRelease == "" {
		e.Event, e.Message = EventRequested, requested.SoftwareRelease
	}
	requested.Busy, requested.Timestamp = true, &t.time
	*p = requested
	if err := t.set(ctx, p, append([]string{"slap_state", "timestamp"}, requestedColumns()...)...); err != nil {
		return err
	}
	return t.event(ctx, e)
}

// event is one about the instance in a partition.
func (p *Partition) event(what string) Event {
	return Event{Computer: p.ID.Computer, Kind: KindInstance, Subject: p.ID.Partition, Title: p.Title, Root: p.Root, Event: what}
}

// changed names what is requested otherwise, never the values of parameters.
func (p *Partition) changed(requested *Partition) string {
	var changes []string
	if p.State != requested.State {
		changes = append(changes, "state "+requested.State)
	}
	if p.SoftwareRelease != requested.SoftwareRelease {
		changes = append(changes, "release "+requested.SoftwareRelease)
	}
	if p.SoftwareType != requested.SoftwareType {
		changes = append(changes, "type "+requested.SoftwareType)
	}
	if (p.Parameters == nil) != (requested.Parameters == nil) || p.Parameters != nil && *p.Parameters != *requested.Parameters {
		changes = append(changes, "parameters")
	}
	return strings.Join(changes, ", ")
}

// freeing is the text that frees a partition.
var freeing = sync.OnceValue(func() string {
	var columns []string
	for _, c := range partitionTable.columns {
		if c.freed != "" {
			columns = append(columns, c.name+" = "+c.freed)
		}
	}
	return "UPDATE partition18 SET " + strings.Join(columns, ", ") + " WHERE reference = $1 AND computer_reference = $2"
})

// addresses completes a partition.
func (s *session) addresses(ctx context.Context, p *Partition) error {
	rows, err := addressTable.read(ctx, s, "WHERE computer_reference = $1 AND partition_reference = $2 ORDER BY rowid", p.ID.Computer, p.ID.Partition)
	p.Addresses = []slap.Address{}
	for _, row := range rows {
		p.Addresses = append(p.Addresses, slap.Address{Interface: row.Interface, IP: row.Address})
	}
	return err
}

// allAddresses completes all partitions of a computer, with the three columns
// that it needs: a full node has thousands of rows.
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
