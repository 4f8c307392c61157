// SPDX-License-Identifier: GPL-3.0-or-later

package server

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx"
	_ "modernc.org/sqlite"             // driver "sqlite"

	"slapos/networkcache"
)

// A Table keeps entries in the table shadir_entry of a database, SQLite or
// PostgreSQL. Several servers can share it. The database may have other tables,
// except those of a proxy in SQLite, which must be alone in its file.
type Table struct {
	pool *sql.DB
	// lock makes a transaction the only one to write entries of a key.
	lock string
}

// IsDatabase reports whether a place of entries is a database's address.
func IsDatabase(place string) bool {
	return isPostgres(place) || strings.HasPrefix(place, "sqlite:")
}

func isPostgres(place string) bool {
	return strings.HasPrefix(place, "postgres://") || strings.HasPrefix(place, "postgresql://")
}

// Newer entries have larger numbers.
const (
	sqliteTable = `CREATE TABLE IF NOT EXISTS shadir_entry (
	number INTEGER PRIMARY KEY, entry_key TEXT NOT NULL, entry TEXT NOT NULL, uploader TEXT NOT NULL DEFAULT '')`
	postgresTable = `CREATE TABLE IF NOT EXISTS shadir_entry (
	number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, entry_key TEXT NOT NULL, entry TEXT NOT NULL,
	uploader TEXT NOT NULL DEFAULT '')`
	tableIndex = `CREATE INDEX IF NOT EXISTS shadir_entry_key ON shadir_entry (entry_key)`
	// Tables of earlier versions have no uploaders.
	uploaderColumn = `ALTER TABLE shadir_entry ADD COLUMN uploader TEXT NOT NULL DEFAULT ''`
)

func openTable(ctx context.Context, address string) (*Table, error) {
	driver, source, table := "pgx", address, postgresTable
	t := &Table{lock: "SELECT pg_advisory_xact_lock(hashtext($1))"}
	if path, isFile := strings.CutPrefix(address, "sqlite:"); isFile {
		driver, source, table = "sqlite", sqliteSource(path), sqliteTable
		t.lock = "" // SQLite's writers wait for each other
	}
	var err error
	if t.pool, err = sql.Open(driver, source); err == nil {
		for range 5 { // several servers may create it at once
			if err = t.prepare(ctx, table, tableIndex); !isConflict(err) {
				break
			}
		}
		if err != nil {
			t.pool.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("entries in %s: %s", redacted(address), strings.Join(strings.Fields(err.Error()), " "))
	}
	return t, nil
}

func (t *Table) prepare(ctx context.Context, statements ...string) error {
	for _, statement := range statements {
		if _, err := t.pool.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return t.complete(ctx)
}

// complete adds what an older table lacks. Another server may do it first.
func (t *Table) complete(ctx context.Context) error {
	const probe = "SELECT uploader FROM shadir_entry LIMIT 1"
	if _, err := column(ctx, t.pool, probe); err == nil {
		return nil
	}
	_, err := t.pool.ExecContext(ctx, uploaderColumn)
	if _, again := column(ctx, t.pool, probe); again == nil {
		return nil
	}
	return err
}

// sqliteSource requests write-ahead logging and transactions that lock for
// writing from their start.
func sqliteSource(path string) string {
	options := url.Values{"_pragma": {"busy_timeout(15000)", "journal_mode(wal)", "synchronous(full)"}, "_txlock": {"immediate"}}
	elements := strings.Split(filepath.ToSlash(path), "/")
	for i, element := range elements {
		elements[i] = url.PathEscape(element)
	}
	return "file:" + strings.Join(elements, "/") + "?" + options.Encode()
}

// redacted hides the password in an address.
func redacted(address string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		return "the database"
	}
	return parsed.Redacted()
}

// A querier is a pool or a transaction.
type querier interface {
	QueryContext(ctx context.Context, statement string, arguments ...any) (*sql.Rows, error)
}

// Read implements [Index].
func (t *Table) Read(ctx context.Context, key string) ([]byte, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	list, err := t.list(ctx, t.pool, key)
	if err != nil {
		return nil, keyError(key, err)
	}
	if len(list) == 0 {
		return nil, fs.ErrNotExist
	}
	return listText(list)
}

func (t *Table) list(ctx context.Context, from querier, key string) (list []listed, err error) {
	rows, err := from.QueryContext(ctx, "SELECT entry, uploader FROM shadir_entry WHERE entry_key = $1 ORDER BY number DESC", storable(key))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var entry, uploader string
		if err := rows.Scan(&entry, &uploader); err != nil {
			return nil, err
		}
		list = append(list, listed{json.RawMessage(entry), uploader})
	}
	return list, rows.Err()
}

