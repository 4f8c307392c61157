// SPDX-License-Identifier: GPL-3.0-or-later

package software

import (
	"context"
	"errors"
	"fmt"

	"slapos/grid/pass"
	"slapos/slap"
)

// report gives news of the release to the master. Some of the master's answers
// say nothing, so an error names the rejected report.
func (r *release) report(ctx context.Context, news string, call func(ctx context.Context, url, computer string) error) error {
	if err := call(ctx, r.url, r.node.ComputerID); err != nil {
		return fmt.Errorf("tell the master that %s %s: %w", r.url, news, err)
	}
	return nil
}

// announce reports that the release is being built. Not every master supports
// that.
func (r *release) announce(ctx context.Context) pass.Outcome {
	err := r.report(ctx, "is being built", r.node.Master.BuildingRelease)
	if errors.Is(err, slap.ErrNotFound) {
		return pass.Skipped
	}
	if err != nil {
		return pass.Failed(err)
	}
	r.log.Info(fmt.Sprintf("Installing software release %s ...", r.url))
	return pass.Done
}

func (r *release) reportAvailable(ctx context.Context) pass.Outcome {
	return pass.Ended(r.report(ctx, "is available", r.node.Master.AvailableRelease))
}

func (r *release) reportDestroyed(ctx context.Context) pass.Outcome {
	return pass.Ended(r.report(ctx, "is destroyed", r.node.Master.DestroyedRelease))
}
