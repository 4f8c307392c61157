// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"slapos/slap"
)

// LoadComputer implements [Nodes].
func (d *Database) LoadComputer(ctx context.Context, c ComputerDescription) error {
	if err := c.check(); err != nil {
		return err
	}
	return d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		former, err := t.partitionCount(ctx, c.Reference)
		if err != nil {
			return err
		}
		// Deleting and inserting, as INSERT OR REPLACE does, puts it last.
		if _, err := t.write(ctx, c.Reference, "DELETE FROM computer18 WHERE reference = $1", c.Reference); err != nil {
			return err
		}
		computer := Computer{Reference: c.Reference, Address: c.Address, Netmask: c.Netmask}
		if _, err := t.write(ctx, c.Reference, computerTable.insertion(), computerTable.values(&computer)...); err != nil {
			return err
		}
		if err := t.forgetPartitions(ctx, c); err != nil {
			return err
		}
		partitions := make([][]any, len(c.Partitions))
		var addresses [][]any
		for i, p := range c.Partitions {
			partitions[i] = []any{p.Reference, c.Reference}
			for _, a := range p.Addresses {
				addresses = append(addresses, addressTable.values(&addressRow{NetworkAddress: a, partition: p.Reference, computer: c.Reference}))
			}
		}
		if err := t.insert(ctx, c.Reference, "partition18 (reference, computer_reference)", partitions,
			"ON CONFLICT (reference, computer_reference) DO NOTHING"); err != nil {
			return err
		}
		if err := t.insert(ctx, c.Reference, addressTable.into(), addresses, ""); err != nil {
			return err
		}
		count, err := t.partitionCount(ctx, c.Reference)
		if err != nil || former == count && count > 0 {
			return err
		}
		return t.event(ctx, Event{Computer: c.Reference, Kind: KindNode, Event: EventFormatted, Message: fmt.Sprintf("%d partitions", count)})
	})
}

func (s *session) partitionCount(ctx context.Context, computer string) (count int64, err error) {
	_, err = s.row(ctx, "SELECT count(*) FROM partition18 WHERE computer_reference = $1", []any{computer}, &count)
	return count, err
}

// forgetPartitions removes what a computer no longer has, and all addresses.
func (t *transaction) forgetPartitions(ctx context.Context, c ComputerDescription) error {
	named := map[string]bool{}
	for _, p := range c.Partitions {
		named[p.Reference] = true
	}
	for _, table := range []struct{ list, forget, kind string }{
		{"SELECT DISTINCT reference FROM partition18 WHERE computer_reference = $1",
			"DELETE FROM partition18 WHERE computer_reference = $1 AND reference = $2", KindInstance},
		{"SELECT DISTINCT hosted_by FROM slave18 WHERE computer_reference = $1 AND hosted_by IS NOT NULL",
			"DELETE FROM slave18 WHERE computer_reference = $1 AND hosted_by = $2", ""},
	} {
		var gone []string
		err := t.rows(ctx, table.list, []any{c.Reference}, func(rows *sql.Rows) error {
			var partition string
			err := rows.Scan(&partition)
			if !named[partition] {
				gone = append(gone, partition)
			}
			return err
		})
		if err != nil {
			return err
		}
		for _, partition := range gone {
			if _, err := t.write(ctx, c.Reference, table.forget, c.Reference, partition); err != nil {
				return err
			}
			if table.kind == "" {
				continue
			}
			if err := t.forget(ctx, reportKey{c.Reference, table.kind, partition}); err != nil {
				return err
			}
		}
	}
	_, err := t.write(ctx, c.Reference, "DELETE FROM partition_network18 WHERE computer_reference = $1", c.Reference)
	return err
}

// insert adds rows, many with each statement: a server may be far away.
func (t *transaction) insert(ctx context.Context, computer, table string, rows [][]any, conflict string) error {
	return insertMany(table, rows, conflict, func(text string, values []any) error {
		_, err := t.write(ctx, computer, text, values...)
		return err
	})
}

// insertNotes is insert for rows that no answer of Node depends on.
func (t *transaction) insertNotes(ctx context.Context, table string, rows [][]any, conflict string) error {
	return insertMany(table, rows, conflict, func(text string, values []any) error { return t.note(ctx, text, values...) })
}

