// SPDX-License-Identifier: GPL-3.0-or-later

package clock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"slapos/slap/clock"
	"slapos/slap/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func TestPause(t *testing.T) {
	const short = 20 * time.Millisecond
	began := time.Now()
	if err := clock.Pause(t.Context(), short); err != nil || time.Since(began) < short {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := clock.Pause(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
