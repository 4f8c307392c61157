// SPDX-License-Identifier: GPL-3.0-or-later

package promise

import (
	"fmt"
	"math"
	"time"
)

// Due reads when the first promise of a partition is due in [Anomaly] mode, without
// running any; zero if none is ever. One that never ran is due now. The partition's user can write these
// times: whoever waits for them bounds them.
func Due(options Options) (first time.Time, err error) {
	options.Mode = Anomaly
	r, err := newRun(options)
	if err != nil {
		return first, fmt.Errorf("promises of %s: %w", options.Directory, err)
	}
	defer r.files.close()
	if err := r.files.do(r.list); err != nil {
		return first, fmt.Errorf("promises of %s: %w", options.Directory, err)
	}
	now := r.Now()
	for _, c := range r.checks {
		next := now
		switch {
		case c.unready:
			continue
		case c.cached != nil && !c.cached.Anomaly:
			continue
		case c.cached != nil:
			next = timeOf(c.cached.NextRun)
		}
		if first.IsZero() || next.Before(first) {
			first = next
		}
	}
	return first, nil
}

// timeOf is a time in seconds since 1970, of centuries that a time can have.
func timeOf(seconds float64) time.Time {
	const most = 1 << 33
	whole, part := math.Modf(min(max(seconds, 0), most))
	return time.Unix(int64(whole), int64(part*1e9))
}
