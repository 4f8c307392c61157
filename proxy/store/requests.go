// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"fmt"
	"strings"

	"slapos/slap"
)

// Requester implements [Requests].
func (d *Database) Requester(ctx context.Context, order Order) (r Requester, err error) {
	err = d.read(ctx, func(ctx context.Context, s *session) error {
		r, err = s.requester(ctx, order)
		return err
	})
	return r, err
}

// requester looks at the Authorization header first, then at the form; an
// unknown partition in the form counts as a person (PROXY-60).
func (s *session) requester(ctx context.Context, order Order) (Requester, error) {
	r := Requester{ID: order.requesterID()}
	if order.Authorized != nil {
		p, err := s.at(ctx, *order.Authorized)
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
	p, err := s.at(ctx, order.Requester)
	if p != nil {
		r.Root = p.RootTitle()
	}
	return r, err
}

// Allocated implements [Requests].
func (d *Database) Allocated(ctx context.Context, order Order) (allocated bool, err error) {
	err = d.read(ctx, func(ctx context.Context, s *session) error {
		r, err := s.requester(ctx, order)
		if err != nil {
			return err
		}
		if order.Shared {
			row, err := s.shared(ctx, "WHERE reference = $1 AND computer_reference = $2",
				Name{Title: order.Reference, Root: r.Root}.Reference(), d.computerOf(order))
			allocated = row != nil
			return err
		}
		p, err := s.allocated(ctx, order.Reference, r.Root)
		allocated = p != nil
		return err
	})
	return allocated, err
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
	err = d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		requester, err := t.requester(ctx, order)
		if err != nil {
			return err
		}
		p, err := t.allocated(ctx, order.Reference, requester.Root)
		if err != nil {
			return err
		}
		wanted := wish{string(order.State), order.SoftwareRelease, order.SoftwareType, string(document)}
		if p == nil {
			if p, err = t.allocate(ctx, d.computerOf(order), order.Reference, requester); err != nil {
				return err
			}
			if wanted.softwareType == "" {
				wanted.softwareType = slap.DefaultSoftwareType
			}
		} else if err := t.claim(ctx, p, requester, &wanted); err != nil {
			return err
		}
		if err := t.update(ctx, p, wanted); err != nil {
			return err
		}
		if err := t.addresses(ctx, p); err != nil {
			return err
		}
		instance, err = instanceOf(p)
		if err != nil {
			return err
		}
		// Of one whose state nobody cares for, started is said (PROXY-64).
		instance.State = wanted.state
		if instance.State == "" {
			instance.State = string(slap.StateStarted)
		}
		return nil
	})
	return instance, err
}

// noParameters is the document of an instance that has none.
const noParameters = "<?xml version='1.0' encoding='utf-8'?>\n<instance/>\n"

// wish is what a request wants an instance to be.
type wish struct{ state, release, softwareType, parameters string }

// allocate takes the first free partition of a computer.
func (t *transaction) allocate(ctx context.Context, computer, title string, requester Requester) (*Partition, error) {
	p, err := t.first(ctx, "WHERE computer_reference = $1 AND slap_state = 'free'", computer)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, &AllocationError{"No free computer partition found for: " + title}
	}
	_, err = t.write(ctx, computer, `UPDATE partition18
		SET slap_state = 'busy', partition_reference = $1, requested_by = $2, requester_id = $3
		WHERE reference = $4 AND computer_reference = $5`,
		title, requester.Root, requester.ID, p.ID.Partition, p.ID.Computer)
	p.Busy, p.Title, p.Root, p.Requester = true, title, requester.Root, requester.ID
	return p, err
}

// claim notes who asked last for an instance that exists (PROXY-52), and lets
// it not be more alive than the root of its tree (PROXY-63).
func (t *transaction) claim(ctx context.Context, p *Partition, requester Requester, wanted *wish) error {
	if requester.Root != "" {
		root, err := t.allocated(ctx, requester.Root, "")
		if err != nil {
			return err
		}
		if root != nil && root.State != string(slap.StateStarted) {
			wanted.state = root.State
		}
	}
	if p.Requester == requester.ID {
		return nil
	}
	p.Requester = requester.ID
	// No answer of Node holds the requester.
	return t.note(ctx, "UPDATE partition18 SET requester_id = $1 WHERE reference = $2 AND computer_reference = $3",
		requester.ID, p.ID.Partition, p.ID.Computer)
}

// update writes what differs from the wish, and when (PROXY-51).
func (t *transaction) update(ctx context.Context, p *Partition, wanted wish) error {
	state := wanted.state
	if state == "" {
		state = p.State
	}
	same := p.State == state && p.SoftwareRelease == wanted.release && p.SoftwareType == wanted.softwareType &&
		p.Parameters != nil && *p.Parameters == wanted.parameters
	if same && p.Timestamp != nil {
		return nil
	}
	p.State, p.SoftwareRelease, p.SoftwareType = state, wanted.release, wanted.softwareType
	p.Parameters, p.Timestamp = &wanted.parameters, &t.time
	_, err := t.write(ctx, p.ID.Computer, `UPDATE partition18
		SET slap_state = 'busy', requested_state = $1, software_release = $2, software_type = $3, xml = $4, timestamp = $5
		WHERE reference = $6 AND computer_reference = $7`,
		state, wanted.release, wanted.softwareType, wanted.parameters, t.time, p.ID.Partition, p.ID.Computer)
	return err
}

// instanceOf gives a partition the form of an instance.
func instanceOf(p *Partition) (*Instance, error) {
	instance := &Instance{
		Name:      Name{Title: p.Title, Root: p.Root},
		Partition: p, State: p.State, SoftwareType: p.SoftwareType, ConnectionXML: p.Connection,
	}
	var err error
	if instance.Parameters, err = p.ParameterDict(); err != nil {
		return nil, err
	}
	instance.Connection, err = p.ConnectionDict()
	return instance, err
}

// SetForwarded implements [Requests].
func (d *Database) SetForwarded(ctx context.Context, name, masterURL string) error {
	return d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		return t.note(ctx, `INSERT INTO forwarded_partition_request18 (partition_reference, master_url) VALUES ($1, $2)
			ON CONFLICT (partition_reference, master_url) DO NOTHING`, name, masterURL)
	})
}

// UnsetForwarded implements [Requests].
func (d *Database) UnsetForwarded(ctx context.Context, name, masterURL string) error {
	return d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		return t.note(ctx, "DELETE FROM forwarded_partition_request18 WHERE partition_reference = $1 AND master_url = $2", name, masterURL)
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
	p, err := t.first(ctx, condition, args...)
	if err == nil && p == nil {
		err = &AllocationError{"No partition corresponding to slave request: " + slap.PythonRepr(reason)}
	}
	return p, err
}
