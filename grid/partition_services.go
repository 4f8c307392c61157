// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"context"
	"fmt"

	"slapos/grid/pass"
	"slapos/grid/supervisor"
	"slapos/manager"
)

// startServices configures what is in etc/run and etc/service, and starts what
// of it doesn't run (GRID-59, GRID-73); or stops it, if that is forced.
func (t *partition) startServices(ctx context.Context) (pass.Outcome, error) {
	if t.node.Instance.ForceStop {
		return t.stopServices(ctx)
	}
	program, err := t.program()
	if err != nil {
		return "", err
	}
	programs, err := supervisor.Services(t.root.FS(), t.path, program)
	if err != nil {
		return "", err
	}
	name := t.id.Partition
	if len(programs) == 0 {
		t.log.Warn(fmt.Sprintf("No runners nor services found for partition '%s'", name))
	}
	t.started = true
	if err := t.services.Set(ctx, name, programs, t.log); err != nil || len(programs) == 0 {
		return "", err
	}
	return t.startGroup(ctx)
}

// startGroup starts what doesn't run of the partition's own group.
func (t *partition) startGroup(ctx context.Context) (pass.Outcome, error) {
	known, err := t.services.Start(ctx)
	if err != nil {
		return "", fmt.Errorf("start services: %w", err)
	}
	if !known {
		t.log.Info(fmt.Sprintf("Nothing to start on %s...", t.id.Partition))
		return pass.Skipped, nil
	}
	t.log.Info(fmt.Sprintf("Requested start of %s...", t.id.Partition))
	return pass.Done, nil
}

// program has what all programs of the partition have in common.
func (t *partition) program() (supervisor.Program, error) {
	user, err := t.owner()
	if err != nil {
		return supervisor.Program{}, err
	}
	return supervisor.Program{UID: user.UID, GID: user.GID, User: user.Name, Home: user.Home}, nil
}

// stopServices stops the partition's own group (GRID-59).
func (t *partition) stopServices(ctx context.Context) (pass.Outcome, error) {
	t.step("stopping")
	running, removed, err := t.services.Stop(ctx, t.log)
	if err != nil {
		return "", fmt.Errorf("stop services: %w", err)
	}
	if removed {
		t.log.Info(fmt.Sprintf("Requested stop of %s...", t.id.Partition))
	}
	return pass.DoneIf(running), nil
}

// forgetServices makes the supervisor forget all groups of the partition.
func (t *partition) forgetServices(ctx context.Context) (pass.Outcome, error) {
	running, err := t.services.Forget(ctx, t.log)
	if err != nil {
		return "", fmt.Errorf("stop services: %w", err)
	}
	return pass.DoneIf(running), nil
}

// A managedServices is what managers may do with the supervisor.
type managedServices struct{ t *partition }

func (s *managedServices) group(suffix string) string { return s.t.id.Partition + "-" + suffix }

func (s *managedServices) SetGroup(ctx context.Context, suffix string, programs []manager.Program) error {
	common, err := s.t.program()
	if err != nil {
		return err
	}
	var list []supervisor.Program
	for _, p := range programs {
		program := common
		program.Name, program.Command, program.UID, program.GID = p.Name, p.Command, p.UID, p.GID
		list = append(list, program)
	}
	return s.t.services.Set(ctx, s.group(suffix), list, s.t.log)
}

func (s *managedServices) RemoveGroup(ctx context.Context, suffix string) error {
	return s.t.services.Remove(ctx, s.group(suffix), s.t.log)
}

func (s *managedServices) NeverStarted(ctx context.Context, suffix, program string) (bool, error) {
	return s.t.services.NeverStarted(ctx, s.group(suffix)+":"+program)
}

func (s *managedServices) Start(ctx context.Context, suffix, program string) error {
	return s.t.services.StartProgram(ctx, s.group(suffix)+":"+program)
}
