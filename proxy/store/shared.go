// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"bytes"
	"context"
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

var sharedTable = table[sharedRow]{name: "slave18", order: "rowid", columns: []column[sharedRow]{
	{name: "reference", at: func(r *sharedRow) cell { return text{&r.reference} }},
	{name: "computer_reference", at: func(r *sharedRow) cell { return text{&r.computer} }},
	{name: "connection_xml", at: func(r *sharedRow) cell { return optional[string]{&r.connection} }},
	{name: "hosted_by", at: func(r *sharedRow) cell { return text{&r.host} }},
	{name: "requester_id", at: func(r *sharedRow) cell { return text{&r.requester} }},
}}

// sharedOn reads the row of a shared instance on a computer, nil without one.
func (s *session) sharedOn(ctx context.Context, reference, computer string) (*sharedRow, error) {
	return sharedTable.first(ctx, s, "WHERE reference = $1 AND computer_reference = $2", reference, computer)
}

// sharedAnywhere reads the first row of a shared instance.
func (s *session) sharedAnywhere(ctx context.Context, reference Reference) (*sharedRow, error) {
	row, err := sharedTable.first(ctx, s, "WHERE reference = $1", reference.Text)
	if err == nil && row == nil {
		err = ErrNotFound
	}
	return row, err
}

// sharedBy reads a shared instance, which has the name that it was asked by.
func (s *session) sharedBy(ctx context.Context, subject Subject, reference Reference) (*Instance, error) {
	row, err := s.sharedAnywhere(ctx, reference)
	if err != nil {
		return nil, err
	}
	name, given := subject.(Name)
	if !given {
		if name, err = s.nameShared(ctx, *row); err != nil {
			return nil, err
		}
	}
	return s.sharedInstance(ctx, row, name)
}

// sharedInstance joins a row with its entry in the host's list. When either is
// missing, the instance lacks what they say, and the error is ErrNoHost or
// ErrNotFound.
func (s *session) sharedInstance(ctx context.Context, row *sharedRow, name Name) (*Instance, error) {
	instance := &Instance{Name: name, State: string(slap.StateStarted), ConnectionXML: row.connection}
	var err error
	if instance.Connection, err = decode(row.connection, "connection parameters of "+row.reference); err != nil {
		return nil, err
	}
	if instance.Partition, err = s.partition(ctx, At{Computer: row.computer, Partition: row.host}); err != nil {
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

// requestShared adds, updates or (state destroyed) removes a shared instance
// on a host.
func (d *Database) requestShared(ctx context.Context, t *transaction, order Order, document string) (*Instance, error) {
	// The answer went through the document, and is text (SLAP-27).
	parameters, err := slap.DecodeInstance([]byte(document))
	if err != nil {
		return nil, fmt.Errorf("parameters of %s: %w", order.Reference, err)
	}
	requester, err := t.requester(ctx, order)
	if err != nil {
		return nil, err
	}
	name := Name{Title: order.Reference, Root: requester.Root, Shared: true}
	host, err := t.host(ctx, d.computerOf(order), order)
	if err != nil {
		return nil, err
	}
	if err := t.enlist(ctx, host, name.Reference(), name, order.Request); err != nil {
		return nil, err
	}
	row, err := t.recordShared(ctx, host, name, requester)
	if err != nil {
		return nil, err
	}
	if err := t.addresses(ctx, host); err != nil {
		return nil, err
	}
	// The host is the one on record, were another chosen this time (PROXY-67).
	host.ID.Partition = row.host
	instance := &Instance{
		Name: name, Partition: host, SoftwareType: host.SoftwareType,
		State: string(slap.StateStarted), Parameters: parameters, ConnectionXML: row.connection,
	}
	instance.Connection, err = decode(row.connection, "connection parameters of "+row.reference)
	return instance, err
}

// dismissShared takes a shared instance from the list of its host.
func (t *transaction) dismissShared(ctx context.Context, reference Reference) error {
	row, err := t.sharedAnywhere(ctx, reference)
	if err != nil {
		return err
	}
	host, err := t.partition(ctx, At{Computer: row.computer, Partition: row.host})
	if err != nil {
		return err
	}
	if host == nil {
		return ErrNoHost
	}
	name, err := t.nameShared(ctx, *row)
	if err != nil {
		return err
	}
	return t.enlist(ctx, host, reference.Text, name, slap.Request{State: slap.StateDestroyed})
}

// publishShared stores the connection parameters of a shared instance
// (PROXY-41).
func (t *transaction) publishShared(ctx context.Context, reference Reference, document string) error {
	rows, err := sharedTable.read(ctx, t.session, "WHERE reference = $1 ORDER BY rowid", reference.Text)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return ErrNotFound
	}
	for i, row := range rows {
		at := reference.Host
		if at == "" {
			at = row.host
		}
		changed := row.connection == nil || *row.connection != document
		if !changed && row.host == at {
			continue
		}
		// Every row with that reference is notified, the first one's requester as well.
		if err := t.note(ctx, "UPDATE slave18 SET connection_xml = $1, hosted_by = $2 WHERE reference = $3 AND computer_reference = $4",
			document, at, reference.Text, row.computer); err != nil {
			return err
		}
		if changed && i == 0 {
			if err := t.touch(ctx, slap.PartitionID{Computer: row.computer, Partition: row.requester}); err != nil {
				return err
			}
		}
	}
	return nil
}

// enlist puts the entry of a shared instance in its host's list, or takes it
// out of there.
func (t *transaction) enlist(ctx context.Context, host *Partition, reference string, name Name, order slap.Request) error {
	list, err := host.SharedList()
	if err != nil {
		return err
	}
	entry := slap.Dict{sharedTitle: reference, sharedType: order.SoftwareType, sharedReference: reference}
	maps.Copy(entry, order.Parameters)
	at := slices.IndexFunc(list, func(item any) bool { return entryText(item, sharedReference) == reference })
	changed := true
	e := Event{Computer: host.ID.Computer, Kind: KindShared, Subject: reference, Title: name.Title, Root: name.Root,
		Event: EventChanged, State: string(slap.StateStarted), Message: "parameters"}
	switch {
	case order.State == slap.StateDestroyed:
		e.State, e.Message = string(slap.StateDestroyed), "state destroyed"
		changed = at >= 0
		list = slices.DeleteFunc(list, func(item any) bool { return entryText(item, sharedReference) == reference })
	case at < 0:
		e.Event, e.Message = EventRequested, host.SoftwareRelease
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
	document, err := slap.Marshal(list)
	if err != nil {
		return fmt.Errorf("shared instance %s: %w", reference, err)
	}
	// The timestamp in the answer is the one before this change.
	written := *host
	marshalled := string(document)
	written.Shared, written.Timestamp = &marshalled, &t.time
	if err := t.set(ctx, &written, "slave_instance_list", "timestamp"); err != nil {
		return err
	}
	return t.event(ctx, e)
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
	row, err := t.sharedOn(ctx, reference, host.ID.Computer)
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
	requester, err := s.partition(ctx, At{Computer: row.computer, Partition: row.requester})
	if err != nil {
		return Name{}, err
	}
	if requester == nil {
		requester = &Partition{}
	}
	return splitShared(row.reference, requester.RootTitle()), nil
}

// splitShared is nameShared for a requester in the tree of that root.
func splitShared(reference, root string) Name {
	if root != "" {
		if title, ok := strings.CutPrefix(reference, root+"_"); ok {
			return Name{Title: title, Root: root, Shared: true}
		}
	}
	root, title, _ := strings.Cut(reference, "_")
	return Name{Title: title, Root: root, Shared: true}
}
