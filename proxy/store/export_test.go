// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"strings"
	"time"
)

// KeepOverview has overviews made of the last one and what happened since, as when
// making one takes long.
func KeepOverview(d *Database) {
	o := &d.history.overview
	o.made, o.took, o.changes = time.Now(), time.Hour, -1
}

// KeepUp does what a large master does now and then.
func KeepUp(ctx context.Context, d *Database) { d.keepUp(ctx) }

// Sweep does what a master does in quiet moments.
func Sweep(ctx context.Context, d *Database) error { return d.sweep(ctx) }

// Content is all that a master answers from: its tables by name, but for those that
// a file gets with their first row.
func (r *Reader) Content(ctx context.Context) (map[string]*Table, error) {
	content := map[string]*Table{}
	for _, t := range copiedTables() {
		if t.late != "" {
			continue
		}
		table, err := r.read(ctx, "SELECT "+strings.Join(t.columns, ", ")+" FROM "+t.name+" ORDER BY "+t.order)
		if err != nil {
			return nil, err
		}
		content[t.name] = table
	}
	return content, nil
}

// Further makes these scripts the migrations that come after those of this
// version, and returns the number of the last one.
func Further(o *Options, scripts ...string) int64 {
	version := newest(dialectOf(o.URI).migrations())
	for _, script := range scripts {
		version++
		o.further = append(o.further, migration{version, script})
	}
	return version
}
