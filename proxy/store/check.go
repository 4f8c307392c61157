// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"slapos/slap"
)

// Finding is something that is wrong in a database.
type Finding struct {
	// What it is, how often, and where: some examples.
	What     string
	Count    int64
	Examples []string
	// Mendable findings are removed by [Repair], without loss.
	Mendable bool
}

// Checked is what a check found.
type Checked struct {
	Name     string
	Findings []Finding
}

// orphan is a kind of rows that refer to what isn't there.
type orphan struct {
	what string
	// table has them, condition selects them, name says which each is.
	table, condition, name string
	mend                   bool
}

const (
	noPartition = "NOT EXISTS (SELECT 1 FROM partition18 AS p WHERE p.reference = %s AND p.computer_reference = r.computer_reference)"
	notBusy     = "NOT EXISTS (SELECT 1 FROM partition18 AS p WHERE p.reference = %s AND p.computer_reference = r.computer_reference AND p.slap_state <> 'free')"
)

// orphans are those that are looked for. What no answer depends on can be mended.
func orphans() []orphan {
	at := func(column string) string { return "r." + column + " || ' of ' || r.computer_reference" }
	return []orphan{
		{"addresses of partitions that don't exist", "partition_network18", fmt.Sprintf(noPartition, "r.partition_reference"), at("partition_reference"), true},
		{"lists of requested titles, of partitions without instance", "related18", fmt.Sprintf(notBusy, "r.partition_reference"), at("partition_reference"), true},
		{"reports about partitions without instance", "report18", "r.kind = 'instance' AND " + fmt.Sprintf(notBusy, "r.subject"), at("subject"), true},
		{"reports about releases that nobody supplied", "report18", `r.kind = 'release' AND NOT EXISTS (SELECT 1 FROM software18 AS s
			WHERE s.url = r.subject AND s.computer_reference = r.computer_reference)`, at("subject"), true},
		{"promises of partitions without instance", "promise18", fmt.Sprintf(notBusy, "r.partition_reference"), at("partition_reference"), true},
		{"logs without event", "log18", "NOT EXISTS (SELECT 1 FROM event18 AS e WHERE e.id = r.event)", "'event ' || r.event", true},
		{"partitions of computers that don't exist: format the node again", "partition18",
			"NOT EXISTS (SELECT 1 FROM computer18 AS c WHERE c.reference = r.computer_reference)", at("reference"), false},
		{"instances whose root doesn't exist: destroy them", "partition18", `r.slap_state <> 'free' AND r.requested_by <> '' AND NOT EXISTS
			(SELECT 1 FROM partition18 AS p WHERE p.partition_reference = r.requested_by AND p.slap_state <> 'free')`, at("reference"), false},
		{"instances with the title of another one in their tree: destroy or rename one", "partition18", `r.slap_state <> 'free' AND EXISTS
			(SELECT 1 FROM partition18 AS p WHERE p.partition_reference = r.partition_reference AND p.requested_by = r.requested_by
			AND p.slap_state <> 'free' AND (p.reference <> r.reference OR p.computer_reference <> r.computer_reference))`, at("reference"), false},
		{"shared instances without host: request them again", "slave18", fmt.Sprintf(notBusy, "r.hosted_by"), at("reference"), false},
	}
}

// Check looks for damage and for what refers to nothing, in a database as it is;
// programs that use it go on. The error is one line that names the database.
func Check(ctx context.Context, uri string) (*Checked, error) {
	reader, err := OpenReader(ctx, uri)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	checked := &Checked{Name: reader.Name()}
	if err := reader.check(ctx, checked); err != nil {
		return nil, reader.dialect.describe(err)
	}
	return checked, nil
}

func (r *Reader) check(ctx context.Context, checked *Checked) error {
	tables, err := r.tables(ctx)
	if err != nil {
		return err
	}
	if r.dialect.file != "" {
		if err := r.checkFile(ctx, checked); err != nil {
			return err
		}
	}
	if !tables[partitionTable.name] {
		return fmt.Errorf("it has no table %s: run `slapos proxy start` on it once, which brings older databases up to date", partitionTable.name)
	}
	s, err := newSession(ctx, r.pool)
	if err != nil {
		return err
	}
	defer s.close()
	if _, err := s.exec(ctx, r.dialect.snapshot); err != nil {
		return err
	}
	for _, o := range orphans() {
		if !tables[o.table] {
			continue
		}
		if err := checked.addOrphans(ctx, s, o); err != nil {
			return err
		}
	}
	return checked.addUnreadable(ctx, s)
}

