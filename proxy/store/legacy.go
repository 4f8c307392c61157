// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// record is a row of a table of any version.
type record map[string]any

func (r record) text(column string) string {
	text, _ := r[column].(string)
	return text
}

// migrate brings the tables of an older version to the present one, after
// writing all of it to a file beside the database (PROXY-23).
func (d *Database) migrate(ctx context.Context, s *session, version string, tables []string) error {
	number, err := strconv.Atoi(version)
	if err != nil {
		return fmt.Errorf("schema version %s: %w", version, err)
	}
	backup := fmt.Sprintf("%s-backup-%sto%s-%s.sql", d.dialect.file, version, schemaVersion, d.stamp())
	d.options.Logger.Info("Old schema detected: Creating a backup of current tables at " + backup)
	if err := dump(ctx, s, backup); err != nil {
		return err
	}
	if err := s.script(ctx, withComputer(sqliteSchema, d.options.Computer)); err != nil {
		return err
	}
	d.options.Logger.Info("Old schema detected: Migrating old tables...")
	for _, table := range tables {
		if err := migrateTable(ctx, s, number, table, strings.TrimSuffix(table, version)); err != nil {
			return fmt.Errorf("migrate table %s (backup in %s): %w", table, backup, err)
		}
		if err := s.script(ctx, "DROP TABLE "+quoteName(table)); err != nil {
			return err
		}
	}
	return nil
}

// stamp is the time in the names of backups.
func (d *Database) stamp() string {
	return d.options.Now().Local().Format("2006-01-02T15:04:05.000000")
}

func migrateTable(ctx context.Context, s *session, version int, table, name string) error {
	records, err := readTable(ctx, s, table)
	if err != nil || len(records) == 0 {
		return err
	}
	switch {
	case name == "local_software_release_root":
		records = []record{{"name": name, "value": records[len(records)-1]["path"]}}
		name = "config"
	case name == "partition" && version < 17:
		nameRoots(records)
	case name == "slave":
		// It only repeated what the reference says already.
		for _, r := range records {
			delete(r, "asked_by")
		}
	}
	for _, r := range records {
		if err := insertRecord(ctx, s, name+schemaVersion, r); err != nil {
			return err
		}
	}
	return nil
}

func readTable(ctx context.Context, s *session, table string) ([]record, error) {
	var records []record
	err := s.rows(ctx, "SELECT * FROM "+quoteName(table), nil, func(rows *sql.Rows) error {
		columns, err := rows.Columns()
		if err != nil {
			return err
		}
		values := make([]any, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		r := record{}
		for i, column := range columns {
			r[column] = values[i]
		}
		records = append(records, r)
		return nil
	})
	return records, err
}

// nameRoots replaces the partition that requested an instance by the title of
// the root of its tree.
func nameRoots(records []record) {
	type place struct{ computer, partition string }
	requesters := map[place]string{}
	titles := map[place]string{}
	for _, r := range records {
		at := place{r.text("computer_reference"), r.text("reference")}
		requesters[at] = r.text("requested_by")
		titles[at] = r.text("partition_reference")
	}
	for _, r := range records {
		at := place{r.text("computer_reference"), r.text("requested_by")}
		if at.partition == "" {
			continue
		}
		// A chain longer than the table is a circle.
		for range records {
			next := place{at.computer, requesters[at]}
			if next.partition == "" {
				break
			}
			at = next
		}
		r["requested_by"] = titles[at]
	}
}

func insertRecord(ctx context.Context, s *session, table string, r record) error {
	columns := make([]string, 0, len(r))
	for column := range r {
		columns = append(columns, column)
	}
	slices.Sort(columns)
	values := make([]any, len(columns))
	places := make([]string, len(columns))
	for i, column := range columns {
		values[i] = r[column]
		places[i] = "$" + strconv.Itoa(i+1)
		columns[i] = quoteName(column)
	}
	_, err := s.exec(ctx, fmt.Sprintf("INSERT OR REPLACE INTO %s (%s) VALUES (%s)",
		quoteName(table), strings.Join(columns, ", "), strings.Join(places, ", ")), values...)
	return err
}

func quoteName(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}
