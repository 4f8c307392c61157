// SPDX-License-Identifier: GPL-3.0-or-later

package testkit

import (
	"testing"
	"time"
)

// Patience is how long a test waits for what takes milliseconds on an idle
// machine: long enough for a machine that is busy with something else.
const Patience = time.Minute

// Eventually waits until done says so, and fails the test when that takes longer
// than within. What names the thing waited for, as "the service is running".
func Eventually(t testing.TB, within time.Duration, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for pause := time.Millisecond; !done(); pause = min(2*pause, 50*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain until %s", within, what)
		}
		time.Sleep(pause)
	}
}