func insertMany(table string, rows [][]any, conflict string, run func(text string, values []any) error) error {
	const chunk = 50
	for len(rows) > 0 {
		n := min(len(rows), chunk)
		var places strings.Builder
		var values []any
		for i, row := range rows[:n] {
			if i > 0 {
				places.WriteString(", ")
			}
			separator := "($"
			for _, value := range row {
				values = append(values, value)
				places.WriteString(separator + strconv.Itoa(len(values)))
				separator = ", $"
			}
			places.WriteString(")")
		}
		if err := run(fmt.Sprintf("INSERT INTO %s VALUES %s %s", table, &places, conflict), values); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// Computers implements [Nodes].
func (d *Database) Computers(ctx context.Context) (computers []Computer, err error) {
	err = d.look(ctx, func(ctx context.Context, s *session) error {
		rows, err := computerTable.read(ctx, s, "ORDER BY rowid")
		computers = valuesOf(rows)
		return err
	})
	return computers, err
}

// known returns ErrNotFound for an unknown computer.
func (s *session) known(ctx context.Context, computer string) error {
	var one int
	found, err := s.row(ctx, "SELECT 1 FROM computer18 WHERE reference = $1", []any{computer}, &one)
	if err == nil && !found {
		err = ErrNotFound
	}
	return err
}

// Node implements [Nodes].
func (d *Database) Node(ctx context.Context, computer string) (*Node, error) {
	node := &Node{Computer: computer}
	err := d.read(ctx, func(ctx context.Context, s *session) (err error) {
		known, err := computerTable.first(ctx, s, "WHERE reference = $1", computer)
		if err == nil && known == nil && computer != d.options.Computer {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		if node.Known = known != nil; node.Known {
			node.Address = known.Address
		}
		if node.Software, err = s.software(ctx, computer); err != nil {
			return err
		}
		if node.Partitions, err = partitionTable.read(ctx, s, "WHERE computer_reference = $1 ORDER BY rowid", computer); err != nil {
			return err
		}
		return s.allAddresses(ctx, computer, node.Partitions)
	})
	return node, err
}

// NodeVersion implements [Nodes].
func (d *Database) NodeVersion(ctx context.Context, computer string) (int64, error) {
	return d.changes.version(ctx, computer)
}

// Supply implements [Nodes].
func (d *Database) Supply(ctx context.Context, software Software) error {
	if software.State != slap.StateAvailable && software.State != slap.StateDestroyed {
		return &StateError{software.State}
	}
	if err := checkText("software release", software.URL, "computer", software.Computer); err != nil {
		return err
	}
	return d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		former, err := t.softwareState(ctx, software)
		if err != nil {
			return err
		}
		if _, err := t.write(ctx, software.Computer, "DELETE FROM software18 WHERE url = $1 AND computer_reference = $2",
			software.URL, software.Computer); err != nil {
			return err
		}
		if _, err := t.write(ctx, software.Computer, softwareTable.insertion(), softwareTable.values(&software)...); err != nil {
			return err
		}
		if former == software.State {
			return nil
		}
		return t.supplied(ctx, software, former == "")
	})
}

// softwareState is the state in which a release is asked for, "" for one that
// isn't.
func (s *session) softwareState(ctx context.Context, software Software) (state slap.State, err error) {
	_, err = s.row(ctx, "SELECT requested_state FROM software18 WHERE url = $1 AND computer_reference = $2",
		[]any{software.URL, software.Computer}, text{(*string)(&state)})
	return state, err
}

// supplied notes that a release is asked for, and since when a new one is.
func (t *transaction) supplied(ctx context.Context, software Software, isNew bool) error {
	if err := t.event(ctx, Event{Computer: software.Computer, Kind: KindRelease, Subject: software.URL, Event: EventSupplied,
		State: string(software.State)}); err != nil || t.forgetful {
		return err
	}
	if !isNew {
		return t.note(ctx, "UPDATE report18 SET since = $1 WHERE computer_reference = $2 AND kind = $3 AND subject = $4",
			t.time, software.Computer, KindRelease, software.URL)
	}
	return t.setReport(ctx, &reportRow{Computer: software.Computer, Kind: KindRelease, Subject: software.URL, State: reportRequested,
		Since: t.time, Time: t.time})
}

// RemoveSoftware implements [Nodes].
func (d *Database) RemoveSoftware(ctx context.Context, computer, url string) error {
	return d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		gone, err := t.write(ctx, computer, "DELETE FROM software18 WHERE url = $1 AND computer_reference = $2", url, computer)
		if err != nil || gone == 0 {
			return err
		}
		if err := t.forget(ctx, reportKey{computer, KindRelease, url}); err != nil {
			return err
		}
		return t.event(ctx, Event{Computer: computer, Kind: KindRelease, Subject: url, Event: EventDestroyed})
	})
}

// Software implements [Nodes].
func (d *Database) Software(ctx context.Context, computer string) (list []Software, err error) {
	err = d.read(ctx, func(ctx context.Context, s *session) error {
		if err := s.known(ctx, computer); err != nil {
			return err
		}
		list, err = s.software(ctx, computer)
		return err
	})
	return list, err
}

func (s *session) software(ctx context.Context, computer string) ([]Software, error) {
	rows, err := softwareTable.read(ctx, s, "WHERE computer_reference = $1 ORDER BY rowid", computer)
	return valuesOf(rows), err
}

// Statistics implements [Nodes].
func (d *Database) Statistics(ctx context.Context) (counts []StateCount, err error) {
	err = d.look(ctx, func(ctx context.Context, s *session) error {
		counts = nil
		return s.rows(ctx, `SELECT computer_reference, CASE slap_state WHEN 'free' THEN 'free' ELSE requested_state END AS state, count(*)
			FROM partition18 GROUP BY 1, 2 ORDER BY 1, 2`, nil, func(rows *sql.Rows) error {
			var c StateCount
			var computer sql.NullString
			err := rows.Scan(&computer, &c.State, &c.Count)
			c.Computer = computer.String
			counts = append(counts, c)
			return err
		})
	})
	return counts, err
}
