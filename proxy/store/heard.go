// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"slices"
	"strconv"
	"strings"
)

// Heard is when a node was last heard of, and the time between its passes as
// far as its calls tell; Period is 0 while they don't.
type Heard struct {
	Computer string
	Time     float64
	Period   float64
}

var heardTable = table[Heard]{name: "heard18", order: "computer_reference", late: historySchema, columns: []column[Heard]{
	{name: "computer_reference", at: func(h *Heard) cell { return text{&h.Computer} }},
	{name: "time", at: func(h *Heard) cell { return number{&h.Time} }},
	{name: "period", at: func(h *Heard) cell { return number{&h.Period} }},
}}

// The bounds of a period in seconds, and what it is taken for until two passes
// are known.
const (
	minimumPeriod = 60
	maximumPeriod = 24 * 3600
	unknownPeriod = 20 * 60
	// silence is how many periods a node may say nothing.
	silence = 3
	// maximumHeard bounds the memory for nodes.
	maximumHeard = 200_000
)

// Silent reports whether the node should have been heard of since.
func (h Heard) Silent(now float64) bool {
	period := h.Period
	if period == 0 {
		period = unknownPeriod
	}
	return now-h.Time > silence*period
}

// heardNode is what is known of a node, more than the database has.
type heardNode struct {
	Heard
	poll   float64 // when it last asked what to do
	unsaid bool    // the database has an older time
	silent bool    // an event says so
	back   float64 // when a silent node was heard of again, 0 for one that wasn't
}

// learn takes the time since the last pass into account: a longer one counts at
// once, but at most doubles the period, since the node may have been off;
// shorter ones shorten it little by little.
func (n *heardNode) learn(gap float64) {
	switch {
	case n.poll == 0 || gap <= 0:
		return
	case n.Period == 0:
		n.Period = gap
	case gap > n.Period:
		n.Period = min(gap, 2*n.Period)
	default:
		n.Period -= (n.Period - gap) / 8
	}
	n.Period = min(max(n.Period, minimumPeriod), maximumPeriod)
}

// Heard implements [History].
func (d *Database) Heard(computer string) { d.heard(computer, func(*heardNode, float64) {}) }

// Polled implements [History].
func (d *Database) Polled(computer string) { d.heard(computer, (*heardNode).polled) }

func (n *heardNode) polled(now float64) {
	n.learn(now - n.poll)
	n.poll = now
}

// heard notes a node that spoke, and what that tells besides.
func (d *Database) heard(computer string, note func(n *heardNode, now float64)) {
	if computer == "" {
		return
	}
	now := d.seconds()
	h := d.history
	h.mutex.Lock()
	defer h.mutex.Unlock()
	n := h.heard[computer]
	if n == nil {
		if len(h.heard) >= maximumHeard {
			return
		}
		n = &heardNode{Heard: Heard{Computer: computer}}
		h.heard[computer] = n
	} else if n.silent || n.Silent(now) {
		n.silent, n.back = false, now
	}
	note(n, now)
	n.Time, n.unsaid = now, true
	h.changes.Add(1)
}

// flushHeard writes when nodes were heard of, and events of those that fell
// silent or are back.
func (d *Database) flushHeard(ctx context.Context) error {
	now := d.seconds()
	var later, silent, back []Heard
	h := d.history
	h.mutex.Lock()
	for _, n := range h.heard {
		if n.unsaid {
			later = append(later, n.Heard)
			n.unsaid = false
		}
		if n.back > 0 {
			back = append(back, n.Heard)
			n.back = 0
		}
		// A master that was off itself heard of nobody.
		if !n.silent && n.Silent(now) && (Heard{Time: h.opened, Period: n.Period}).Silent(now) {
			silent = append(silent, n.Heard)
			n.silent = true
		}
	}
	h.mutex.Unlock()
	for _, list := range [][]Heard{later, silent, back} {
		slices.SortFunc(list, func(a, b Heard) int { return strings.Compare(a.Computer, b.Computer) })
	}
	// Others wait for the writer meanwhile: not all at once.
	for part := range slices.Chunk(later, 500) {
		if err := d.writer.do(ctx, func(ctx context.Context, t *transaction) error { return t.noteHeard(ctx, part) }); err != nil {
			return err
		}
	}
	if len(back) == 0 && len(silent) == 0 {
		return nil
	}
	return d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		for _, node := range back {
			if err := t.noteSilence(ctx, node, EventHeard); err != nil {
				return err
			}
		}
		for _, node := range silent {
			if err := t.noteSilence(ctx, node, EventSilent); err != nil {
				return err
			}
		}
		return nil
	})
}

// noteHeard writes when some nodes were heard of. Another master may have heard
// of them since, but in no future: then a clock was wrong.
func (t *transaction) noteHeard(ctx context.Context, nodes []Heard) error {
	if keep, err := t.keep(ctx); err != nil || !keep {
		return err
	}
	rows := make([][]any, len(nodes))
	for i, node := range nodes {
		rows[i] = heardTable.values(&node)
	}
	return t.insertNotes(ctx, heardTable.into(), rows, `ON CONFLICT (computer_reference) DO UPDATE
		SET time = excluded.time, period = excluded.period WHERE excluded.time > heard18.time OR heard18.time > `+strconv.FormatFloat(t.time, 'f', -1, 64))
}

// noteSilence adds an event about a node, unless its last one of this kind says
// the same or, with several masters, another one has heard of it.
func (t *transaction) noteSilence(ctx context.Context, node Heard, event string) error {
	if keep, err := t.keep(ctx); err != nil || !keep {
		return err
	}
	if event == EventSilent {
		if err := t.known(ctx, node.Computer); err != nil {
			return ignoreUnknown(err)
		}
		var heard float64
		if _, err := t.row(ctx, "SELECT time FROM heard18 WHERE computer_reference = $1", []any{node.Computer}, &heard); err != nil {
			return err
		}
		if heard > node.Time && heard <= t.time {
			return nil
		}
	}
	var last string
	if _, err := t.row(ctx, `SELECT event FROM event18 WHERE computer_reference = $1 AND kind = 'node' AND subject = ''
		AND event IN ('silent', 'heard') ORDER BY id DESC LIMIT 1`, []any{node.Computer}, &last); err != nil {
		return err
	}
	if last == event || last == "" && event == EventHeard {
		return nil
	}
	return t.event(ctx, Event{Computer: node.Computer, Kind: KindNode, Event: event})
}
