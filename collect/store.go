// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// A table of the database (COL-15). Each also has the columns date, time and
// reported, at the end. The order matters: dumps have rows unchanged.
type table struct {
	name    string
	columns []string
}

var (
	userTable = table{name: "user", columns: []string{
		"partition text", "pid real", "process text", "cpu_percent real", "cpu_time real", "cpu_num_threads real",
		"memory_percent real", "memory_rss real", "io_rw_counter real", "io_cycles_counter real",
	}}
	folderTable   = table{name: "folder", columns: []string{"partition text", "disk_used real"}}
	computerTable = table{name: "computer", columns: []string{
		"cpu_num_core real", "cpu_frequency real", "cpu_type text", "memory_size real", "memory_type text", "partition_list text",
	}}
	systemTable = table{name: "system", columns: []string{
		"loadavg real", "cpu_percent real", "memory_used real", "memory_free real", "net_in_bytes real", "net_in_errors real",
		"net_in_dropped real", "net_out_bytes real", "net_out_errors real", "net_out_dropped real",
	}}
	diskTable        = table{name: "disk", columns: []string{"partition text", "used text", "free text", "mountpoint text"}}
	temperatureTable = table{name: "temperature", columns: []string{"sensor_id name", "temperature real", "alarm integer"}}
	heatingTable     = table{name: "heating", columns: []string{
		"model_id name", "sensor_id name", "initial_temperature real", "final_temperature real", "delta_time real", "zero_emission_ratio real",
	}}
	// sliceTable doesn't exist in the original, which dumps and cleans any
	// table with these last columns. It is created when there is something to
	// store.
	sliceTable = table{name: "cgroup", columns: []string{
		"partition text", "cpu_time real", "memory_used real", "memory_peak real", "io_read_bytes real", "io_write_bytes real",
		"io_cycles_counter real", "processes real",
	}}
)

func (t table) schema() string {
	text := fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (%s, date text, time text, reported integer NULL DEFAULT 0);\n",
		t.name, strings.Join(t.columns, ", "))
	if t.name == "user" {
		text += "CREATE INDEX IF NOT EXISTS user_partition_date_time ON user (partition, date, time);\n"
	}
	return text + fmt.Sprintf("CREATE INDEX IF NOT EXISTS %[1]s_date_reported_index ON %[1]s (date, reported);\n", t.name)
}

// insertion returns the statement that adds a row.
func (t table) insertion() string {
	var names []string
	for _, column := range t.columns {
		name, _, _ := strings.Cut(column, " ")
		names = append(names, name)
	}
	return fmt.Sprintf("INSERT INTO %s (%s, date, time) VALUES (%s?, ?)", t.name, strings.Join(names, ", "), strings.Repeat("?, ", len(names)))
}

// store is the collector's database. It keeps the journal mode that it finds,
// so that slapos.core can continue with it.
type store struct {
	db   *sql.DB
	path string
}

// openStore opens or creates the database.
func openStore(ctx context.Context, path string) (*store, error) {
	s, err := connect(path, url.Values{"_txlock": {"immediate"}})
	if err != nil {
		return nil, err
	}
	err = s.transaction(ctx, func(t *transaction) error {
		var present int
		if err := t.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master WHERE name LIKE '%_date_reported_index'").Scan(&present); err != nil {
			return err
		}
		for _, table := range []table{userTable, folderTable, computerTable, systemTable, diskTable, temperatureTable, heatingTable} {
			if present >= 7 {
				break
			}
			if _, err := t.ExecContext(ctx, table.schema()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func connect(path string, options url.Values) (*store, error) {
	options.Set("_pragma", "busy_timeout(30000)")
	location := url.URL{Scheme: "file", Path: path, RawQuery: options.Encode()}
	db, err := sql.Open("sqlite", location.String())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	return &store{db: db, path: path}, nil
}

func (s *store) close() error { return s.db.Close() }

// fail adds the database's name to an error, and the remedy for a damaged one.
func (s *store) fail(err error) error {
	switch {
	case err == nil:
		return nil
	case strings.Contains(err.Error(), "not a database"), strings.Contains(err.Error(), "malformed"):
		return fmt.Errorf("%s is damaged: move it away, and a new one is made: %w", s.path, err)
	}
	return fmt.Errorf("%s: %w", s.path, err)
}

type transaction struct {
	*sql.Tx
	ctx context.Context
}

// transaction does all or nothing.
func (s *store) transaction(ctx context.Context, do func(*transaction) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return s.fail(err)
	}
	if err := do(&transaction{Tx: tx, ctx: ctx}); err != nil {
		return s.fail(errors.Join(err, ignoreDone(tx.Rollback())))
	}
	return s.fail(tx.Commit())
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// query calls row for each row of the result.
func (s *store) query(ctx context.Context, row func(scan func(...any) error) error, text string, arguments ...any) error {
	rows, err := s.db.QueryContext(ctx, text, arguments...)
	if err != nil {
		return s.fail(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return s.fail(err)
		}
	}
	return s.fail(rows.Err())
}

// strings returns the single column of the result.
func (s *store) strings(ctx context.Context, text string, arguments ...any) (found []string, err error) {
	err = s.query(ctx, func(scan func(...any) error) error {
		var value sql.NullString
		err := scan(&value)
		found = append(found, value.String)
		return err
	}, text, arguments...)
	return found, err
}

// tables lists the tables with a date and a mark of reported rows.
func (s *store) tables(ctx context.Context) ([]string, error) {
	return s.strings(ctx, `SELECT name FROM sqlite_master AS m WHERE type = 'table'
		AND (SELECT count(*) FROM pragma_table_info(m.name) WHERE name IN ('date', 'reported')) = 2 ORDER BY rowid`)
}

// quoteName quotes the name of a table.
func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// collectGarbage is COL-40.
func (s *store) collectGarbage(ctx context.Context, now time.Time, keep int) error {
	condition, arguments := "reported = 1", []any{}
	if keep > 0 {
		keep = min(keep, 366*1000) // dates have four-digit years
		condition += " AND (date < ? OR date > ?)"
		arguments = append(arguments, now.AddDate(0, 0, 1-keep).Format(dateLayout), now.Format(dateLayout))
	}
	names, err := s.tables(ctx)
	if err != nil {
		return err
	}
	deleted := int64(0)
	for _, name := range slices.DeleteFunc(names, func(name string) bool { return name == heatingTable.name }) {
		result, err := s.db.ExecContext(ctx, "DELETE FROM "+quoteName(name)+" WHERE "+condition, arguments...)
		if err != nil {
			return s.fail(err)
		}
		count, _ := result.RowsAffected()
		deleted += count
	}
	if deleted == 0 {
		return nil
	}
	_, err = s.db.ExecContext(ctx, "VACUUM")
	return s.fail(err)
}
