// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"slapos/slap/wholefile"
)

// Backup writes a copy of a database, as of one moment, to a file that only its owner
// can read: an SQLite file, whatever the database is. Programs that use the database
// go on. The file is there whole, after it was opened and checked, or not at all; one
// that had its name before is replaced if it was a database too. It says what the copy
// has.
func Backup(ctx context.Context, uri, path string) (*Contents, error) {
	if err := checkURI(uri); err != nil {
		return nil, err
	}
	if err := replaceable(path, uri); err != nil {
		return nil, fmt.Errorf("backup %s: %w", path, err)
	}
	file, err := wholefile.Create(path)
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	defer file.Cleanup()
	if dialectOf(uri).file == "" {
		_, err = Copy(ctx, CopyOptions{From: uri, To: file.Name()})
	} else {
		err = copyFile(ctx, uri, file.Name())
	}
	defer removeBesides(file.Name()) // of a failed copy
	if err != nil {
		return nil, err
	}
	contents, err := Inspect(ctx, file.Name())
	if err != nil {
		return nil, fmt.Errorf("the copy is no good: %w", err)
	}
	if err := file.CloseAtomicallyReplace(); err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	return contents, nil
}

// replaceable refuses to write over anything but an older backup.
func replaceable(path, uri string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if database, err := os.Stat(dialectOf(uri).file); err == nil && os.SameFile(info, database) {
		return errors.New("that is the database itself: name another file")
	}
	if !info.Mode().IsRegular() {
		return errors.New("it is no file: name another one")
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if !isSQLite(file) {
		return errors.New("there is a file of another kind, which isn't replaced: name another one")
	}
	return nil
}

// copyFile has SQLite copy a file while others use it: it sees one moment, and what
// is still in the log.
func copyFile(ctx context.Context, from, to string) error {
	if err := checkReadable(from); err != nil {
		return dialectOf(from).describe(err)
	}
	to, err := filepath.Abs(to) // SQLite takes some other names for addresses
	if err != nil {
		return err
	}
	pool, err := poolOf(from, "rw", "busy_timeout(15000)")
	if err != nil {
		return dialectOf(from).describe(err)
	}
	defer pool.Close()
	if _, err := pool.ExecContext(ctx, "VACUUM INTO ?", to); err != nil {
		if full(err) {
			return fmt.Errorf("backup %s: %w", to, ErrFull)
		}
		return dialectOf(from).describe(err)
	}
	return nil
}

// poolOf opens an SQLite file as it is.
func poolOf(path, mode string, pragmas ...string) (*sql.DB, error) {
	source, _, _ := strings.Cut(sqliteSource(path), "?")
	pool, err := sql.Open("sqlite", source+"?"+url.Values{"mode": {mode}, "_pragma": pragmas}.Encode())
	if err == nil {
		pool.SetMaxOpenConns(1)
	}
	return pool, err
}

// besides are the files that SQLite keeps beside a database.
var besides = []string{"-wal", "-shm", "-journal"}

func removeBesides(path string) {
	for _, suffix := range besides {
		_ = os.Remove(path + suffix)
	}
}

// RestoreOptions say which backup to restore where.
type RestoreOptions struct {
	// File is a backup; URI is as Options.URI.
	File, URI string
	// Force replaces a database that has something. The former one of SQLite stays
	// beside it.
	Force bool
	// Now is the clock, time.Now when nil.
	Now func() time.Time
}

// Restored says what a restored database has, and where the former one is.
type Restored struct {
	*Contents
	Former string
}

// Restore puts a backup into the place of a database. It refuses a backup that is
// damaged, or of a newer program; a database that somebody uses, and, unless forced,
// one that has something. A server's must be empty.
func Restore(ctx context.Context, o RestoreOptions) (*Restored, error) {
	if err := checkURI(o.URI); err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	contents, err := inspectBackup(ctx, o.File)
	if err != nil {
		return nil, err
	}
	if dialectOf(o.URI).file == "" {
		_, err := Copy(ctx, CopyOptions{From: o.File, To: o.URI})
		return &Restored{Contents: contents}, err
	}
	file, err := wholefile.Create(o.URI)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	defer file.Cleanup()
	defer removeBesides(file.Name())
	if err := fill(file, o.File); err != nil {
		return nil, fmt.Errorf("restore %s: %w", o.File, err)
	}
	// What arrived counts, not what was read before.
	if contents, err = Inspect(ctx, file.Name()); err != nil {
		return nil, err
	}
	former, err := replace(ctx, file, o, contents)
	return &Restored{Contents: contents, Former: former}, err
}

func inspectBackup(ctx context.Context, path string) (*Contents, error) {
	for _, suffix := range besides {
		if info, err := os.Stat(path + suffix); err == nil && info.Size() > 0 && suffix != "-shm" {
			return nil, fmt.Errorf("backup %s: with %s beside it, it is a database that somebody uses: make a backup of it", path, path+suffix)
		}
	}
	contents, err := Inspect(ctx, path)
	if err != nil {
		return nil, err
	}
	if contents.Suffix == "" {
		return nil, fmt.Errorf("backup %s is empty", path)
	}
	if known := newest(dialectOf(path).migrations()); contents.Schema > known {
		return nil, fmt.Errorf("backup %s: %w", path, &NewerError{contents.Schema, known})
	}
	return contents, nil
}

func fill(file *wholefile.File, from string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	_, err = io.Copy(file, source)
	return err
}

// replace puts new content into the place of a database, whose former content gets
// another name.
func replace(ctx context.Context, file *wholefile.File, o RestoreOptions, contents *Contents) (former string, err error) {
	info, err := os.Stat(o.URI)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return "", file.CloseAtomicallyReplace()
	}
	if err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	present, err := seize(ctx, o.URI)
	if err != nil {
		return "", err
	}
	defer present.Close()
	if err := o.mayReplace(ctx, present, contents); err != nil {
		return "", err
	}
	former = o.URI + "-before-restore-" + o.Now().UTC().Format("20060102-150405")
	if err := os.Link(o.URI, former); err != nil {
		return "", fmt.Errorf("restore: the database can't be kept: %w", err)
	}
	// A damaged one may have left some.
	for _, suffix := range besides {
		if err := os.Rename(o.URI+suffix, former+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("restore: %w", err)
		}
	}
	return former, file.CloseAtomicallyReplace()
}

