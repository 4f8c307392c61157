// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"context"
	"fmt"

	"slapos/grid/pass"
	"slapos/grid/supervisor"
)

// startServices configures the programs in etc/run and etc/service, and starts
// those that aren't running (GRID-59, GRID-73); with ForceStop it stops them.
func (d *deployment) startServices(ctx context.Context) pass.Outcome {
	if d.options.ForceStop {
		return d.StopServices(ctx)
	}
	program, err := d.Program()
	if err != nil {
		return pass.Failed(err)
	}
	programs, err := supervisor.Services(d.Root.FS(), d.Path, program)
	if err != nil {
		return pass.Failed(err)
	}
	name := d.ID.Partition
	if len(programs) == 0 {
		d.Log.Warn(fmt.Sprintf("No runners nor services found for partition '%s'", name))
	}
	d.started = true
	if err := d.Services.Set(ctx, name, programs, d.Log); err != nil {
		return pass.Failed(err)
	}
	if len(programs) == 0 {
		return pass.Skipped
	}
	return d.startGroup(ctx)
}

// startGroup starts the stopped programs of the partition's own group.
func (d *deployment) startGroup(ctx context.Context) pass.Outcome {
	known, err := d.Services.Start(ctx)
	if err != nil {
		return pass.Failed(fmt.Errorf("start services: %w", err))
	}
	if !known {
		d.Log.Info(fmt.Sprintf("Nothing to start on %s...", d.ID.Partition))
		return pass.Skipped
	}
	d.Log.Info(fmt.Sprintf("Requested start of %s...", d.ID.Partition))
	return pass.Done
}
