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

// difference tells what is to be done with a group.
type difference int

const (
	groupAdded difference = iota
	groupChanged
	groupRemoved
)

// changes are those of the supervisor's files, and what it has made of them.
type changes struct {
	turn chan struct{} // held by whoever has the supervisor read

	mu       sync.Mutex
	ofNobody bool // a file changed for which no partition asks
	written  int  // changes of files, and one for what earlier passes left
	read     int  // of them the supervisor has read; changed with the turn
	// differences are the groups that don't run as the files say. Busy ones are
	// being changed, touched ones were at some moment of the reading under way:
	// what that reading says of them is out of date.
	differences   map[string]difference
	busy, touched map[string]bool
}

func newChanges() changes {
	return changes{
		turn: make(chan struct{}, 1), written: 1,
		differences: map[string]difference{}, busy: map[string]bool{}, touched: map[string]bool{},
	}
}

// note tells that a file was written or removed.
func (c *changes) note() {
	c.mu.Lock()
	c.written++
	c.mu.Unlock()
}

func (c *changes) noteOfNobody() {
	c.mu.Lock()
	c.ofNobody = true
	c.mu.Unlock()
}

// readFiles makes sure that the supervisor has read all files written so far.
func (s *Supervision) readFiles(ctx context.Context) error {
	c := &s.changes
	wanted, _ := c.progress()
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-c.turn }()
	written, read := c.progress()
	if read >= wanted {
		return nil // another's reading was late enough
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

// take chooses a group that differs; release it after it was changed.
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
	c.mu.Unlock()
}

// follow changes the groups chosen by mine until they run as their files say,
// except that nothing is started (GRID-74).
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

// Finish changes the groups that are left when a pass ends: those of nobody, as
// the watchdog's, and of interrupted passes.
func (s *Supervision) Finish(ctx context.Context) error {
	s.changes.mu.Lock()
	asked := s.changes.read > 0 || s.changes.ofNobody
	s.changes.mu.Unlock()
	if !asked {
		return nil
	}
	return s.follow(ctx, func(string) bool { return true }, s.log)
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
