// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"strings"

	"slapos/slap/wholefile"
)

// dump writes the whole database as SQL statements that make it again.
func dump(ctx context.Context, s *session, path string) error {
	file, err := wholefile.Create(path, wholefile.Mode(0o600))
	if err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	defer func() { _ = file.Cleanup() }()
	out := bufio.NewWriter(file)
	fmt.Fprintln(out, "BEGIN TRANSACTION;")
	if err := dumpObjects(ctx, s, out); err != nil {
		return fmt.Errorf("write backup %s: %w", path, err)
	}
	fmt.Fprintln(out, "COMMIT;")
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	if err := file.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	return nil
}

func dumpObjects(ctx context.Context, s *session, out *bufio.Writer) error {
	type object struct{ kind, name, definition string }
	var objects []object
	err := s.rows(ctx, `SELECT type, name, sql FROM sqlite_master
		WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY type = 'table' DESC, name`,
		nil, func(rows *sql.Rows) error {
			var o object
			err := rows.Scan(&o.kind, &o.name, &o.definition)
			objects = append(objects, o)
			return err
		})
	if err != nil {
		return err
	}
	for _, o := range objects {
		fmt.Fprintf(out, "%s;\n", o.definition)
		if o.kind != "table" {
			continue
		}
		if err := dumpRows(ctx, s, out, o.name); err != nil {
			return err
		}
	}
	return nil
}

func dumpRows(ctx context.Context, s *session, out *bufio.Writer, table string) error {
	var columns []string
	err := s.rows(ctx, "SELECT name FROM pragma_table_info($1) ORDER BY cid", []any{table}, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		columns = append(columns, "quote("+quoteName(name)+")")
		return err
	})
	if err != nil {
		return err
	}
	query := "SELECT " + strings.Join(columns, " || ',' || ") + " FROM " + quoteName(table)
	return s.rows(ctx, query, nil, func(rows *sql.Rows) error {
		var values string
		if err := rows.Scan(&values); err != nil {
			return err
		}
		fmt.Fprintf(out, "INSERT INTO %s VALUES(%s);\n", quoteName(table), values)
		return nil
	})
}
