// SPDX-License-Identifier: GPL-3.0-or-later

package testkit

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

// Patience is how long a test waits for what takes milliseconds on an idle
// machine: long enough for a machine that is busy with something else.
const Patience = 2 * time.Minute

// Eventually waits until done says so, and fails the test when that takes longer
// than within. What names the thing waited for, as "the service is running".
// Only the goroutine of the test may call it; see [Once]. When what is waited
// for can't come any more, done may end the test itself.
func Eventually(t testing.TB, within time.Duration, what string, done func() bool) {
	t.Helper()
	if !Await(context.Background(), within, done) {
		t.Fatalf("waited up to %s in vain until %s", within, what)
	}
}

// Await is Eventually for those who have more to say when they have waited in
// vain: it tells whether done said so within the time and before ctx ended.
func Await(ctx context.Context, within time.Duration, done func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if done() {
			return true
		}
		select {
		case <-ctx.Done():
			return done()
		case <-time.After(pause):
		}
	}
}

// Once calls do, in a goroutine of its own, as soon as done says so: as what
// interrupts a function that the test goes on to call. In vain it does so after
// Patience, and fails the test. Nothing is called once the test has ended.
func Once(t testing.TB, what string, done func() bool, do func()) {
	t.Helper()
	ended := make(chan struct{})
	t.Cleanup(func() { <-ended })
	go func() {
		defer close(ended)
		if Await(t.Context(), Patience, done) {
			do()
		} else if t.Context().Err() == nil {
			t.Errorf("waited up to %s in vain until %s", Patience, what)
			do()
		}
	}()
}

// Watch gives a test that looks for what must not happen the time in which it
// would. A machine that is too busy makes such a test pass, never fail.
func Watch(t testing.TB, during time.Duration) {
	t.Helper()
	select {
	case <-t.Context().Done():
	case <-time.After(during):
	}
}

// Runs tells whether there is such a process; one that only waits to be reaped
// doesn't run.
func Runs(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	end := bytes.LastIndexByte(data, ')') // of the name, which may hold anything
	return end+2 < len(data) && data[end+2] != 'Z' && data[end+2] != 'X'
}

// Allocated is how many bytes of memory do takes, freed or not, along with what
// other goroutines take meanwhile: a test that looks for megabytes that must not
// be read.
func Allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
