// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"
)

// table is a table of the schema whose rows are read as R. What a column is
// called, where a row keeps it and what changes it stands in its table alone:
// reading, writing, freeing and copying follow from there.
type table[R any] struct {
	name    string
	columns []column[R]
	order   string // of the rows, where it means something
	late    string // the script that makes it in a file, with its first row; "": it is there from the beginning
}

type column[R any] struct {
	name string
	at   func(*R) cell
	// requested columns are set by a request: one that changes any of them
	// renews the time stamp (PROXY-51).
	requested bool
	// freed is what the column has in a partition without instance, as SQL; ""
	// for a column that keeps its value (PROXY-44).
	freed string
}

// cell is a field of a row, as the database reads and writes it.
type cell interface {
	sql.Scanner
	driver.Valuer
}

// text is a text that is empty where the database has NULL.
type text struct{ *string }

func (c text) Scan(value any) error {
	var read sql.NullString
	err := read.Scan(value)
	*c.string = read.String
	return err
}

func (c text) Value() (driver.Value, error) { return *c.string, nil }

// number is a number that is 0 where the database has NULL.
type number struct{ *float64 }

func (c number) Scan(value any) error {
	var read sql.NullFloat64
	err := read.Scan(value)
	*c.float64 = read.Float64
	return err
}

func (c number) Value() (driver.Value, error) { return *c.float64, nil }

// whole is a whole number that is 0 where the database has NULL.
type whole struct{ *int64 }

func (c whole) Scan(value any) error {
	var read sql.NullInt64
	err := read.Scan(value)
	*c.int64 = read.Int64
	return err
}

func (c whole) Value() (driver.Value, error) { return *c.int64, nil }

// optional is a value that is nil where the database has NULL.
type optional[T any] struct{ at **T }

func (c optional[T]) Scan(value any) error {
	var read sql.Null[T]
	err := read.Scan(value)
	if *c.at = nil; read.Valid {
		*c.at = &read.V
	}
	return err
}

func (c optional[T]) Value() (driver.Value, error) {
	if *c.at == nil {
		return nil, nil
	}
	return **c.at, nil
}

// names lists the columns.
func (t *table[R]) names() []string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.name
	}
	return names
}

// query selects all columns.
func (t *table[R]) query() string {
	return "SELECT " + strings.Join(t.names(), ", ") + " FROM " + t.name + " "
}

// insertion is the text of a statement that inserts all columns.
func (t *table[R]) insertion() string {
	places := make([]string, len(t.columns))
	for i := range places {
		places[i] = fmt.Sprintf("$%d", i+1)
	}
	return "INSERT INTO " + t.into() + " VALUES (" + strings.Join(places, ", ") + ")"
}

// into names the table with its columns.
func (t *table[R]) into() string { return t.name + " (" + strings.Join(t.names(), ", ") + ")" }

// values are those of a row, in the order of the columns.
func (t *table[R]) values(row *R) []any {
	values := make([]any, len(t.columns))
	for i, c := range t.columns {
		values[i] = c.at(row)
	}
	return values
}

// read reads the rows that a condition selects.
func (t *table[R]) read(ctx context.Context, s *session, condition string, args ...any) ([]*R, error) {
	var list []*R
	err := s.rows(ctx, t.query()+condition, args, func(rows *sql.Rows) error {
		row := new(R)
		list = append(list, row)
		return rows.Scan(t.values(row)...)
	})
	return list, err
}

// first reads the first row that a condition selects, nil without one.
func (t *table[R]) first(ctx context.Context, s *session, condition string, args ...any) (*R, error) {
	list, err := t.read(ctx, s, condition+" ORDER BY rowid LIMIT 1", args...)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list[0], nil
}

// valuesOf are the rows themselves.
func valuesOf[R any](rows []*R) []R {
	values := make([]R, len(rows))
	for i, row := range rows {
		values[i] = *row
	}
	return values
}

// assignments are the text and the values of "a = $1, b = $2" for the named
// columns of a row. Its count is that of the arguments.
func (t *table[R]) assignments(row *R, names ...string) (texts string, values []any) {
	var b strings.Builder
	for _, c := range t.columns {
		for _, name := range names {
			if c.name == name {
				values = append(values, c.at(row))
				if len(values) > 1 {
					b.WriteString(", ")
				}
				fmt.Fprintf(&b, "%s = $%d", name, len(values))
			}
		}
	}
	return b.String(), values
}
