// SPDX-License-Identifier: GPL-3.0-or-later

// Package pass is what all passes of the agent share: the [Node] and how to
// work on its items at once, steps and their outcomes, the logs of items,
// results and exit codes, the pid file, sizes and free space. It knows neither
// partitions nor releases, nor supervisor or firewall, which the rooms above
// bring in.
package pass

import (
	"context"
	"fmt"
	"log/slog"
)

// A Step is one part of the work on a release or a partition. The agent can be
// killed before, during and after any step: each step looks at what exists and
// does what is missing, so that the next pass reaches the same result.
type Step[T any] struct {
	Name string
	Do   func(item T, ctx context.Context) (Outcome, error) // a method of T
	// Always runs the step even after the failure of an earlier one.
	Always bool
}

// Outcome is the outcome of a step.
type Outcome string

const (
	Done    Outcome = "done"
	Skipped Outcome = "skipped" // there was nothing to do
	Failed  Outcome = "failed"  // comes with an error
)

// Ended returns the outcome of a step that ended with err, or without one.
func Ended(err error) (Outcome, error) {
	if err != nil {
		return Failed, err
	}
	return Done, nil
}

// DoneIf returns the outcome of a step that may have had nothing to do.
func DoneIf(something bool) Outcome {
	if something {
		return Done
	}
	return Skipped
}

// RunSteps runs steps in order up to the first failure, which it returns. Steps
// marked Always run after a failure, too.
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
