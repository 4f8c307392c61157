// SPDX-License-Identifier: GPL-3.0-or-later

package agent

import "time"

// A bucket bounds how often something is done: so often in a row, then once every so
// long.
type bucket struct {
	most  int
	every time.Duration

	taken  float64
	filled time.Time
}

// wait is how long it takes until there is one to take; 0: there is.
func (b *bucket) wait(now time.Time) time.Duration {
	b.taken = max(0, b.taken-float64(max(0, now.Sub(b.filled)))/float64(b.every))
	b.filled = now
	missing := time.Duration(max(0, b.taken+1-float64(b.most)) * float64(b.every))
	return (missing + time.Millisecond - 1).Truncate(time.Millisecond)
}

// take takes one, also one that isn't there yet, and says how long it takes until there
// is another.
func (b *bucket) take(now time.Time) time.Duration {
	b.wait(now)
	b.taken++
	return b.wait(now)
}
