// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"context"
	"fmt"
	"log/slog"
)

// A step is one part of what is done to a release or a partition. The agent can
// be killed before, in and after any step: each looks at what is there and does
// what is missing, so that the next pass comes to the same end.
type step[T any] struct {
	name string
	do   func(item T, ctx context.Context) (outcome, error) // a method of T
	// always: also after the failure of an earlier step.
	always bool
}

// outcome of a step that did not fail.
type outcome string

const (
	done    outcome = "done"
	skipped outcome = "skipped" // nothing was to be done
)

// doneIf is the outcome of a step that had something to do, or not.
func doneIf(something bool) outcome {
	if something {
		return done
	}
	return skipped
}

// runSteps runs steps in order up to the first failure, which it returns.
// Those that are always run follow.
func runSteps[T any](ctx context.Context, item T, log *slog.Logger, steps []step[T]) error {
	var failure error
	for _, s := range steps {
		if failure == nil {
			failure = ctx.Err()
		}
		if failure != nil && !s.always {
			continue
		}
		result, err := s.do(item, ctx)
		if err != nil {
			log.Debug(fmt.Sprintf("Step %s: failed", s.name), "error", err)
			if failure == nil {
				failure = err
			}
			continue
		}
		log.Debug(fmt.Sprintf("Step %s: %s", s.name, result))
	}
	return failure
}