// mayReplace refuses to lose what a database has, unless that is wanted.
func (o RestoreOptions) mayReplace(ctx context.Context, reader *Reader, contents *Contents) error {
	if o.Force {
		return nil
	}
	present, err := reader.contents(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("%w; --force replaces it, and keeps it under another name", reader.dialect.describe(err))
	case present.empty():
		return nil
	case present.LastEvent > contents.LastEvent:
		return fmt.Errorf("database %s has %s, and what happened after the backup, until %s: --force replaces it, and keeps it under another name",
			o.URI, present, time.Unix(int64(present.LastEvent), 0).UTC().Format(time.DateTime))
	}
	return fmt.Errorf("database %s has %s: --force replaces it, and keeps it under another name", o.URI, present)
}

// seize makes sure that nobody uses a file, and that nobody can until it is closed. One
// that isn't SQLite's, or damaged, nobody can use.
func seize(ctx context.Context, path string) (*Reader, error) {
	if err := checkReadable(path); err != nil {
		return nil, dialectOf(path).describe(err)
	}
	pool, err := poolOf(path, "rw", "busy_timeout(1000)")
	if err != nil {
		return nil, dialectOf(path).describe(err)
	}
	// Only who is alone can leave the log: everybody else has the file locked.
	var mode string
	err = pool.QueryRowContext(ctx, "PRAGMA journal_mode=delete").Scan(&mode)
	if err == nil && mode == "delete" {
		_, err = pool.ExecContext(ctx, "BEGIN EXCLUSIVE")
	}
	if inUse(err) || err == nil && mode != "delete" {
		pool.Close()
		return nil, fmt.Errorf("database %s is in use: stop its master first", path)
	}
	return &Reader{dialect: dialectOf(path), pool: pool}, nil
}

// Contents are what a database has.
type Contents struct {
	// Schema is the version of the tables, see migrations.go; 1 for those of the
	// original. Suffix is that of their names.
	Schema int64
	Suffix string
	// What is in it, and the time of its newest event, 0 without one.
	Computers, Instances, Releases, Events int64
	LastEvent                              float64
}

func (c *Contents) String() string {
	return strings.Join([]string{plural(c.Computers, "node"), plural(c.Instances, "instance"), plural(c.Releases, "installation"), plural(c.Events, "event")}, ", ")
}

func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (c *Contents) empty() bool {
	return c.Computers == 0 && c.Instances == 0 && c.Releases == 0 && c.Events == 0
}

// Inspect checks a file that nobody writes to, or that others may be using, and says
// what it has. The error is one line that names the file.
func Inspect(ctx context.Context, path string) (*Contents, error) {
	if err := checkReadable(path); err != nil {
		return nil, dialectOf(path).describe(err)
	}
	pool, err := poolOf(path, "rw", "busy_timeout(15000)", "query_only(1)")
	if err != nil {
		return nil, dialectOf(path).describe(err)
	}
	defer pool.Close()
	reader := &Reader{dialect: dialectOf(path), pool: pool}
	contents, err := reader.contents(ctx)
	if err != nil {
		return nil, reader.dialect.describe(err)
	}
	return contents, nil
}

func (r *Reader) contents(ctx context.Context) (*Contents, error) {
	var verdict string
	if err := r.pool.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
		return nil, err
	}
	if verdict != "ok" {
		return nil, errors.New("malformed: " + verdict)
	}
	tables, err := r.tables(ctx)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(tables))
	for name := range tables {
		names = append(names, name)
	}
	if len(names) == 0 {
		return &Contents{}, nil
	}
	slices.Sort(names)
	c := &Contents{}
	if c.Suffix, err = versionOf(names); err != nil {
		return nil, err
	}
	if !tables["computer"+c.Suffix] || !tables["partition"+c.Suffix] {
		return nil, errors.New("is not the database of a slapos proxy: no table computer" + c.Suffix)
	}
	if err := r.pool.QueryRowContext(ctx, "PRAGMA user_version").Scan(&c.Schema); err != nil {
		return nil, err
	}
	c.Schema = max(c.Schema, 1)
	for _, count := range []struct {
		table, query string
		into         any
	}{
		{"computer", "SELECT count(*) FROM computer", &c.Computers},
		{"partition", "SELECT count(*) FROM partition" + c.Suffix + " WHERE slap_state <> 'free'", &c.Instances},
		{"software", "SELECT count(*) FROM software", &c.Releases},
		{"event", "SELECT count(*) FROM event", &c.Events},
		{"event", "SELECT COALESCE(max(time), 0) FROM event", &c.LastEvent},
	} {
		if !tables[count.table+c.Suffix] {
			continue
		}
		query := count.query
		if count.table != "partition" {
			query += c.Suffix
		}
		if err := r.pool.QueryRowContext(ctx, query).Scan(count.into); err != nil {
			return nil, err
		}
	}
	return c, nil
}
