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

func TestAwait(t *testing.T) {
	failed := errors.New("failed")
	if got, err := clock.Await(t.Context(), func() (int, error) { return 3, failed }); got != 3 || !errors.Is(err, failed) {
		t.Errorf("%v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	defer close(release)
	got, err := clock.Await(ctx, func() (int, error) {
		cancel()
		<-release
		return 3, nil
	})
	if got != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", got, err)
	}
}
