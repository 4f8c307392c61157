// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"fmt"

	"slapos/slap"
)

// Instance implements [Instances].
func (d *Database) Instance(ctx context.Context, subject Subject) (instance *Instance, err error) {
	err = d.read(ctx, func(ctx context.Context, s *session) error {
		if reference, shared := subject.shared(); shared {
			instance, err = s.sharedBy(ctx, subject, reference)
			return err
		}
		p, err := s.owned(ctx, subject)
		if err != nil {
			return err
		}
		if err := s.addresses(ctx, p); err != nil {
			return err
		}
		instance, err = decoded(p)
		return err
	})
	return instance, err
}

// instance gives a partition the form of an instance.
func (p *Partition) instance() *Instance {
	return &Instance{Name: p.Name(), Partition: p, State: p.State, SoftwareType: p.SoftwareType, ConnectionXML: p.Connection}
}

// decoded is the instance in a partition with its parameters.
func decoded(p *Partition) (*Instance, error) {
	instance := p.instance()
	var err error
	if instance.Parameters, err = p.ParameterDict(); err != nil {
		return nil, err
	}
	instance.Connection, err = p.ConnectionDict()
	return instance, err
}

// Publish implements [Instances].
func (d *Database) Publish(ctx context.Context, subject Subject, connection slap.Dict) error {
	document, err := slap.EncodeInstance(connection)
	if err != nil {
		return fmt.Errorf("connection parameters of %s: %w", subject, err)
	}
	return d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		if reference, shared := subject.shared(); shared {
			return t.publishShared(ctx, reference, string(document))
		}
		p, err := t.owned(ctx, subject)
		if err != nil {
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
	p.Connection = &document
	if err := t.set(ctx, p, "connection_xml"); err != nil {
		return err
	}
	if err := t.event(ctx, p.event(EventPublished)); err != nil {
		return err
	}
	return t.touch(ctx, slap.PartitionID{Computer: p.ID.Computer, Partition: p.Requester})
}

// touch makes a partition be processed again.
func (t *transaction) touch(ctx context.Context, id slap.PartitionID) error {
	if id.Partition == "" {
		return nil
	}
	return t.set(ctx, &Partition{ID: id, Timestamp: &t.time}, "timestamp")
}

// SetState implements [Instances].
func (d *Database) SetState(ctx context.Context, subject Subject, state slap.State) error {
	reference, shared := subject.shared()
	if shared && state != slap.StateDestroyed {
		return fmt.Errorf("shared instance %s: %w", subject, &StateError{state})
	}
	return d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		if shared {
			return t.dismissShared(ctx, reference)
		}
		p, err := t.owned(ctx, subject)
		if err != nil {
			return err
		}
		return t.setState(ctx, p, state)
	})
}

func (t *transaction) setState(ctx context.Context, p *Partition, state slap.State) error {
	requested := *p
	if requested.State = string(state); requested.Parameters == nil {
		none := noParameters
		requested.Parameters = &none
	}
	return t.update(ctx, p, requested)
}

// Banged implements [History].
func (d *Database) Banged(ctx context.Context, computer, message string) error {
	return d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		if err := t.known(ctx, computer); err != nil && computer != d.options.Computer {
			return err
		}
		return t.event(ctx, Event{Computer: computer, Kind: KindNode, Event: EventBang, Message: message})
	})
}

// Bang implements [Instances]. All time stamps are the same (PROXY-42).
func (d *Database) Bang(ctx context.Context, subject Subject, reach Reach, message string) error {
	if err := alone(subject); err != nil {
		return err
	}
	return d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		p, err := t.partition(ctx, subject)
		if err != nil {
			return err
		}
		// One that is given by name need not exist: those below it may.
		name, given := subject.(Name)
		if !given {
			if p == nil {
				return ErrNotFound
			}
			name = p.Name()
		}
		if reach == Tree {
			name = name.tree()
		}
		if err := t.bang(ctx, name, reach); err != nil || p == nil {
			return err
		}
		e := p.event(EventBang)
		e.Message = message
		return t.event(ctx, e)
	})
}

func (t *transaction) bang(ctx context.Context, name Name, reach Reach) error {
	if name.Title == "" {
		return ErrNotFound
	}
	banged, err := t.write(ctx, "", "UPDATE partition18 SET timestamp = $1 WHERE partition_reference = $2 AND requested_by = $3",
		t.time, name.Title, name.Root)
	if err == nil && reach != Alone {
		// Those below are there even when the root has another title by now.
		var below int64
		below, err = t.write(ctx, "", "UPDATE partition18 SET timestamp = $1 WHERE requested_by = $2 AND requested_by <> ''", t.time, name.Title)
		banged += below
	}
	if err == nil && banged == 0 {
		err = ErrNotFound
	}
	return err
}

// Rename implements [Instances].
func (d *Database) Rename(ctx context.Context, subject Subject, title string, reach Reach) error {
	if err := alone(subject); err != nil {
		return err
	}
	if err := checkText("title", title); err != nil {
		return err
	}
	return d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		if reach != Alone {
			p, err := t.owned(ctx, subject)
			if err != nil {
				return err
			}
			if p.Root == "" && p.Title != "" {
				if _, err := t.write(ctx, "", "UPDATE partition18 SET requested_by = $1 WHERE requested_by = $2 AND requested_by <> ''",
					title, p.Title); err != nil {
					return err
				}
			}
		}
		p, err := t.owned(ctx, subject)
		if err != nil {
			return err
		}
		condition, args := subject.where()
		if _, err := t.write(ctx, subject.computer(), "UPDATE partition18 SET partition_reference = $3 "+condition, append(args[:], title)...); err != nil || p.Title == title {
			return err
		}
		e := p.event(EventRenamed)
		e.Title, e.Message = title, "it was "+p.Title
		return t.event(ctx, e)
	})
}

// Destroy implements [Instances].
func (d *Database) Destroy(ctx context.Context, subject Subject) (waiting []string, err error) {
	if err := alone(subject); err != nil {
		return nil, err
	}
	err = d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		p, err := t.owned(ctx, subject)
		if err != nil {
			return err
		}
		if waiting, err = t.destroy(ctx, p); err != nil || len(waiting) > 0 {
			return err
		}
		return d.forgetRelated(ctx, t, p.ID)
	})
	return waiting, err
}

// destroy frees a partition, or asks what it is the root of to go first
// (PROXY-44).
func (t *transaction) destroy(ctx context.Context, p *Partition) (waiting []string, err error) {
	if p.Root == "" && p.Title != "" {
		descendants, err := partitionTable.read(ctx, t.session,
			"WHERE requested_by = $1 AND requested_by <> '' ORDER BY partition_reference", p.Title)
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
	if _, err = t.write(ctx, p.ID.Computer, freeing(), p.ID.Partition, p.ID.Computer); err != nil || !p.Busy {
		return nil, err
	}
	if err := t.forget(ctx, reportKey{p.ID.Computer, KindInstance, p.ID.Partition}); err != nil {
		return nil, err
	}
	return nil, t.event(ctx, p.event(EventDestroyed))
}
