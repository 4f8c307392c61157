// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"slapos/manager"
	"slapos/slap"
)

// A postponement is why something isn't done in this run and will be in a
// later one. It is no failure.
type postponement string

func (p postponement) Error() string { return string(p) }

// retireSteps take a partition out of service that the master wants destroyed.
var retireSteps = []step[*reportedPartition]{
	{name: "stop", do: onPartition((*partition).stopServices)},
	{name: "certificate", do: onPartition((*partition).refreshCertificate)},
	{name: "report stopped", do: onPartition((*partition).reportStopped)},
	{name: "managers", do: (*reportedPartition).callManagers},
	{name: "usage", do: (*reportedPartition).checkUsage},
	{name: "processes", do: (*reportedPartition).checkProcesses},
	{name: "destroy", do: (*reportedPartition).destroy},
	{name: "report destroyed", do: (*reportedPartition).reportDestroyed},
}

func onPartition(do func(*partition, context.Context) (outcome, error)) func(*reportedPartition, context.Context) (outcome, error) {
	return func(u *reportedPartition, ctx context.Context) (outcome, error) { return do(u.partition, ctx) }
}

func (u *reportedPartition) retire(ctx context.Context) error {
	if u.partition.wanted.RequestedState != slap.StateDestroyed {
		return nil
	}
	err := runSteps(ctx, u, u.partition.log, retireSteps)
	var later postponement
	if errors.As(err, &later) {
		u.partition.log.Info(later.Error())
		return nil
	}
	return err
}

func (u *reportedPartition) callManagers(ctx context.Context) (outcome, error) {
	t := u.partition
	managed := t.managed()
	managed.Retention = func(context.Context) (bool, error) { return retentionOver(t.root, t.pass.Now()) }
	for _, m := range t.pass.Managers {
		if err := m.Report(ctx, managed); err != nil {
			return done, fmt.Errorf("manager %s: %w", m.Name(), err)
		}
	}
	return done, nil
}

func (u *reportedPartition) checkUsage(context.Context) (outcome, error) {
	if u.unsent {
		return done, postponement(fmt.Sprintf("Ignoring destruction of '%s', as no report usage was sent", u.partition.id.Partition))
	}
	return done, nil
}

// checkProcesses looks at the processes that the destruction waits for
// (MGR-42). The partition's user can write the list: those of other partitions
// don't count.
func (u *reportedPartition) checkProcesses(ctx context.Context) (outcome, error) {
	t := u.partition
	list, err := t.root.Read(manager.WaitList)
	if errors.Is(err, fs.ErrNotExist) {
		return skipped, nil
	}
	if err != nil {
		t.log.Warn("Ignored " + t.root.Join(manager.WaitList) + ": " + err.Error())
		return skipped, nil
	}
	running, err := t.services.Running(ctx)
	if err != nil {
		return done, err
	}
	for line := range strings.Lines(string(list)) {
		if name := strings.TrimSpace(line); slices.Contains(running, name) {
			t.log.Debug("Still running: " + name)
			return done, postponement("There are running processes into the partition, wait until they finish...")
		}
	}
	return done, nil
}

func (u *reportedPartition) destroy(ctx context.Context) (outcome, error) {
	return done, u.partition.destroy(ctx)
}

// reportDestroyed tells the master. One that doesn't know the partition any
// more, or fails, will list it again, or not (GRID-83).
func (u *reportedPartition) reportDestroyed(ctx context.Context) (outcome, error) {
	t := u.partition
	err := t.pass.Master.Destroyed(ctx, t.id)
	if errors.Is(err, slap.ErrNotFound) || errors.Is(err, slap.ErrServer) {
		t.log.Debug("Ignored failure to report a destroyed partition", "error", err)
		return skipped, nil
	}
	return done, err
}