// checkFile asks SQLite itself.
func (r *Reader) checkFile(ctx context.Context, checked *Checked) error {
	rows, err := r.pool.QueryContext(ctx, "PRAGMA integrity_check(20)")
	if err != nil {
		return err
	}
	defer rows.Close()
	damage, indexes := Finding{What: "damage: restore a backup"}, Finding{What: "entries of indexes that are wrong", Mendable: true}
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return err
		}
		switch {
		case line == "ok":
		case strings.Contains(line, "index"):
			indexes.add(line)
		default:
			damage.add(line)
		}
	}
	checked.add(damage)
	checked.add(indexes)
	return rows.Err()
}

const maximumExamples = 3

func (f *Finding) add(example string) {
	if f.Count++; len(f.Examples) < maximumExamples {
		f.Examples = append(f.Examples, example)
	}
}

func (c *Checked) add(f Finding) {
	if f.Count > 0 {
		c.Findings = append(c.Findings, f)
	}
}

func (c *Checked) addOrphans(ctx context.Context, s *session, o orphan) error {
	f := Finding{What: o.what, Mendable: o.mend}
	err := s.rows(ctx, "SELECT "+o.name+" FROM "+o.table+" AS r WHERE "+o.condition, nil, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(text{&name})
		f.add(name)
		return err
	})
	c.add(f)
	return err
}

// addUnreadable looks for parameters, connections and lists that answers couldn't be
// made of.
func (c *Checked) addUnreadable(ctx context.Context, s *session) error {
	f := Finding{What: "instances whose documents can't be read: request them again"}
	err := s.rows(ctx, "SELECT computer_reference, reference, xml, connection_xml, slave_instance_list FROM partition18 WHERE slap_state <> 'free' ORDER BY rowid", nil,
		func(rows *sql.Rows) error {
			var p Partition
			var parameters, connection *string
			if err := rows.Scan(text{&p.ID.Computer}, text{&p.ID.Partition}, optional[string]{&parameters}, optional[string]{&connection},
				optional[string]{&p.Shared}); err != nil {
				return err
			}
			_, list := p.SharedList()
			for _, err := range []error{readable(parameters), readable(connection), list} {
				if err != nil {
					f.add(p.ID.Partition + " of " + p.ID.Computer)
					break
				}
			}
			return nil
		})
	c.add(f)
	return err
}

func readable(document *string) error {
	if document == nil || *document == "" {
		return nil
	}
	_, err := slap.DecodeInstance([]byte(*document))
	return err
}

// Repair checks a database and removes what is mendable, in one transaction. Programs
// that use it go on. The findings are those of before.
func Repair(ctx context.Context, uri string) (*Checked, error) {
	checked, err := Check(ctx, uri)
	if err != nil {
		return nil, err
	}
	mendable := false
	for _, f := range checked.Findings {
		mendable = mendable || f.Mendable
	}
	if !mendable {
		return checked, nil
	}
	d := dialectOf(uri)
	pool, err := sql.Open(d.driver, d.source)
	if err != nil {
		return nil, d.describe(err)
	}
	defer pool.Close()
	if err := d.mend(ctx, pool, checked); err != nil {
		return nil, d.describe(err)
	}
	return checked, nil
}

func (d dialect) mend(ctx context.Context, pool *sql.DB, checked *Checked) error {
	s, err := newSession(ctx, pool)
	if err != nil {
		return err
	}
	defer s.close()
	for _, text := range d.begin {
		if err := s.rows(ctx, text, nil, func(*sql.Rows) error { return nil }); err != nil {
			return err
		}
	}
	for _, o := range orphans() {
		for _, f := range checked.Findings {
			if !o.mend || f.What != o.what {
				continue
			}
			if _, err := s.exec(ctx, "DELETE FROM "+o.table+" AS r WHERE "+o.condition); err != nil {
				_ = s.script(ctx, "ROLLBACK")
				return err
			}
		}
	}
	if d.file != "" {
		if err := s.script(ctx, "REINDEX"); err != nil {
			_ = s.script(ctx, "ROLLBACK")
			return err
		}
	}
	return s.script(ctx, "COMMIT")
}
