// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"sync"
)

// awaited tells those who wait for a computer that its version may have changed: at
// once what this process writes, and what others write when followed says so. It
// looks for that only while somebody waits.
type awaited struct {
	// follow calls ring for what other programs write, until its context ends. The
	// next one goes on where the last one ended, by turns.
	follow func(ctx context.Context, ring func(computer string))
	turn   sync.Mutex

	mutex     sync.Mutex
	bells     map[string]*bell // by computer
	stop      context.CancelFunc
	following sync.WaitGroup
	closed    bool
}

// A bell rings once for all who wait for a computer.
type bell struct {
	rung    chan struct{} // closed when it rings
	waiting int
}

func newAwaited(follow func(context.Context, func(string))) *awaited {
	return &awaited{follow: follow, bells: map[string]*bell{}}
}

// wait implements [Nodes].AwaitNode.
func (a *awaited) wait(computer string) (changed <-chan struct{}, leave func()) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	b := a.bells[computer]
	if b == nil {
		b = &bell{rung: make(chan struct{})}
		a.bells[computer] = b
	}
	b.waiting++
	if a.stop == nil && !a.closed {
		ctx, stop := context.WithCancel(context.Background())
		a.stop = stop
		a.following.Go(func() { // ends with stop
			a.turn.Lock()
			defer a.turn.Unlock()
			a.follow(ctx, a.ring)
		})
	}
	return b.rung, func() { a.leave(computer, b) }
}

func (a *awaited) leave(computer string, b *bell) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if b.waiting--; b.waiting == 0 && a.bells[computer] == b {
		delete(a.bells, computer)
	}
	if len(a.bells) == 0 && a.stop != nil {
		a.stop()
		a.stop = nil
	}
}

// ring wakes those who wait for a computer, all if it is "".
func (a *awaited) ring(computer string) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if computer != "" {
		if b := a.bells[computer]; b != nil {
			close(b.rung)
			delete(a.bells, computer)
		}
		return
	}
	for _, b := range a.bells {
		close(b.rung)
	}
	clear(a.bells)
}

// close ends the look, and nobody waits any longer.
func (a *awaited) close() {
	a.mutex.Lock()
	a.closed = true
	if a.stop != nil {
		a.stop()
		a.stop = nil
	}
	a.mutex.Unlock()
	a.ring("")
	a.following.Wait()
}

// AwaitNode implements [Nodes].
func (d *Database) AwaitNode(computer string) (changed <-chan struct{}, leave func()) {
	return d.awaited.wait(computer)
}

// eventsChanged stands for events where changes are counted by computer.
const eventsChanged = "/events"

// EventBell implements [History].
func (d *Database) EventBell(ctx context.Context) <-chan struct{} {
	bell := make(chan struct{}, 1)
	rung, leave := d.awaited.wait(eventsChanged)
	go func() { // ends with ctx, or the database
		defer func() { leave() }()
		for {
			select {
			case <-rung:
			case <-ctx.Done():
				return
			case <-d.history.stop:
				return
			}
			next, leaveNext := d.awaited.wait(eventsChanged)
			leave()
			rung, leave = next, leaveNext
			select {
			case bell <- struct{}{}:
			default: // it rings already
			}
		}
	}()
	return bell
}

// Epoch implements [Nodes].
func (d *Database) Epoch() string { return d.changes.epoch() }
