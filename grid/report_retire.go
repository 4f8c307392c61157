// SPDX-License-Identifier: GPL-3.0-or-later

package grid

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

// A postponement is why something isn't done in this run and will be in a
// later one. It is no failure.
type postponement string

func (p postponement) Error() string { return string(p) }

// retireSteps take a partition out of service that the master wants destroyed.
var retireSteps = []pass.Step[*reportedPartition]{
	{Name: "stop", Do: onPartition((*partition).stopServices)},
	{Name: "certificate", Do: onPartition((*partition).refreshCertificate)},
	{Name: "report stopped", Do: onPartition((*partition).reportStopped)},
	{Name: "managers", Do: (*reportedPartition).callManagers},
	{Name: "usage", Do: (*reportedPartition).checkUsage},
	{Name: "processes", Do: (*reportedPartition).checkProcesses},
	{Name: "destroy", Do: (*reportedPartition).destroy},
	{Name: "report destroyed", Do: (*reportedPartition).reportDestroyed},
}

func onPartition(do func(*partition, context.Context) (pass.Outcome, error)) func(*reportedPartition, context.Context) (pass.Outcome, error) {
	return func(u *reportedPartition, ctx context.Context) (pass.Outcome, error) { return do(u.partition, ctx) }
}

func (u *reportedPartition) retire(ctx context.Context) error {
	if u.partition.wanted.RequestedState != slap.StateDestroyed {
		return nil
	}
	err := pass.RunSteps(ctx, u, u.partition.log, retireSteps)
	var later postponement
	if errors.As(err, &later) {
		u.partition.log.Info(later.Error())
		return nil
	}
	return err
}

func (u *reportedPartition) callManagers(ctx context.Context) (pass.Outcome, error) {
	t := u.partition
	managed := t.managed()
	managed.Retention = func(context.Context) (bool, error) { return retentionOver(t.root, t.node.Now()) }
	for _, m := range t.node.Managers {
		if err := m.Report(ctx, managed); err != nil {
			return "", fmt.Errorf("manager %s: %w", m.Name(), err)
		}
	}
	return pass.Done, nil
}

func (u *reportedPartition) checkUsage(context.Context) (pass.Outcome, error) {
	if u.unsent {
		return pass.Done, postponement(fmt.Sprintf("Ignoring destruction of '%s', as no report usage was sent", u.partition.id.Partition))
	}
	return pass.Done, nil
}

// checkProcesses looks at the processes that the destruction waits for
// (MGR-42). The partition's user can write the list: those of other partitions
// don't count.
func (u *reportedPartition) checkProcesses(ctx context.Context) (pass.Outcome, error) {
	t := u.partition
	list, err := t.root.Read(manager.WaitList)
	if errors.Is(err, fs.ErrNotExist) {
		return pass.Skipped, nil
	}
	if err != nil {
		t.log.Warn("Ignored " + t.root.Join(manager.WaitList) + ": " + err.Error())
		return pass.Skipped, nil
	}
	running, err := t.services.Running(ctx)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(list)) {
		if name := strings.TrimSpace(line); slices.Contains(running, name) {
			t.log.Debug("Still running: " + name)
			return pass.Done, postponement("There are running processes into the partition, wait until they finish...")
		}
	}
	return pass.Done, nil
}

func (u *reportedPartition) destroy(ctx context.Context) (pass.Outcome, error) {
	return pass.Done, u.partition.destroy(ctx)
}

// reportDestroyed tells the master. One that doesn't know the partition any
// more, or fails, will list it again, or not (GRID-83).
func (u *reportedPartition) reportDestroyed(ctx context.Context) (pass.Outcome, error) {
	t := u.partition
	err := t.node.Master.Destroyed(ctx, t.id)
	if errors.Is(err, slap.ErrNotFound) || errors.Is(err, slap.ErrServer) {
		t.log.Debug("Ignored failure to report a destroyed partition", "error", err)
		return pass.Skipped, nil
	}
	return pass.Done, err
}
