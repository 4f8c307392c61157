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
// machine: long enough for a busy machine.
const Patience = 2 * time.Minute

// Eventually waits until done returns true, and fails the test if that takes
// longer than within. what names the condition, as "the service is running".
// Only the test's goroutine may call it; see [Once]. If the condition can't
// come true any more, done may end the test itself. Details are added to the
// message: what is there instead, as far as done has seen.
func Eventually(t testing.TB, within time.Duration, what string, done func() bool, details ...func() any) {
	t.Helper()
	if Await(context.Background(), within, done) {
		return
	}
	message := fmt.Sprintf("waited up to %s in vain until %s", within, what)
	for _, detail := range details {
		message += fmt.Sprintf("\n%v", detail())
	}
	t.Fatalf("%s", message)
}

// Await is Eventually where no test can fail: beside a test's goroutine, or
// where its context may end. It reports whether done returned true within the
// time and before ctx ended.
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

// Once calls do, in its own goroutine, as soon as done returns true, to
// interrupt a function that the test calls next, for example. If that doesn't
// happen within Patience, it calls do and fails the test. It calls nothing once
// the test has ended.
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

// Watch waits, in a test for something that must not happen, as long as that
// would take. A machine that is too busy makes such a test pass, never fail.
func Watch(t testing.TB, during time.Duration) {
	t.Helper()
	select {
	case <-t.Context().Done():
	case <-time.After(during):
	}
}

// Runs reports whether a process exists and runs; a zombie doesn't.
func Runs(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	end := bytes.LastIndexByte(data, ')') // of the name, which may contain anything
	return end+2 < len(data) && data[end+2] != 'Z' && data[end+2] != 'X'
}

// Allocated returns how many bytes of memory do allocates, freed or not,
// including what other goroutines allocate meanwhile: a test uses it to look
// for megabytes that must not be read.
func Allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
