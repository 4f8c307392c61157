// SPDX-License-Identifier: GPL-3.0-or-later

package report

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"slapos/grid/pass"
	"slapos/manager"
	"slapos/slap"
)

// A postponement is why something is left to a later run. It is not a failure.
type postponement string

func (why postponement) Error() string { return string(why) }

// retireSteps take a partition to be destroyed out of service.
var retireSteps = []pass.Step[*reportedPartition]{
	{Name: "stop", Do: (*reportedPartition).StopServices},
	{Name: "certificate", Do: (*reportedPartition).RefreshCertificate},
	{Name: "report stopped", Do: (*reportedPartition).ReportStopped},
	{Name: "managers", Do: (*reportedPartition).callManagers},
	{Name: "usage", Do: (*reportedPartition).checkUsage},
	{Name: "processes", Do: (*reportedPartition).checkProcesses},
	{Name: "destroy", Do: (*reportedPartition).destroy},
	{Name: "report destroyed", Do: (*reportedPartition).reportDestroyed},
}

func (p *reportedPartition) retire(ctx context.Context) error {
	if p.Wanted.RequestedState != slap.StateDestroyed {
		return nil
	}
	err := pass.RunSteps(ctx, p, p.Log, retireSteps)
	var later postponement
	if errors.As(err, &later) {
		p.Log.Info(later.Error())
		return nil
	}
	return err
}

func (p *reportedPartition) callManagers(ctx context.Context) pass.Outcome {
	managed := p.Managed()
	managed.Retention = func(context.Context) (bool, error) { return p.RetentionOver() }
	for _, m := range p.Node.Managers {
		if err := m.Report(ctx, managed); err != nil {
			return pass.Failed(fmt.Errorf("manager %s: %w", m.Name(), err))
		}
	}
	return pass.Done
}

func (p *reportedPartition) checkUsage(context.Context) pass.Outcome {
	if p.usage.unsent {
		return pass.Failed(postponement(fmt.Sprintf("Ignoring destruction of '%s', as no report usage was sent", p.ID.Partition)))
	}
	return pass.Done
}

// checkProcesses checks the processes that the destruction waits for (MGR-42).
// The partition's user can write that list: other partitions' processes don't
// count.
func (p *reportedPartition) checkProcesses(ctx context.Context) pass.Outcome {
	list, err := p.Root.Read(manager.WaitList)
	if errors.Is(err, fs.ErrNotExist) {
		return pass.Skipped
	}
	if err != nil {
		p.Log.Warn("Ignored " + p.Root.Join(manager.WaitList) + ": " + err.Error())
		return pass.Skipped
	}
	running, err := p.Services.Running(ctx)
	if err != nil {
		return pass.Failed(err)
	}
	for line := range strings.Lines(string(list)) {
		if name := strings.TrimSpace(line); slices.Contains(running, name) {
			p.Log.Debug("Still running: " + name)
			return pass.Failed(postponement("There are running processes into the partition, wait until they finish..."))
		}
	}
	return pass.Done
}

// reportDestroyed reports to the master. If the master fails or doesn't know
// the partition any more, its next list decides (GRID-83).
func (p *reportedPartition) reportDestroyed(ctx context.Context) pass.Outcome {
	err := p.Node.Master.Destroyed(ctx, p.ID)
	if errors.Is(err, slap.ErrNotFound) || errors.Is(err, slap.ErrServer) {
		p.Log.Debug("Ignored failure to report a destroyed partition", "error", err)
		return pass.Skipped
	}
	return pass.Ended(err)
}
