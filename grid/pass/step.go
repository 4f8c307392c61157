// SPDX-License-Identifier: GPL-3.0-or-later

// Package pass is what all passes of the agent have in common: a [Node] and how
// its items are worked on at once, steps and their outcomes, the logs of items,
// results and exit codes, the pid file, sizes and free space. It knows neither
// partitions nor releases; what a pass has of supervisor and firewall comes from
// the rooms above.
package pass

import (
	"context"
	"fmt"
	"log/slog"
)

// A Step is one part of what is done to a release or a partition. The agent can
// be killed before, in and after any step: each looks at what is there and does
// what is missing, so that the next pass comes to the same end.
type Step[T any] struct {
	Name string
	Do   func(item T, ctx context.Context) (Outcome, error) // a method of T
	// Always: also after the failure of an earlier step.
	Always bool
}

// Outcome of a step.
type Outcome string

const (
	Done    Outcome = "done"
	Skipped Outcome = "skipped" // nothing was to be done
	Failed  Outcome = "failed"  // comes with an error
)

// Ended is the outcome of a step that is over with err, or done without one.
func Ended(err error) (Outcome, error) {
	if err != nil {
		return Failed, err
	}
	return Done, nil
}

// DoneIf is the outcome of a step that had something to do, or not.
func DoneIf(something bool) Outcome {
	if something {
		return Done
	}
	return Skipped
}

// RunSteps runs steps in order up to the first failure, which it returns.
// Those that are always run follow.
func RunSteps[T any](ctx context.Context, item T, log *slog.Logger, steps []Step[T]) error {
	var failure error
	for _, s := range steps {
		if failure == nil {
			failure = ctx.Err()
		}
		if failure != nil && !s.Always {
			continue
		}
		outcome, err := s.Do(item, ctx)
		if err != nil {
			log.Debug(fmt.Sprintf("Step %s: %s", s.Name, outcome), "error", err)
			if failure == nil {
				failure = err
			}
			continue
		}
		log.Debug(fmt.Sprintf("Step %s: %s", s.Name, outcome))
	}
	return failure
}
