// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
)

// UsageReport is a usage report, and when it came in seconds since 1970.
type UsageReport struct {
	Computer string
	Time     float64
	Report   string
}

var usageTable = table[UsageReport]{name: "usage18", order: "time", late: usageSchema, columns: []column[UsageReport]{
	{name: "computer_reference", at: func(r *UsageReport) cell { return text{&r.Computer} }},
	{name: "time", at: func(r *UsageReport) cell { return number{&r.Time} }},
	{name: "report", at: func(r *UsageReport) cell { return text{&r.Report} }},
}}

// AddUsage implements [Nodes].
func (d *Database) AddUsage(ctx context.Context, computer, report string) error {
	return d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		// Made with the first report only: the original would not know what
		// to do with the rows when it migrates to a later schema.
		if d.dialect.file != "" {
			if err := t.script(ctx, usageTable.late); err != nil {
				return err
			}
		}
		r := UsageReport{Computer: computer, Time: t.time, Report: report}
		return t.note(ctx, usageTable.insertion(), usageTable.values(&r)...)
	})
}

// Usage implements [Nodes].
func (d *Database) Usage(ctx context.Context, computer string, limit int) (reports []UsageReport, err error) {
	err = d.look(ctx, func(ctx context.Context, s *session) error {
		reports = nil
		if exists, err := d.hasTable(ctx, s, usageTable.name); err != nil || !exists {
			return err
		}
		rows, err := usageTable.read(ctx, s, "WHERE computer_reference = $1 ORDER BY time DESC LIMIT $2", computer, limit)
		reports = valuesOf(rows)
		return err
	})
	return reports, err
}

// hasTable reports whether there is a table that files get with its first row.
func (d *Database) hasTable(ctx context.Context, s *session, name string) (bool, error) {
	if d.dialect.file == "" {
		return true, nil
	}
	var one int
	return s.row(ctx, "SELECT 1 FROM sqlite_master WHERE name = $1", []any{name}, &one)
}

// Usage reads all usage reports, the oldest first. A database that never got
// one has none.
func (r *Reader) Usage(ctx context.Context) ([]UsageReport, error) {
	if r.dialect.file != "" {
		found, err := r.Table(ctx, "sqlite_master", "name = '"+usageTable.name+"'")
		if err != nil || len(found.Rows) == 0 {
			return nil, err
		}
	}
	rows, err := r.pool.QueryContext(ctx, usageTable.query()+"ORDER BY time")
	if err != nil {
		return nil, r.dialect.describe(err)
	}
	defer rows.Close()
	var reports []UsageReport
	for rows.Next() {
		var report UsageReport
		if err := rows.Scan(usageTable.values(&report)...); err != nil {
			return nil, err
		}
		reports = append(reports, report)
	}
	return reports, rows.Err()
}
