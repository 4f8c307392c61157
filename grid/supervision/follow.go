// SPDX-License-Identifier: GPL-3.0-or-later

package supervision

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"

	"slapos/grid/supervisor"
)

// difference says what has to be done with a group.
type difference int

const (
	groupAdded difference = iota
	groupChanged
	groupRemoved
)

// changes tracks changed files of the supervisor and what it has read of them.
type changes struct {
	turn chan struct{} // held by whoever has the supervisor read

	mu        sync.Mutex
	unclaimed bool // a changed file belongs to no partition's request
	written   int  // changes of files, plus one for what earlier passes left
	read      int  // how many of them the supervisor has read; changed with the turn held
	// differences are the groups that don't run as their files say. Busy groups
	// are being changed. Touched ones were changed during the current reading:
	// its result is outdated for them.
	differences   map[string]difference
	busy, touched map[string]bool
	claims        map[string]int // partitions that are worked on, see Commons
	freed         *sync.Cond     // a group is no longer busy
}

func newChanges() *changes {
	c := &changes{
		turn: make(chan struct{}, 1), written: 1,
		differences: map[string]difference{}, busy: map[string]bool{}, touched: map[string]bool{}, claims: map[string]int{},
	}
	c.freed = sync.NewCond(&c.mu)
	return c
}

// note records that a file was written or removed.
func (c *changes) note() {
	c.mu.Lock()
	c.written++
	c.mu.Unlock()
}

func (c *changes) noteUnclaimed() {
	c.mu.Lock()
	c.unclaimed = true
	c.mu.Unlock()
}

// readFiles makes the supervisor read all files written so far, unless it already has.
func (s *Supervision) readFiles(ctx context.Context) error {
	c := s.changes
	wanted, _ := c.progress()
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-c.turn }()
	written, read := c.progress()
	if read >= wanted {
		return nil // another partition's reading was late enough
	}
	c.beginReading()
	added, changed, removed, err := s.client.ReloadConfig(ctx)
	if err != nil {
		return fmt.Errorf("reload configuration: %w", err)
	}
	c.endReading(written, map[difference][]string{groupAdded: added, groupChanged: changed, groupRemoved: removed})
	return nil
}

func (c *changes) progress() (written, read int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.written, c.read
}

func (c *changes) beginReading() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.touched = maps.Clone(c.busy)
}

func (c *changes) endReading(written int, found map[difference][]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read, c.differences = written, map[string]difference{}
	for change, names := range found {
		for _, name := range names {
			if !c.touched[name] {
				c.differences[name] = change
			}
		}
	}
}

// take picks a group that differs; call release after changing it.
func (c *changes) take(mine func(string) bool) (name string, change difference, found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, change := range c.differences {
		if mine(name) {
			delete(c.differences, name)
			c.busy[name], c.touched[name] = true, true
			return name, change, true
		}
	}
	return "", 0, false
}

func (c *changes) release(name string) {
	c.mu.Lock()
	delete(c.busy, name)
	c.freed.Broadcast()
	c.mu.Unlock()
}

// follow changes the groups that mine selects until they run as their files
// say, but starts nothing (GRID-74).
func (s *Supervision) follow(ctx context.Context, mine func(group string) bool, log *slog.Logger) error {
	if err := s.readFiles(ctx); err != nil {
		return fmt.Errorf("supervisor: %w", err)
	}
	for {
		name, change, found := s.changes.take(mine)
		if !found {
			return nil
		}
		err := s.change(ctx, name, change, log)
		s.changes.release(name)
		if err != nil {
			return fmt.Errorf("supervisor: %w", err)
		}
	}
}

// Finish changes the remaining groups when a pass ends: those of no partition,
// as the watchdog's, and those that interrupted passes left. It leaves those of
// partitions that other passes work on.
func (s *Supervision) Finish(ctx context.Context) error {
	s.changes.mu.Lock()
	asked := s.changes.read > 0 || s.changes.unclaimed
	s.changes.mu.Unlock()
	if !asked {
		return nil
	}
	return s.follow(ctx, func(group string) bool { return !s.changes.isClaimed(group) }, s.log)
}

func (s *Supervision) change(ctx context.Context, name string, change difference, log *slog.Logger) error {
	if change != groupAdded {
		if err := s.endGroup(ctx, name, log); err != nil {
			return err
		}
	}
	if change == groupRemoved {
		return nil
	}
	var fault *supervisor.Fault
	err := s.client.AddGroup(ctx, name)
	if err != nil && !(errors.As(err, &fault) && fault.Code == supervisor.FaultAlreadyAdded) {
		return fmt.Errorf("add group %s: %w", name, err)
	}
	log.Info(fmt.Sprintf("Updated '%s'", name))
	return nil
}
