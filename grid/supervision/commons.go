// SPDX-License-Identifier: GPL-3.0-or-later

package supervision

import "sync"

// A Commons is what the passes of one process share that run at the same time: what
// the supervisor has read of its files, and who is changing which group. Without it,
// one would act on what it reads of a partition that another is working on.
//
// A partition is claimed from [Supervision.Partition] to [Partition.Release]. Groups
// of claimed partitions are changed by their pass alone, see [Supervision.Finish].
type Commons struct {
	changes *changes

	mu     sync.Mutex
	passes int // at work
}

// NewCommons makes one for an instance root.
func NewCommons() *Commons { return &Commons{changes: newChanges()} }

// join is called when a pass begins. What was read before the first of them says
// nothing: others may have been at work since.
func (c *Commons) join() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.passes++; c.passes == 1 {
		c.changes.forget()
		return
	}
	c.changes.note()
}

func (c *Commons) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passes--
}

// forget begins anew.
func (c *changes) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh := newChanges()
	c.unclaimed, c.written, c.read, c.differences = false, fresh.written, fresh.read, fresh.differences
}

// claim waits until nobody changes a group of the partition any more. From then on,
// only it does.
func (c *changes) claim(p *Partition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.claims[p.name]++
	for c.isBusy(p.Owns) {
		c.freed.Wait()
	}
}

func (c *changes) isBusy(mine func(group string) bool) bool {
	for name := range c.busy {
		if mine(name) {
			return true
		}
	}
	return false
}

func (c *changes) unclaim(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.claims[name]--; c.claims[name] == 0 {
		delete(c.claims, name)
	}
}

// isClaimed reports whether a group belongs to a partition that is being worked on;
// c.mu is held.
func (c *changes) isClaimed(group string) bool {
	for name := range c.claims {
		if owns(name, group) {
			return true
		}
	}
	return false
}
