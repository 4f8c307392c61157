// SPDX-License-Identifier: GPL-3.0-or-later

// Package clock waits, and compares the age of a process with that of its pid file.
package clock

import (
	"context"
	"time"
)

// Pause waits, or returns the error of ctx if that ends first.
func Pause(ctx context.Context, duration time.Duration) error {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Await waits for f, which can't be interrupted, such as a read from a
// terminal. If ctx ends first, f goes on in the background until the process
// ends.
func Await[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := f()
		done <- result{value, err}
	}()
	select {
	case got := <-done:
		return got.value, got.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}
