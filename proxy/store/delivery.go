// SPDX-License-Identifier: GPL-3.0-or-later

package store

import "context"

// Deliveries say how far events were delivered to others, each by its name. Of all
// programs that use a database, one delivers to a target at a time.
type Deliveries interface {
	// Claim gives an owner the right to deliver to a target for some seconds, unless
	// another one has it, or had it last and left nothing to deliver: then it writes
	// nothing. It returns the last event that was delivered. A target that is new begins
	// with the events after this call.
	Claim(ctx context.Context, target, owner string, seconds float64) (event int64, claimed bool, err error)
	// Delivered notes the last event that an owner has delivered, and prolongs its right;
	// without seconds it gives it up. It returns false if another one has it meanwhile.
	Delivered(ctx context.Context, target, owner string, event int64, seconds float64) (bool, error)
}

type deliveryRow struct {
	target string
	event  int64
	owner  string
	until  float64
}

var deliveryTable = table[deliveryRow]{name: "delivery18", order: "target", late: deliverySchema, columns: []column[deliveryRow]{
	{name: "target", at: func(r *deliveryRow) cell { return text{&r.target} }},
	{name: "event", at: func(r *deliveryRow) cell { return whole{&r.event} }},
	{name: "owner", at: func(r *deliveryRow) cell { return text{&r.owner} }},
	{name: "until", at: func(r *deliveryRow) cell { return number{&r.until} }},
}}

// Claim implements [Deliveries].
func (d *Database) Claim(ctx context.Context, target, owner string, seconds float64) (event int64, claimed bool, err error) {
	others := false
	err = d.look(ctx, func(ctx context.Context, s *session) error {
		event, others = 0, false
		if exists, err := d.hasTable(ctx, s, deliveryTable.name); err != nil || !exists {
			return err
		}
		var holder string
		var until float64
		var newest int64
		_, err := s.row(ctx, "SELECT event, owner, until, (SELECT COALESCE(max(id), 0) FROM event18) FROM delivery18 WHERE target = $1",
			[]any{target}, &event, &holder, &until, &newest)
		others = holder != "" && holder != owner && (until > d.seconds() || event == newest)
		return err
	})
	if err != nil || others {
		return event, false, err
	}
	err = d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		event, claimed = 0, false
		// History first, whose numbers it is about.
		if keep, err := t.keep(ctx); err != nil || !keep {
			return err
		}
		if d.dialect.file != "" {
			if err := t.script(ctx, deliverySchema); err != nil {
				return err
			}
		}
		rows, err := deliveryTable.read(ctx, t.session, "WHERE target = $1", target)
		if err != nil {
			return err
		}
		var newest int64
		if _, err := t.row(ctx, "SELECT COALESCE(max(id), 0) FROM event18", nil, &newest); err != nil {
			return err
		}
		row := &deliveryRow{target: target, event: newest}
		if len(rows) > 0 {
			row = rows[0]
		}
		if row.owner != owner && row.until > t.time {
			return nil
		}
		// Numbers never go back, unless somebody emptied the table.
		event, claimed = min(row.event, newest), true
		row.owner, row.until, row.event = owner, t.time+seconds, event
		return t.note(ctx, deliveryTable.insertion()+` ON CONFLICT (target) DO UPDATE SET
			event = excluded.event, owner = excluded.owner, until = excluded.until`, deliveryTable.values(row)...)
	})
	return event, claimed, err
}

// Delivered implements [Deliveries].
func (d *Database) Delivered(ctx context.Context, target, owner string, event int64, seconds float64) (ours bool, err error) {
	err = d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		n, err := t.noted(ctx, "UPDATE delivery18 SET event = $1, until = $2 WHERE target = $3 AND owner = $4", event, t.time+seconds, target, owner)
		ours = n > 0
		return err
	})
	return ours, err
}
