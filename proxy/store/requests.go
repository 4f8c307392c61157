// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"slapos/slap"
)

// Resolve implements [Requests].
func (d *Database) Resolve(ctx context.Context, order Order) (r Resolved, err error) {
	err = d.read(ctx, func(ctx context.Context, s *session) error {
		if r.Requester, err = s.requester(ctx, order); err != nil {
			return err
		}
		if order.Shared {
			row, err := s.sharedOn(ctx, Name{Title: order.Reference, Root: r.Root}.Reference(), d.computerOf(order))
			r.Allocated = row != nil
			return err
		}
		p, err := s.partition(ctx, Name{Title: order.Reference, Root: r.Root})
		r.Allocated = p != nil
		return err
	})
	return r, err
}

// requester looks at the Authorization header first, then at the form; an
// unknown partition in the form counts as a person (PROXY-60).
func (s *session) requester(ctx context.Context, order Order) (Requester, error) {
	r, err := s.anyRequester(ctx, order)
	if err == nil && order.OnlyPartition && r.Root == "" {
		id := order.Requester
		if order.Authorized != nil {
			id = *order.Authorized
		}
		return r, &RequesterError{id}
	}
	return r, err
}

func (s *session) anyRequester(ctx context.Context, order Order) (Requester, error) {
	r := Requester{ID: order.requesterID()}
	if order.Authorized != nil {
		p, err := s.partition(ctx, At(*order.Authorized))
		if err != nil {
			return r, err
		}
		if p == nil {
			return r, &RequesterError{*order.Authorized}
		}
		if r.Root = p.RootTitle(); r.Root != "" {
			return r, nil
		}
	}
	if order.Requester.Partition == "" {
		return r, nil
	}
	p, err := s.partition(ctx, At(order.Requester))
	if p != nil {
		r.Root = p.RootTitle()
	}
	return r, err
}

// computerOf is where a new instance goes (PROXY-61).
func (d *Database) computerOf(order Order) string {
	if computer, ok := order.Filter["computer_guid"].(string); ok {
		return computer
	}
	return d.options.Computer
}

// Request implements [Requests].
func (d *Database) Request(ctx context.Context, order Order) (instance *Instance, err error) {
	if err := order.check(); err != nil {
		return nil, err
	}
	document, err := slap.EncodeInstance(order.Parameters)
	if err != nil {
		return nil, fmt.Errorf("parameters of %s: %w", order.Reference, err)
	}
	request := d.requestOwn
	if order.Shared {
		request = d.requestShared
	}
	err = d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		instance, err = request(ctx, t, order, string(document))
		return err
	})
	var unplaced *AllocationError
	if errors.As(err, &unplaced) {
		if failure := d.noteRefused(ctx, order, unplaced.Reason); failure != nil {
			d.options.Logger.Warn("What happened can't be kept", "error", lineError{failure})
		}
	}
	return instance, err
}

// noteRefused adds an event for a request that can't be placed, unless the last
// one of that title says the same: it is made again and again.
func (d *Database) noteRefused(ctx context.Context, order Order, reason string) error {
	e := Event{Computer: d.computerOf(order), Kind: KindInstance, Title: messageOf(order.Reference), Event: EventRefused,
		State: messageOf(string(order.State)), Message: messageOf(reason)}
	var keeps bool
	var last Event
	err := d.read(ctx, func(ctx context.Context, s *session) (err error) {
		keeps, err = d.keepsHistory(ctx, s)
		if err != nil {
			return err
		}
		if err := s.known(ctx, e.Computer); errors.Is(err, ErrNotFound) {
			// The names of computers that don't exist are without number.
			e.Message = messageOf("there is no computer " + e.Computer + ": " + reason)
			e.Computer = ""
		} else if err != nil {
			return err
		}
		if keeps {
			_, err = s.row(ctx, "SELECT event, message FROM event18 WHERE title = $1 AND title <> '' ORDER BY id DESC LIMIT 1",
				[]any{e.Title}, text{&last.Event}, text{&last.Message})
		}
		return err
	})
	if err != nil || last.Event == EventRefused && last.Message == e.Message {
		return err
	}
	return d.writer.do(ctx, func(ctx context.Context, t *transaction) error { return t.event(ctx, e) })
}

