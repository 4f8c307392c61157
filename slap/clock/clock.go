// SPDX-License-Identifier: GPL-3.0-or-later

// Package clock waits, and tells whether a process is older than what names it.
package clock

import (
	"context"
	"time"
)

// Pause waits, or returns the error of ctx when that ends before.
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
