// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// schemaVersion is the suffix of every table name (PROXY-20).
const schemaVersion = "18"

// prepareSchema creates, migrates and completes the tables.
func (d *Database) prepareSchema(ctx context.Context, s *session) error {
	if d.dialect.file != "" {
		return d.prepareFile(ctx, s)
	}
	if err := d.migrateServer(ctx, s); err != nil {
		return err
	}
	return d.inTransaction(ctx, s, func() error { return d.rebase(ctx, s) })
}

func (d *Database) prepareFile(ctx context.Context, s *session) error {
	var verdict string
	if _, err := s.row(ctx, "PRAGMA quick_check(1)", nil, &verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return errors.New("malformed: " + verdict)
	}
	return d.inTransaction(ctx, s, func() error {
		if err := d.prepareTables(ctx, s); err != nil {
			return err
		}
		if err := s.script(ctx, indexes); err != nil {
			return err
		}
		if err := d.migrateFile(ctx, s); err != nil {
			return err
		}
		return d.rebase(ctx, s)
	})
}

func (d *Database) inTransaction(ctx context.Context, s *session, do func() error) error {
	for _, text := range d.dialect.begin {
		if err := s.rows(ctx, text, nil, func(*sql.Rows) error { return nil }); err != nil {
			return err
		}
	}
	if err := do(); err != nil {
		_ = s.script(ctx, "ROLLBACK")
		return err
	}
	return s.script(ctx, "COMMIT")
}

// prepareTables finds the version of the schema in the names of the tables
// (PROXY-22).
func (d *Database) prepareTables(ctx context.Context, s *session) error {
	var tables []string
	err := s.rows(ctx, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY name`,
		nil, func(rows *sql.Rows) error {
			var name string
			err := rows.Scan(&name)
			tables = append(tables, name)
			return err
		})
	if err != nil {
		return err
	}
	schema := withComputer(sqliteSchema, d.options.Computer)
	if len(tables) == 0 {
		return s.script(ctx, schema)
	}
	version, err := versionOf(tables)
	if err != nil || version == schemaVersion {
		return err
	}
	return d.migrate(ctx, s, version, tables)
}

var digits = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[0-9]+$`) })

func versionOf(tables []string) (string, error) {
	version := digits().FindString(tables[0])
	for _, table := range tables {
		if found := digits().FindString(table); found == "" || found != version {
			return "", fmt.Errorf("is not the database of a slapos proxy: tables %s", strings.Join(tables, ", "))
		}
	}
	return version, nil
}