// requestOwn requests an instance with its own partition.
func (d *Database) requestOwn(ctx context.Context, t *transaction, order Order, document string) (*Instance, error) {
	requester, err := t.requester(ctx, order)
	if err != nil {
		return nil, err
	}
	p, err := t.partition(ctx, Name{Title: order.Reference, Root: requester.Root})
	if err != nil {
		return nil, err
	}
	softwareType, state := order.SoftwareType, string(order.State)
	if p == nil {
		if p, err = t.allocate(ctx, d.computerOf(order), order.Reference, requester); err != nil {
			return nil, err
		}
		if softwareType == "" {
			softwareType = slap.DefaultSoftwareType
		}
	} else if state, err = t.claim(ctx, p, requester, state); err != nil {
		return nil, err
	}
	requested := *p
	requested.SoftwareRelease, requested.SoftwareType, requested.Parameters = order.SoftwareRelease, softwareType, &document
	if state != "" {
		requested.State = state
	}
	if err := t.update(ctx, p, requested); err != nil {
		return nil, err
	}
	if err := t.addresses(ctx, p); err != nil {
		return nil, err
	}
	instance, err := decoded(p)
	if err != nil {
		return nil, err
	}
	// The answer to a request that names no state is always started (PROXY-64).
	if instance.State = state; state == "" {
		instance.State = string(DefaultState)
	}
	return instance, nil
}

// noParameters is the document of an instance that has none.
const noParameters = "<?xml version='1.0' encoding='utf-8'?>\n<instance/>\n"

// allocate takes the first free partition of a computer.
func (t *transaction) allocate(ctx context.Context, computer, title string, requester Requester) (*Partition, error) {
	p, err := partitionTable.first(ctx, t.session, "WHERE computer_reference = $1 AND slap_state = 'free'", computer)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, &AllocationError{"No free computer partition found for: " + title}
	}
	p.Busy, p.Title, p.Root, p.Requester = true, title, requester.Root, requester.ID
	return p, t.set(ctx, p, "slap_state", "partition_reference", "requested_by", "requester_id")
}

// claim records who last requested an existing instance (PROXY-52). The state
// that it returns is no more alive than the root of the tree (PROXY-63).
func (t *transaction) claim(ctx context.Context, p *Partition, requester Requester, state string) (string, error) {
	if requester.Root != "" {
		root, err := t.partition(ctx, Name{Title: requester.Root})
		if err != nil {
			return "", err
		}
		if root != nil && root.State != string(slap.StateStarted) {
			state = root.State
		}
	}
	if p.Requester == requester.ID {
		return state, nil
	}
	p.Requester = requester.ID
	// No answer of Node holds the requester.
	return state, t.note(ctx, "UPDATE partition18 SET requester_id = $1 WHERE reference = $2 AND computer_reference = $3",
		requester.ID, p.ID.Partition, p.ID.Computer)
}

// forwardedRow is a request that went on to another master.
type forwardedRow struct{ name, master string }

var forwardedTable = table[forwardedRow]{name: "forwarded_partition_request18", order: "partition_reference, master_url", columns: []column[forwardedRow]{
	{name: "partition_reference", at: func(r *forwardedRow) cell { return text{&r.name} }},
	{name: "master_url", at: func(r *forwardedRow) cell { return text{&r.master} }},
}}

// Forwarded implements [Requests].
func (d *Database) Forwarded(ctx context.Context, name, masterURL string, state slap.State) error {
	row := forwardedRow{name: name, master: masterURL}
	statement := forwardedTable.insertion() + " ON CONFLICT (partition_reference, master_url) DO NOTHING"
	if state == slap.StateDestroyed {
		statement = "DELETE FROM " + forwardedTable.name + " WHERE partition_reference = $1 AND master_url = $2"
	}
	return d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		return t.note(ctx, statement, forwardedTable.values(&row)...)
	})
}

// host finds the partition for a shared instance (PROXY-65).
func (t *transaction) host(ctx context.Context, computer string, order Order) (*Partition, error) {
	condition := "WHERE software_release = $1 AND computer_reference = $2"
	args := []any{order.SoftwareRelease, computer}
	reason := []any{order.SoftwareRelease, computer}
	if order.SoftwareType != "" {
		args = append(args, order.SoftwareType)
		reason = append(reason, order.SoftwareType)
		condition += fmt.Sprintf(" AND software_type = $%d", len(args))
	}
	if guid, ok := order.Filter["instance_guid"].(string); ok {
		partition := guid
		if strings.HasPrefix(guid, computer+"-") {
			partition = guid[len(computer)+1:]
		}
		args = append(args, partition)
		reason = append(reason, partition)
		condition += fmt.Sprintf(" AND reference = $%d", len(args))
	}
	p, err := partitionTable.first(ctx, t.session, condition, args...)
	if err == nil && p == nil {
		err = &AllocationError{"No partition corresponding to slave request: " + slap.PythonRepr(reason)}
	}
	return p, err
}
