// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"slapos/slap/clock"
)

// The tables have a version, and migrations bring them to the next one: the
// file migrations/N_postgres.sql or migrations/N_sqlite.sql is what brings a
// database of that kind to version N. A kind without such a file has nothing
// to do for N. What a file says never changes once a version of it is out.
//
// Version 1 is the original's schema 18. On SQLite it is made as the original
// makes it, or migrated from older ones as the original does (legacy.go), and
// what later versions add must not be in the original's way: it stands in
// tables of our own, whose names end in 18. The version is in the header of the
// file, which the original leaves alone; a server has it in the table schema18.
//
//go:embed migrations
var migrationFiles embed.FS

// migration brings tables from any earlier version to its own.
type migration struct {
	version int64
	script  string
}

// migrationsOf lists those of a kind of database, "postgres" or "sqlite".
func migrationsOf(kind string) (list []migration) {
	names, err := fs.Glob(migrationFiles, "migrations/*_"+kind+".sql")
	if err != nil {
		panic(err) // the pattern is ours
	}
	for _, name := range names {
		number, _, _ := strings.Cut(strings.TrimPrefix(name, "migrations/"), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			panic(err) // the files are part of the program
		}
		script, err := migrationFiles.ReadFile(name)
		if err != nil {
			panic(err)
		}
		list = append(list, migration{version, string(script)})
	}
	slices.SortFunc(list, func(a, b migration) int { return int(a.version - b.version) })
	return list
}

// migrations are those of this kind of database.
func (d dialect) migrations() []migration {
	if d.file == "" {
		return migrationsOf("postgres")
	}
	return migrationsOf("sqlite")
}

// newest is the version that the last of some migrations leads to, 1 without
// any.
func newest(migrations []migration) int64 {
	if len(migrations) == 0 {
		return 1
	}
	return migrations[len(migrations)-1].version
}

// NewerError says that the tables of a database are of a version that this
// program doesn't know.
type NewerError struct{ Found, Known int64 }

func (e *NewerError) Error() string {
	return fmt.Sprintf("its tables are of version %d, this slapos knows version %d: use the slapos that wrote them or a newer one, or restore a backup",
		e.Found, e.Known)
}

// migrateFile brings an SQLite file up to date, in the transaction that is
// open.
func (d *Database) migrateFile(ctx context.Context, s *session) error {
	migrations := append(d.dialect.migrations(), d.options.further...)
	version, err := d.dialect.version(ctx, s)
	if err != nil {
		return err
	}
	if version > newest(migrations) {
		return &NewerError{version, newest(migrations)}
	}
	for _, m := range migrations {
		if m.version <= version {
			continue
		}
		if err := s.script(ctx, fmt.Sprintf("%s;\nPRAGMA user_version = %d", m.script, m.version)); err != nil {
			return fmt.Errorf("migration to version %d: %w", m.version, err)
		}
	}
	return nil
}

// version is that of the tables. Those that have none are of version 1.
func (d dialect) version(ctx context.Context, s *session) (version int64, err error) {
	query := "PRAGMA user_version"
	if d.file == "" {
		exists, err := s.hasVersion(ctx)
		if err != nil || !exists {
			return 1, err
		}
		query = readVersion
	}
	_, err = s.row(ctx, query, nil, &version)
	return max(version, 1), err
}

func (s *session) hasVersion(ctx context.Context) (bool, error) {
	var one int
	return s.row(ctx, "SELECT 1 FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = 'schema18'", nil, &one)
}

// readVersion finds the one row of the table; lockVersion keeps others from
// doing so too until the transaction ends. CockroachDB knows no other lock.
const (
	readVersion = "SELECT version FROM schema18 WHERE name = 'proxy'"
	lockVersion = readVersion + " FOR UPDATE"
)

// migrateServer brings a server's tables up to date. Any number of proxies may
// start at once: each migration is a transaction that locks the row with the
// version, so that the others wait and find it done. An interrupted one leaves
// nothing.
func (d *Database) migrateServer(ctx context.Context, s *session) (err error) {
	const attempts = 10
	for attempt := range attempts {
		if err := clock.Pause(ctx, time.Duration(attempt)*50*time.Millisecond); err != nil {
			return err
		}
		if err = d.tryMigrations(ctx, s); !serialization(err) && !made(err) {
			break
		}
	}
	return err
}

// made reports whether a table couldn't be made because somebody else was
// making it: "if not exists" doesn't look at what others haven't committed.
func made(err error) bool {
	var failure *pgconn.PgError
	if !errors.As(err, &failure) {
		return false
	}
	switch failure.Code {
	case "23505", "42P07", "42710": // unique violation, duplicate table, duplicate object
		return true
	}
	return false
}

func (d *Database) tryMigrations(ctx context.Context, s *session) error {
	exists, err := s.hasVersion(ctx)
	if err != nil {
		return err
	}
	if !exists {
		if err := s.script(ctx, "CREATE TABLE IF NOT EXISTS schema18 (name TEXT PRIMARY KEY, version BIGINT NOT NULL)"); err != nil {
			return err
		}
	}
	migrations := append(d.dialect.migrations(), d.options.further...)
	version, err := d.present(ctx, s)
	for err == nil && version < newest(migrations) {
		version, err = d.step(ctx, s, migrations)
	}
	if err == nil && version > newest(migrations) {
		err = &NewerError{version, newest(migrations)}
	}
	return err
}

// present is the version that a server's tables have, 0 for a database that
// has none or wasn't asked for it before.
func (d *Database) present(ctx context.Context, s *session) (version int64, err error) {
	found, err := s.row(ctx, readVersion, nil, &version)
	if err == nil && !found {
		err = s.script(ctx, "INSERT INTO schema18 (name, version) VALUES ('proxy', 0) ON CONFLICT DO NOTHING")
	}
	return version, err
}

// step runs the next migration, if others didn't meanwhile, and returns the
// version after it.
func (d *Database) step(ctx context.Context, s *session, migrations []migration) (version int64, err error) {
	if err := s.script(ctx, "BEGIN"); err != nil {
		return 0, err
	}
	version, err = d.migrateLocked(ctx, s, migrations)
	if err == nil {
		err = s.script(ctx, "COMMIT")
	}
	if err != nil {
		_ = s.script(ctx, "ROLLBACK")
	}
	return version, err
}

func (d *Database) migrateLocked(ctx context.Context, s *session, migrations []migration) (version int64, err error) {
	if _, err := s.row(ctx, lockVersion, nil, &version); err != nil {
		return 0, err
	}
	for _, m := range migrations {
		if m.version <= version {
			continue
		}
		if err := s.script(ctx, withComputer(m.script, d.options.Computer)); err != nil {
			return 0, fmt.Errorf("migration to version %d: %w", m.version, err)
		}
		_, err := s.exec(ctx, "UPDATE schema18 SET version = $1 WHERE name = 'proxy'", m.version)
		return m.version, err
	}
	return version, nil
}
