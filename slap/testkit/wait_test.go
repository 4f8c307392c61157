// SPDX-License-Identifier: GPL-3.0-or-later

package testkit

import (
	"testing"
	"time"
)

// recorder is a test that fails without ending the one that looks at it.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Fatalf(string, ...any) { r.failed = true; panic(r) }

func TestEventually(t *testing.T) {
	calls := 0
	Eventually(t, time.Minute, "the third call", func() bool { calls++; return calls == 3 })
	if calls != 3 {
		t.Errorf("%d calls, want 3", calls)
	}
	r := &recorder{TB: t}
	func() {
		defer func() { recover() }()
		Eventually(r, 10*time.Millisecond, "never", func() bool { return false })
	}()
	if !r.failed {
		t.Error("waiting in vain did not fail the test")
	}
}
