// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx"
	"modernc.org/sqlite"               // and driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

//go:embed schema_sqlite.sql
var sqliteSchema string

//go:embed indexes.sql
var indexes string

//go:embed usage.sql
var usageSchema string

//go:embed related.sql
var relatedSchema string

//go:embed history.sql
var historySchema string

// SQLite gets these with their first row, by the statements of the server's
// migration.

//go:embed migrations/4_postgres.sql
var accessSchema string

//go:embed migrations/5_postgres.sql
var deliverySchema string

// dialect is where the databases differ.
type dialect struct {
	driver string
	source string // what the driver opens
	// begin opens a transaction that no other writer, of any process, can
	// run beside; snapshot one that reads a single moment.
	begin    []string
	snapshot string
	// file is the SQLite file, "" for a server.
	file string
}

func dialectOf(uri string) dialect {
	if strings.HasPrefix(uri, "postgres://") || strings.HasPrefix(uri, "postgresql://") {
		return dialect{
			driver: "pgx",
			source: uri,
			begin: []string{
				"BEGIN ISOLATION LEVEL READ COMMITTED",
				"SELECT counter FROM change18 WHERE computer_reference = '' FOR UPDATE",
			},
			snapshot: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
		}
	}
	return dialect{
		driver:   "sqlite",
		source:   sqliteSource(uri),
		begin:    []string{"BEGIN IMMEDIATE"},
		snapshot: "BEGIN",
		file:     uri,
	}
}

// checkURI refuses the address of a server that would be taken for the name of
// a file. The error doesn't repeat it: it may hold a password.
func checkURI(uri string) error {
	scheme, _, isURL := strings.Cut(uri, "://")
	isKeyValue := connectionString().MatchString(uri)
	if isKeyValue && !isURL || isURL && !strings.Contains(scheme, "/") && scheme != "postgres" && scheme != "postgresql" ||
		!isURL && loginOfHost().MatchString(uri) {
		return errors.New("database_uri is not a usable database: write the path of an SQLite file, or postgres://USER@HOST/NAME")
	}
	return nil
}

// connectionString matches libpq's other form, key=value.
var connectionString = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?:^|\s)(?:host|hostaddr|dbname|user|password)\s*=`)
})

// loginOfHost matches an address that lost its scheme, or the slashes after it.
var loginOfHost = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[^/]*:/?[^/]*@|^(?i:postgres|postgresql)(?:\+[a-z0-9]+)?:`)
})

// sqliteSource asks for write-ahead logging, so that readers never wait for a
// writer, and for commits that survive a power cut.
func sqliteSource(path string) string {
	pragmas := url.Values{"_pragma": {"busy_timeout(15000)", "journal_mode(wal)", "synchronous(full)"}}
	elements := strings.Split(filepath.ToSlash(path), "/")
	for i, element := range elements {
		elements[i] = url.PathEscape(element)
	}
	return "file:" + strings.Join(elements, "/") + "?" + pragmas.Encode()
}

// withComputer fills in the default computer of the schema (PROXY-20).
func withComputer(schema, computer string) string {
	return strings.ReplaceAll(schema, "@computer", "'"+strings.ReplaceAll(computer, "'", "''")+"'")
}

// serialization reports whether a server refused a transaction that may
// succeed when repeated.
func serialization(err error) bool {
	var failure *pgconn.PgError
	return errors.As(err, &failure) && (failure.Code == "40001" || failure.Code == "40P01")
}

// full reports whether a database has no room for what is to be written.
func full(err error) bool {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		return server.Code == "53100" // disk full
	}
	var file *sqlite.Error
	if errors.As(err, &file) {
		return file.Code()&0xff == sqlite3.SQLITE_FULL || file.Code() == sqlite3.SQLITE_IOERR_WRITE
	}
	return false
}

// inUse reports whether others use a file in a way that keeps us from it.
func inUse(err error) bool {
	var file *sqlite.Error
	return errors.As(err, &file) && (file.Code()&0xff == sqlite3.SQLITE_BUSY || file.Code()&0xff == sqlite3.SQLITE_LOCKED)
}

// lineError is an error told in one line.
type lineError struct{ error }

func (e lineError) Unwrap() error { return e.error }

func (e lineError) Error() string {
	lines := strings.FieldsFunc(e.error.Error(), func(r rune) bool { return r == '\n' || r == '\r' })
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, " ")
}

// describe turns a driver's error at opening into one that a user can act on.
func (d dialect) describe(err error) error {
	err = lineError{err}
	if d.file == "" {
		return fmt.Errorf("database %s: %w", redact(d.source), err)
	}
	text := err.Error()
	switch {
	case errors.Is(err, fs.ErrNotExist), strings.Contains(text, "unable to open database file"):
		return fmt.Errorf("database %s can't be opened: its directory must exist, and be writable", d.file)
	case errors.Is(err, fs.ErrPermission), strings.Contains(text, "readonly database"):
		return fmt.Errorf("database %s can't be written: check the permissions of the file and of its directory", d.file)
	case strings.Contains(text, "no such table"):
		return fmt.Errorf("database %s is not the database of a slapos proxy: name another with -u or database_uri (%w)", d.file, err)
	case strings.Contains(text, "file is not a database"), strings.Contains(text, "malformed"):
		return fmt.Errorf("database %s is damaged or no SQLite database: restore a backup, or move it away to start with an empty one (%w)", d.file, err)
	}
	return fmt.Errorf("database %s: %w", d.file, err)
}

// redact hides the password of a database address.
func redact(address string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		return "postgres"
	}
	return parsed.Redacted()
}
