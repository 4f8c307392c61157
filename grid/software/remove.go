// SPDX-License-Identifier: GPL-3.0-or-later

package software

import (
	"context"
	"fmt"

	"slapos/grid/buildout"
	"slapos/grid/pass"
)

// remove removes the release from this node (GRID-38).
func (r *release) remove(ctx context.Context) pass.Outcome {
	if !r.exists() {
		return pass.Skipped
	}
	r.log.Info(fmt.Sprintf("Destroying '%s' ...", r.url))
	r.step("removing")
	if err := r.removeDirectory(ctx); err != nil {
		return pass.Failed(err)
	}
	r.log.Info(fmt.Sprintf("Destroyed '%s' .", r.url))
	return pass.Done
}

// removeDirectory first ends any build there, then removes the completion mark
// before anything else.
func (r *release) removeDirectory(ctx context.Context) error {
	if err := r.begin(ctx); err == nil {
		if err := r.root.Clear(buildout.CompletedFile); err != nil {
			return err
		}
	} else if ctx.Err() != nil {
		return err
	}
	// What can't be opened as a directory can still be removed.
	return r.place.Remove(ctx, r.name)
}
