// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Reader looks into a database as it is, without making, migrating or
// changing anything.
type Reader struct {
	dialect dialect
	pool    *sql.DB
}

// Table is what a table holds. Values are nil, string, int64 or float64.
type Table struct {
	Columns []string
	Rows    [][]any
}

// Text is a column of a row, "None" when it has no value.
func (t *Table) Text(row []any, column string) string {
	if i := slices.Index(t.Columns, column); i >= 0 && row[i] != nil {
		return fmt.Sprint(row[i])
	}
	return "None"
}

// OpenReader opens a database that must exist.
func OpenReader(ctx context.Context, uri string) (*Reader, error) {
	if err := checkURI(uri); err != nil {
		return nil, err
	}
	r := &Reader{dialect: dialectOf(uri)}
	if r.dialect.file != "" {
		if err := checkReadable(r.dialect.file); err != nil {
			var named *fs.PathError
			if errors.As(err, &named) {
				err = named.Err
			}
			return nil, fmt.Errorf("database %s: %w", r.dialect.file, err)
		}
		source, _, _ := strings.Cut(r.dialect.source, "?")
		r.dialect.source = source + "?" + url.Values{"mode": {"rw"}, "_pragma": {"busy_timeout(15000)", "query_only(1)"}}.Encode()
	}
	var err error
	if r.pool, err = sql.Open(r.dialect.driver, r.dialect.source); err != nil {
		return nil, r.dialect.describe(err)
	}
	if err := r.pool.PingContext(ctx); err != nil {
		r.pool.Close()
		return nil, r.dialect.describe(err)
	}
	return r, nil
}

// checkReadable says what is wrong with a file that SQLite alone would say of that
// it can't open it.
func checkReadable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return unix.EISDIR
	}
	if !info.Mode().IsRegular() {
		return nil // opening a pipe would wait
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return file.Close()
}

// Close closes the database.
func (r *Reader) Close() error { return r.pool.Close() }

// Name is the file, or the address without its password.
func (r *Reader) Name() string {
	if r.dialect.file != "" {
		return r.dialect.file
	}
	return redact(r.dialect.source)
}

// Table reads a table in the order of its rows; condition is SQL, all rows
// when empty.
func (r *Reader) Table(ctx context.Context, name, condition string) (*Table, error) {
	query := "SELECT * FROM " + name
	if condition != "" {
		query += " WHERE " + condition
	}
	table, err := r.read(ctx, query+" ORDER BY rowid")
	if err == nil {
		table.hide("rowid")
	}
	return table, err
}

func (r *Reader) read(ctx context.Context, query string) (*Table, error) {
	rows, err := r.pool.QueryContext(ctx, query)
	if err != nil {
		return nil, r.dialect.describe(err)
	}
	defer rows.Close()
	table := &Table{}
	if table.Columns, err = rows.Columns(); err != nil {
		return nil, err
	}
	for rows.Next() {
		row := make([]any, len(table.Columns))
		into := make([]any, len(row))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		for i, value := range row {
			if raw, ok := value.([]byte); ok {
				row[i] = string(raw)
			}
		}
		table.Rows = append(table.Rows, row)
	}
	return table, rows.Err()
}

// hide takes out a column that is only there for the order.
func (t *Table) hide(column string) {
	i := slices.Index(t.Columns, column)
	if i < 0 {
		return
	}
	t.Columns = slices.Delete(t.Columns, i, i+1)
	for j, row := range t.Rows {
		t.Rows[j] = slices.Delete(row, i, i+1)
	}
}
