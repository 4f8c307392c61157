// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
)

// CopyOptions say which database to copy where.
type CopyOptions struct {
	// From and To are as Options.URI.
	From, To string
	// Progress is called now and then with the number of rows copied so far; it
	// may be nil.
	Progress func(done, total int64)
	// Logger gets what opening the databases does; nothing when nil.
	Logger *slog.Logger
}

// TableCount says how many rows of a table were copied.
type TableCount struct {
	Table string
	Rows  int64
}

// copiedTable is a table of a master, in the order of its rows where that means
// something.
type copiedTable struct {
	name, order string
	columns     []string
	late        string // see table
}

// copiedTables are all of them.
func copiedTables() []copiedTable {
	return []copiedTable{
		copyOf(&settingTable),
		copyOf(&computerTable),
		copyOf(&softwareTable),
		copyOf(&partitionTable),
		copyOf(&sharedTable),
		copyOf(&addressTable),
		copyOf(&forwardedTable),
		copyOf(&usageTable),
		copyOf(&relatedTable),
		copyOf(&reportTable),
		copyOf(&heardTable),
		copyOf(&promiseTable),
		copyOf(&eventTable),
		copyOf(&logTable),
		copyOf(&tokenTable),
		copyOf(&certificateTable),
		copyOf(&deliveryTable),
	}
}

func copyOf[R any](t *table[R]) copiedTable {
	return copiedTable{name: t.name, order: t.order, columns: t.names(), late: t.late}
}

// Copy copies a whole master into an empty database, created when missing, in
// one transaction: it arrives whole, or not at all. The copy is a snapshot:
// later writes to the source aren't in it. The error is one line that names the
// database and what to do.
func Copy(ctx context.Context, o CopyOptions) ([]TableCount, error) {
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	source, err := openCopied(ctx, o.From)
	if err != nil {
		return nil, err
	}
	defer source.close()
	// Before it is opened as a master's, which would migrate an older one.
	if err := expectEmpty(ctx, o.To); err != nil {
		return nil, err
	}
	target, err := Open(ctx, Options{URI: o.To, Computer: source.computer, Logger: o.Logger})
	if err != nil {
		return nil, err
	}
	var counts []TableCount
	err = target.writer.do(ctx, func(inside context.Context, t *transaction) error {
		counts, err = source.copyTo(ctx, inside, t, o.Progress)
		return err
	})
	if closing := target.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return nil, fmt.Errorf("copy to database %s: %w", nameOf(o.To), lineError{err})
	}
	return counts, nil
}

// copied is a database that is being read, as of one moment.
type copied struct {
	reader   *Reader
	session  *session
	computer string // the schema's default
	totals   map[string]int64
	total    int64
}

func openCopied(ctx context.Context, uri string) (*copied, error) {
	reader, err := OpenReader(ctx, uri)
	if err != nil {
		return nil, err
	}
	c := &copied{reader: reader, totals: map[string]int64{}}
	if err := c.begin(ctx); err != nil {
		c.close()
		return nil, fmt.Errorf("database %s: %w", reader.Name(), lineError{err})
	}
	return c, nil
}

func (c *copied) begin(ctx context.Context) (err error) {
	if c.session, err = newSession(ctx, c.reader.pool); err != nil {
		return err
	}
	if _, err := c.session.exec(ctx, c.reader.dialect.snapshot); err != nil {
		return err
	}
	tables, err := c.reader.tables(ctx)
	if err != nil {
		return err
	}
	for _, table := range copiedTables() {
		if !tables[table.name] {
			if table.late != "" {
				continue
			}
			return fmt.Errorf("it has no table %s: run `slapos proxy start` on it once, which brings older databases up to date", table.name)
		}
		var n int64
		if _, err := c.session.row(ctx, "SELECT count(*) FROM "+table.name, nil, &n); err != nil {
			return err
		}
		c.totals[table.name] = n
		c.total += n
	}
	known := newest(c.reader.dialect.migrations())
	switch version, err := c.reader.dialect.version(ctx, c.session); {
	case err != nil:
		return err
	case version > known:
		return &NewerError{version, known}
	case version < known:
		return fmt.Errorf("its tables are of version %d: run `slapos proxy start` on it once, which brings older databases up to date", version)
	}
	c.computer, err = c.reader.defaultComputer(ctx)
	return err
}

func (c *copied) close() {
	if c.session != nil {
		c.session.close()
	}
	c.reader.Close()
}

// tables are the names of the tables, of a server those of its current schema.
func (r *Reader) tables(ctx context.Context) (map[string]bool, error) {
	query := "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
	if r.dialect.file != "" {
		query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
	}
	rows, err := r.pool.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	tables := map[string]bool{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		tables[name] = true
	}
	return tables, rows.Err()
}

