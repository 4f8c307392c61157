// SPDX-License-Identifier: GPL-3.0-or-later

package promise

import (
	"fmt"
	"testing"
	"time"
)

// The first promise that is due counts; one that is never checked for anomalies
// doesn't, and nothing that a user writes is more than a time (AGENT-8).
func TestDue(t *testing.T) {
	p := newPartition(t)
	p.options.Now = func() time.Time { return time.Unix(1e9, 0) }
	due := func(want time.Time) {
		t.Helper()
		got, err := Due(p.options)
		if err != nil || !got.Equal(want) {
			t.Errorf("due %s, %v, want %s", got, err, want)
		}
	}
	due(time.Time{})
	for _, name := range []string{"a", "b", "c"} {
		p.write("etc/promise/"+name, "#!/bin/sh\n", 0o755)
	}
	cached := func(name string, anomaly bool, next string) {
		p.write(".slapgrid/promise/cache/"+name, fmt.Sprintf(
			`{"is_tested": true, "is_anomaly_detected": %t, "next_run_after": %s, "module_file": %q}`, anomaly, next, p.path("etc/promise/"+name)), 0o644)
		p.give()
	}
	cached("a", true, "1000000100.5")
	cached("b", false, "1")
	due(time.Unix(1e9, 0)) // c never ran
	cached("c", true, "1e300")
	due(time.Unix(1e9+100, 5e8))
	cached("a", true, "-1e300")
	due(time.Unix(0, 0))
	cached("a", false, "1")
	due(time.Unix(1<<33, 0))
}
