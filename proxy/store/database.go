// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"time"
)

// Options say which database to open, and how to complete it.
type Options struct {
	// URI is the path of an SQLite file, made when missing, or postgres://….
	URI string
	// Computer is the default computer of the schema.
	Computer string
	// SoftwareRoot is where local software releases lie, "/" when empty. When
	// it differs from the last time, their paths are moved along (PROXY-145).
	SoftwareRoot string
	// Logger gets what migration does; nothing when nil.
	Logger *slog.Logger
	// HistoryDays and HistoryEvents bound what is kept of what happened: events
	// of that many days, and of each subject that many. They are DefaultHistoryDays
	// and DefaultHistoryEvents when zero.
	HistoryDays, HistoryEvents int
	// Now is the clock, time.Now when nil.
	Now func() time.Time
	// Trace gets the text of each statement that reads for somebody, unless nil. Calls
	// come from several goroutines.
	Trace func(statement string)

	further []migration // beyond those of this version
}

// Database is a [Store] over SQLite or PostgreSQL.
type Database struct {
	dialect dialect
	options Options
	pool    *sql.DB
	readers chan *session // nil entries are connections to be made
	writer  *writer
	changes changes
	awaited *awaited
	history *history
	closing sync.Once
	closed  error
}

var _ Store = (*Database)(nil)

// Open opens a database, and creates or migrates its tables. The error is one
// line that names the database and what to do.
func Open(ctx context.Context, options Options) (*Database, error) {
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.SoftwareRoot == "" {
		options.SoftwareRoot = "/"
	}
	if err := checkURI(options.URI); err != nil {
		return nil, err
	}
	options.HistoryDays = cmp.Or(options.HistoryDays, DefaultHistoryDays)
	options.HistoryEvents = cmp.Or(options.HistoryEvents, DefaultHistoryEvents)
	d := &Database{dialect: dialectOf(options.URI), options: options, history: newHistory()}
	if err := d.open(ctx); err != nil {
		d.abandon()
		return nil, d.dialect.describe(err)
	}
	go d.writer.loop()   // owns the transaction; Close ends it and waits
	go d.history.loop(d) // so does Close
	return d, nil
}

func (d *Database) open(ctx context.Context) (err error) {
	if d.dialect.file != "" {
		// SQLite makes the file only once there is something to write.
		file, err := openPrivate(d.dialect.file, os.O_RDWR, isSQLite)
		if err != nil {
			return err
		}
		file.Close()
		if err := makeBesidesPrivate(d.dialect.file); err != nil {
			return err
		}
	}
	if d.pool, err = sql.Open(d.dialect.driver, d.dialect.source); err != nil {
		return err
	}
	d.readers = make(chan *session, max(4, runtime.GOMAXPROCS(0)))
	for range cap(d.readers) {
		d.readers <- nil
	}
	if d.writer, err = startWriter(ctx, d); err != nil {
		return err
	}
	if d.dialect.file == "" {
		d.changes = newServerChanges(ctx, d)
	} else if d.changes, err = newFileChanges(ctx, d); err != nil {
		return err
	}
	d.awaited = newAwaited(d.changes.follow)
	if err := d.prepareSchema(ctx, d.writer.session); err != nil {
		return err
	}
	return d.openHistory(ctx, d.writer.session)
}

// abandon closes what open opened before it failed, so that SQLite takes its
// files beside the database away.
func (d *Database) abandon() {
	if files, ok := d.changes.(*fileChanges); ok && files != nil {
		files.close()
	}
	if d.writer != nil {
		d.writer.session.close()
	}
	if d.pool != nil {
		d.pool.Close()
	}
}

// Close implements [Store].
func (d *Database) Close() error {
	d.closing.Do(func() { d.closed = d.close() })
	return d.closed
}

func (d *Database) close() error {
	d.awaited.close()
	d.history.close()
	d.run(d.flushing())
	d.writer.close()
	for range cap(d.readers) {
		if reader := <-d.readers; reader != nil {
			reader.close()
		}
	}
	if files, ok := d.changes.(*fileChanges); ok {
		files.close()
	}
	return d.pool.Close()
}

// seconds is the time as the schema has it.
func (d *Database) seconds() float64 {
	return float64(d.options.Now().UnixNano()) / 1e9
}

// look gives a connection to read one statement with. A read is not broken
// off when ctx ends, which would cost the connection: it is short.
func (d *Database) look(ctx context.Context, read func(context.Context, *session) error) error {
	var reader *session
	select {
	case reader = <-d.readers:
	case <-ctx.Done():
		return ctx.Err()
	case <-d.writer.stopped:
		return errClosed
	}
	defer func() { d.readers <- reader }()
	ctx = context.WithoutCancel(ctx)
	for {
		fresh := reader == nil
		if fresh {
			var err error
			if reader, err = newSession(ctx, d.pool); err != nil {
				return fmt.Errorf("connect to the database: %w", err)
			}
			reader.trace = d.options.Trace
		}
		err := read(ctx, reader)
		if err == nil || errors.Is(err, ErrNotFound) || reader.conn.PingContext(ctx) == nil {
			return err
		}
		// The server closed the connection, perhaps long ago.
		reader.close()
		if reader = nil; fresh {
			return err
		}
	}
}

// read is look for several statements, which see the same moment.
func (d *Database) read(ctx context.Context, read func(context.Context, *session) error) error {
	return d.look(ctx, func(ctx context.Context, s *session) error {
		if _, err := s.exec(ctx, d.dialect.snapshot); err != nil {
			return err
		}
		err := read(ctx, s)
		if _, failure := s.exec(ctx, "ROLLBACK"); err == nil {
			err = failure
		}
		return err
	})
}
