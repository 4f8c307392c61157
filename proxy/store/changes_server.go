// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"time"

	"github.com/jackc/pgx/v5/stdlib"

	"slapos/slap/clock"
)

const (
	// changeChannel is where masters of a server tell each other what changed.
	changeChannel = "slapos_change18"
	// lookAtServer is how often the counters are compared besides: a connection can be
	// lost unnoticed, and some servers and poolers pass nothing on.
	lookAtServer = 5 * time.Second
	// longestNotice is PostgreSQL's, in bytes, and some room.
	longestNotice = 4000
)

// serverChanges counts in a table, which all proxies of a server share.
type serverChanges struct {
	db *Database
	// notifies is false for servers that know no NOTIFY, as CockroachDB.
	notifies bool
	// known are the counters up to which follow has rung.
	known *counters
}

func newServerChanges(ctx context.Context, db *Database) serverChanges {
	_, err := db.pool.ExecContext(ctx, "SELECT pg_notify('slapos_probe18', '')")
	return serverChanges{db: db, notifies: err == nil, known: &counters{}}
}

func (c serverChanges) began(context.Context, *session) error { return nil }

func (c serverChanges) record(ctx context.Context, s *session, changed map[string]bool) error {
	for computer := range changed {
		if _, err := s.exec(ctx, `INSERT INTO change18 (computer_reference, counter) VALUES ($1, 1)
			ON CONFLICT (computer_reference) DO UPDATE SET counter = change18.counter + 1`, computer); err != nil {
			return err
		}
		if !c.notifies {
			continue
		}
		notice := computer
		if len(notice) > longestNotice {
			notice = ""
		}
		if _, err := s.exec(ctx, "SELECT pg_notify('"+changeChannel+"', $1)", notice); err != nil {
			return err
		}
	}
	return nil
}

func (c serverChanges) committed(map[string]bool) {}

func (c serverChanges) epoch() string { return "" }

func (c serverChanges) version(ctx context.Context, computer string) (version int64, err error) {
	err = c.db.look(ctx, func(ctx context.Context, s *session) error {
		_, err := s.row(ctx, `SELECT CAST(sum(counter) AS BIGINT) FROM change18 WHERE computer_reference IN ('', $1)`,
			[]any{computer}, &version)
		return err
	})
	return version, err
}

// counters are all counters, and their sum, as far as known.
type counters struct {
	sum  int64
	each map[string]int64
}

// follow listens to the other masters of the server, and compares the counters now and
// then in case a notice was lost.
func (c serverChanges) follow(ctx context.Context, ring func(string)) {
	for ctx.Err() == nil {
		if c.notifies {
			c.listen(ctx, ring) // until the connection ends
		} else {
			c.compare(ctx, ring)
		}
		_ = clock.Pause(ctx, lookAtServer)
	}
}

// listen rings for notices until the connection or ctx ends.
func (c serverChanges) listen(ctx context.Context, ring func(string)) {
	connection, err := c.db.pool.Conn(ctx)
	if err != nil {
		return
	}
	defer connection.Close()
	_ = connection.Raw(func(raw any) error {
		if server, ok := raw.(*stdlib.Conn); ok {
			c.hear(ctx, server, ring)
		}
		return driver.ErrBadConn // one that listens is of no other use
	})
}

func (c serverChanges) hear(ctx context.Context, server *stdlib.Conn, ring func(string)) {
	if _, err := server.Conn().Exec(ctx, "LISTEN "+changeChannel); err != nil {
		c.compare(ctx, ring)
		return
	}
	for ctx.Err() == nil {
		c.compare(ctx, ring) // also what came before LISTEN
		until, cancel := context.WithTimeout(ctx, lookAtServer)
		for {
			notice, err := server.Conn().WaitForNotification(until)
			if err != nil {
				break
			}
			ring(notice.Payload)
		}
		cancel()
		if server.Conn().IsClosed() {
			return
		}
	}
}

// compare rings for the computers whose counters have changed.
func (c serverChanges) compare(ctx context.Context, ring func(string)) {
	known := c.known
	var sum int64
	err := c.db.look(ctx, func(ctx context.Context, s *session) error {
		_, err := s.row(ctx, "SELECT CAST(sum(counter) AS BIGINT) FROM change18", nil, &sum)
		return err
	})
	if err != nil || known.each != nil && sum == known.sum {
		return
	}
	now, changed := map[string]int64{}, map[string]bool{}
	err = c.db.look(ctx, func(ctx context.Context, s *session) error {
		clear(now)
		clear(changed)
		return s.rows(ctx, "SELECT computer_reference, counter FROM change18", nil, func(rows *sql.Rows) error {
			var computer string
			var counter int64
			err := rows.Scan(&computer, &counter)
			now[computer], changed[computer] = counter, true
			return err
		})
	})
	if err != nil {
		return
	}
	for computer, counter := range now {
		if former, found := known.each[computer]; found && former == counter {
			delete(changed, computer)
		}
	}
	if changed[""] {
		changed = map[string]bool{"": true} // all are woken, and once
	}
	for computer := range changed {
		ring(computer)
	}
	known.sum, known.each = sum, now
}
