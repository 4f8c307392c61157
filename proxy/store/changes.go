// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"
)

// lookAtFile is how often SQLite is asked whether others wrote, while somebody waits.
const lookAtFile = time.Second

// changes tells when the answer of Node for a computer may have changed.
type changes interface {
	// began is called in each transaction that writes, before anything else.
	began(ctx context.Context, s *session) error
	// record is called at its end with what changed ("" is every computer),
	// committed after the commit.
	record(ctx context.Context, s *session, changed map[string]bool) error
	committed(changed map[string]bool)
	// version differs between two calls when anything changed in between.
	version(ctx context.Context, computer string) (int64, error)
	// epoch names the counting of versions: it differs after a restart that begins anew.
	epoch() string
	// follow calls ring with the computers that other programs change ("" is every
	// computer), until ctx ends. It goes on where the last call ended; the first one
	// rings for all. There is one at a time.
	follow(ctx context.Context, ring func(computer string))
}

// fileChanges counts in memory, and asks SQLite whether others wrote to the
// file: programs that know nothing of us may, and the original's schema has no
// place for a counter. SQLite's data_version changes on a connection when
// another one commits. A connection that never writes sees all commits that
// way; that of the writer sees those of other processes only.
type fileChanges struct {
	db *Database

	watching sync.Mutex
	watch    *session
	seen     int64

	told     int64  // the version up to which follow has rung
	begun    string // epoch
	counting sync.Mutex
	foreign  int64 // data_version of the writer
	counters map[string]int64
}

func newFileChanges(ctx context.Context, db *Database) (*fileChanges, error) {
	watch, err := newSession(ctx, db.pool)
	if err != nil {
		return nil, err
	}
	return &fileChanges{db: db, watch: watch, told: -1, begun: rand.Text(), counters: map[string]int64{}}, nil
}

func (c *fileChanges) epoch() string { return c.begun }

// follow looks at the file: programs that know nothing of us can't say what they do.
func (c *fileChanges) follow(ctx context.Context, ring func(string)) {
	ticker := time.NewTicker(lookAtFile)
	defer ticker.Stop()
	for {
		if version, err := c.version(ctx, ""); err == nil && version != c.told {
			c.told = version
			ring("")
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (c *fileChanges) began(ctx context.Context, writer *session) error {
	version, err := dataVersion(ctx, writer)
	if err != nil {
		return err
	}
	c.counting.Lock()
	defer c.counting.Unlock()
	if version != c.foreign {
		c.foreign = version
		c.counters[""]++
	}
	return nil
}

func (c *fileChanges) record(context.Context, *session, map[string]bool) error { return nil }

func (c *fileChanges) committed(changed map[string]bool) {
	c.counting.Lock()
	defer c.counting.Unlock()
	for computer := range changed {
		c.counters[computer]++
	}
}

func (c *fileChanges) version(ctx context.Context, computer string) (int64, error) {
	c.watching.Lock()
	defer c.watching.Unlock()
	// Not with ctx: a cancelled statement would cost the connection.
	seen, err := dataVersion(context.WithoutCancel(ctx), c.watch)
	if err != nil {
		return 0, err
	}
	if seen != c.seen {
		if err := c.askWriter(context.WithoutCancel(ctx)); err != nil {
			return 0, err
		}
		c.seen = seen
	}
	c.counting.Lock()
	defer c.counting.Unlock()
	return c.counters[""] + c.counters[computer], nil
}

// askWriter waits for a commit under way to be counted, then looks for commits
// of others.
func (c *fileChanges) askWriter(ctx context.Context) error {
	w := c.db.writer
	w.turn.Lock()
	defer w.turn.Unlock()
	if w.session == nil {
		return errClosed
	}
	return c.began(ctx, w.session)
}

func (c *fileChanges) close() { c.watch.close() }

func dataVersion(ctx context.Context, s *session) (version int64, err error) {
	if _, err := s.row(ctx, "PRAGMA data_version", nil, &version); err != nil {
		return 0, fmt.Errorf("look for changes: %w", err)
	}
	return version, nil
}
