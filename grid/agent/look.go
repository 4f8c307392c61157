// SPDX-License-Identifier: GPL-3.0-or-later

package agent

import (
	"context"
	"math/rand/v2"
	"time"

	"slapos/slap"
	"slapos/slap/clock"
)

const (
	// shortestWait is what is left of the wait when proxies on the way break it off.
	shortestWait = 25 * time.Second
	// Changes are fetched at once, looks of them in a row, and then as often as spacing
	// says: a flood of them costs no more (AGENT-9).
	looks   = 30
	spacing = 500 * time.Millisecond
	// lookRetry is the first pause after a look that failed, which doubles up to the
	// time between two polls.
	lookRetry = time.Second
	// tooEarly is the pause after a master that didn't wait as it said.
	tooEarly = time.Second
)

// A looker asks the master again and again what it wants of the node.
type looker struct {
	master   *slap.Client
	computer string
	poll     time.Duration // between two looks at a master that doesn't wait
	wait     time.Duration // asked of one that does
	// poke has it look at once, unless it waits at the master.
	poke chan struct{}
	// found gets each look.
	found func(context.Context, look)
}

// A look is what the master said.
type look struct {
	slap.Look
	err  error
	next time.Duration // until the next one; 0: the master waits
	wait time.Duration
}

// run looks until ctx ends.
func (l *looker) run(ctx context.Context) {
	tag := ""
	wait := l.wait
	flood := bucket{most: looks, every: spacing}
	var retry time.Duration
	for ctx.Err() == nil {
		begin := time.Now()
		found, err := l.master.WaitComputer(ctx, l.computer, tag, wait)
		took := time.Since(begin)
		if ctx.Err() != nil {
			return
		}
		now := look{Look: found, err: err, wait: wait}
		switch {
		case err != nil && tag != "" && took > shortestWait && wait > shortestWait:
			wait = max(shortestWait, wait/2) // something between breaks it off
			continue
		case err != nil:
			retry = min(max(lookRetry, 2*retry), l.poll)
			now.next = spread(retry)
		case !found.Waits:
			tag, now.next = found.Tag, spread(l.poll)
		case found.Computer == nil && took < wait-tooEarly:
			now.next = tooEarly // it is about to stop, for example
		case found.Computer != nil:
			tag = found.Tag
		}
		if err == nil {
			retry = 0
		}
		l.found(ctx, now)
		if now.next > 0 {
			l.pause(ctx, now)
		} else if found.Computer != nil {
			_ = clock.Pause(ctx, flood.take(time.Now()))
		}
	}
}

// pause sleeps until the next look.
func (l *looker) pause(ctx context.Context, now look) {
	timer := time.NewTimer(now.next)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-l.poke:
	}
}

// spread makes a duration up to a tenth longer or shorter, so that nodes which began
// together don't stay together.
func spread(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()-.5)*float64(d)/5)
}