// defaultComputer is what withComputer put into the schema.
func (r *Reader) defaultComputer(ctx context.Context) (string, error) {
	query := "SELECT column_default FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = 'computer18' AND column_name = 'reference'"
	if r.dialect.file != "" {
		query = "SELECT dflt_value FROM pragma_table_info('computer18') WHERE name = 'reference'"
	}
	var text sql.NullString
	if err := r.pool.QueryRowContext(ctx, query).Scan(&text); err != nil {
		return "", err
	}
	quoted := strings.TrimSuffix(text.String, "::text")
	return strings.ReplaceAll(strings.Trim(quoted, "'"), "''", "'"), nil
}

// expectEmpty refuses a database that holds something, of whatever version or
// program. One that isn't there is empty.
func expectEmpty(ctx context.Context, uri string) error {
	if file := dialectOf(uri).file; file != "" {
		if info, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
			return nil
		}
	}
	reader, err := OpenReader(ctx, uri)
	if err != nil {
		return err
	}
	defer reader.Close()
	tables, err := reader.tables(ctx)
	if err != nil {
		return reader.dialect.describe(err)
	}
	known := map[string]bool{"change18": true, "schema18": true}
	for _, table := range copiedTables() {
		known[table.name] = true
	}
	for table := range tables {
		if !known[table] {
			// A server's database may have tables of others.
			if reader.dialect.file != "" {
				return notEmpty(uri, "table "+table)
			}
			continue
		}
		var one int
		err := reader.pool.QueryRowContext(ctx, "SELECT 1 FROM "+table+" WHERE "+condition(table)+" LIMIT 1").Scan(&one)
		if err == nil {
			return notEmpty(uri, "rows in table "+table)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return reader.dialect.describe(err)
		}
	}
	return nil
}

// condition selects the rows of a table that somebody put there: one of the
// counters, and the version, are made with the tables.
func condition(table string) string {
	switch table {
	case "change18":
		return "counter > 0"
	case "schema18":
		return "1 = 0"
	}
	return "1 = 1"
}

func notEmpty(uri, what string) error {
	return fmt.Errorf("database %s is not empty, it has %s: choose one that is new", nameOf(uri), what)
}

func nameOf(uri string) string { return (&Reader{dialect: dialectOf(uri)}).Name() }

// copyTo copies all tables. Ctx is the caller's, which ends when nobody waits
// any more; inside is that of the transaction, which must end in order.
func (c *copied) copyTo(ctx, inside context.Context, t *transaction, progress func(done, total int64)) (counts []TableCount, err error) {
	var done int64
	for _, table := range copiedTables() {
		if c.totals[table.name] == 0 {
			counts = append(counts, TableCount{Table: table.name})
			continue
		}
		if table.late != "" {
			if err := t.script(inside, table.late); err != nil {
				return nil, err
			}
		}
		n, err := c.copyTable(ctx, inside, t, table, func(rows int64) { progress(done+rows, c.total) })
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", table.name, err)
		}
		done += n
		counts = append(counts, TableCount{table.name, n})
	}
	return counts, nil
}

func (c *copied) copyTable(ctx, inside context.Context, t *transaction, table copiedTable, progress func(rows int64)) (n int64, err error) {
	var present int64
	if _, err := t.row(inside, "SELECT count(*) FROM "+table.name, nil, &present); err != nil {
		return 0, err
	}
	if present > 0 {
		return 0, errors.New("it has rows since a moment ago: another program uses this database")
	}
	columns := strings.Join(table.columns, ", ")
	const chunk = 500
	var rows [][]any
	flush := func() error {
		err := t.insert(inside, "", table.name+" ("+columns+")", rows, "")
		rows = rows[:0]
		progress(n)
		return err
	}
	err = c.session.rows(ctx, "SELECT "+columns+" FROM "+table.name+" ORDER BY "+table.order, nil, func(from *sql.Rows) error {
		row := make([]any, len(table.columns))
		into := make([]any, len(row))
		for i := range row {
			into[i] = &row[i]
		}
		if err := from.Scan(into...); err != nil {
			return err
		}
		for i, value := range row {
			if raw, ok := value.([]byte); ok {
				row[i] = string(raw)
			}
		}
		rows = append(rows, row)
		n++
		if len(rows) < chunk {
			return ctx.Err()
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return 0, err
	}
	if _, err := t.row(inside, "SELECT count(*) FROM "+table.name, nil, &present); err != nil {
		return 0, err
	}
	if present != n || n != c.totals[table.name] {
		return 0, fmt.Errorf("%d of %d rows arrived", present, c.totals[table.name])
	}
	return n, nil
}