// column reads the only column of a result.
func column(ctx context.Context, from querier, statement string, arguments ...any) ([]string, error) {
	rows, err := from.QueryContext(ctx, statement, arguments...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var texts []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, rows.Err()
}

// storable makes text acceptable to databases: UTF-8 without NUL.
func storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// A change turns a list of entries into another.
type change func([]listed) ([]listed, error)

// change changes the entries of a key, and retries if the database says that
// somebody else was faster.
func (t *Table) change(ctx context.Context, key string, with change) (err error) {
	if err := checkKey(key); err != nil {
		return err
	}
	for range 5 {
		if err = t.tryChange(ctx, storable(key), with); !isConflict(err) {
			break
		}
	}
	return keyError(key, err)
}

// isConflict reports whether another server was faster: in a transaction, or in
// creating the table or its index.
func isConflict(err error) bool {
	var failure *pgconn.PgError
	return errors.As(err, &failure) && slices.Contains([]string{"40001", "40P01", "23505", "42P07"}, failure.Code)
}

func (t *Table) tryChange(ctx context.Context, key string, with change) error {
	transaction, err := t.pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := t.changeWithin(ctx, transaction, key, with); err != nil {
		_ = transaction.Rollback() // the database does so itself if it can't be reached
		return err
	}
	return transaction.Commit()
}

func (t *Table) changeWithin(ctx context.Context, transaction *sql.Tx, key string, with change) error {
	if t.lock != "" {
		if _, err := transaction.ExecContext(ctx, t.lock, key); err != nil {
			return err
		}
	}
	old, err := t.list(ctx, transaction, key)
	if err != nil {
		return err
	}
	list, err := with(old)
	if err != nil {
		return err
	}
	if _, err := listText(list); err != nil {
		return err
	}
	if _, err := transaction.ExecContext(ctx, "DELETE FROM shadir_entry WHERE entry_key = $1", key); err != nil {
		return err
	}
	for i := len(list) - 1; i >= 0; i-- {
		_, err := transaction.ExecContext(ctx, "INSERT INTO shadir_entry (entry_key, entry, uploader) VALUES ($1, $2, $3)",
			key, string(list[i].entry), storable(list[i].uploader))
		if err != nil {
			return err
		}
	}
	return nil
}

// Add implements [Index].
func (t *Table) Add(ctx context.Context, key string, entry []byte, uploader string) error {
	return t.change(ctx, key, func(list []listed) ([]listed, error) { return added(entry, storable(uploader), list) })
}

// Replace implements [Index].
func (t *Table) Replace(ctx context.Context, key string, list []byte) error {
	return t.change(ctx, key, func([]listed) ([]listed, error) { return parseList(list) })
}

// Remove implements [Index].
func (t *Table) Remove(ctx context.Context, key string) error {
	return t.change(ctx, key, func([]listed) ([]listed, error) { return nil, nil })
}

// Keys implements [Index].
func (t *Table) Keys(ctx context.Context) ([]string, error) {
	return column(ctx, t.pool, "SELECT DISTINCT entry_key FROM shadir_entry ORDER BY entry_key")
}

var errUnchanged = errors.New("unchanged")

// Filter implements [Index].
func (t *Table) Filter(ctx context.Context, key string, keep func(networkcache.Entry) bool) (changed bool, err error) {
	err = t.change(ctx, key, func(list []listed) ([]listed, error) {
		kept := filtered(list, keep)
		if len(kept) == len(list) {
			return nil, errUnchanged
		}
		return kept, nil
	})
	if errors.Is(err, errUnchanged) {
		return false, nil
	}
	return err == nil, err
}

// Close implements [Index].
func (t *Table) Close() error { return t.pool.Close() }
