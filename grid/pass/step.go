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
	Do   func(item T, ctx context.Context) Outcome // a method of T
	// Always runs the step even after the failure of an earlier one.
	Always bool
}

// Outcome is how a step ended: [Done], [Skipped], or [Failed] with an error.
type Outcome struct {
	kind string
	err  error // of a failed step
}

var (
	Done    = Outcome{kind: "done"}
	Skipped = Outcome{kind: "skipped"} // there was nothing to do
)

// Failed returns the outcome of a step that err kept from ending.
func Failed(err error) Outcome { return Outcome{kind: "failed", err: err} }

// Ended returns the outcome of a step that ended with err, or without one.
func Ended(err error) Outcome {
	if err != nil {
		return Failed(err)
	}
	return Done
}

// DoneIf returns the outcome of a step that may have had nothing to do.
func DoneIf(something bool) Outcome {
	if something {
		return Done
	}
	return Skipped
}

// Err returns the error of a step that failed.
func (o Outcome) Err() error { return o.err }

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
		outcome := s.Do(item, ctx)
		message := fmt.Sprintf("Step %s: %s", s.Name, outcome.kind)
		if outcome.err == nil {
			log.Debug(message)
			continue
		}
		log.Debug(message, "error", outcome.err)
		if failure == nil {
			failure = outcome.err
		}
	}
	return failure
}
