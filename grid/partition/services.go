// SPDX-License-Identifier: GPL-3.0-or-later

package partition

import (
	"context"
	"fmt"
	"os/user"
	"strconv"

	"slapos/grid/pass"
	"slapos/grid/supervisor"
	"slapos/manager"
)

// Program returns what all programs of the partition share.
func (p *Partition) Program() (supervisor.Program, error) {
	user, err := p.Owner()
	if err != nil {
		return supervisor.Program{}, err
	}
	return supervisor.Program{UID: user.UID, GID: user.GID, User: user.Name, Home: user.Home}, nil
}

// StopServices stops the partition's own group (GRID-59).
func (p *Partition) StopServices(ctx context.Context) pass.Outcome {
	p.Step("stopping")
	running, removed, err := p.Services.Stop(ctx, p.Log)
	if err != nil {
		return pass.Failed(fmt.Errorf("stop services: %w", err))
	}
	if removed {
		p.Log.Info(fmt.Sprintf("Requested stop of %s...", p.ID.Partition))
	}
	return pass.DoneIf(running)
}

// ForgetServices makes the supervisor forget all groups of the partition.
func (p *Partition) ForgetServices(ctx context.Context) pass.Outcome {
	running, err := p.Services.Forget(ctx, p.Log)
	if err != nil {
		return pass.Failed(fmt.Errorf("stop services: %w", err))
	}
	return pass.DoneIf(running)
}

// A managedServices is the part of the supervisor that managers may use.
type managedServices struct{ p *Partition }

func (s *managedServices) group(suffix string) string { return s.p.ID.Partition + "-" + suffix }

func (s *managedServices) SetGroup(ctx context.Context, suffix string, programs []manager.Program) error {
	common, err := s.p.Program()
	if err != nil {
		return err
	}
	var list []supervisor.Program
	for _, wanted := range programs {
		program := common
		if wanted.UID != common.UID { // root's, whose name and home it has in its environment, as from the original
			account, err := user.LookupId(strconv.Itoa(wanted.UID))
			if err != nil {
				return fmt.Errorf("programs of %s: %w", s.group(suffix), err)
			}
			program = supervisor.Program{User: account.Username, Home: account.HomeDir}
		}
		program.Name, program.Command, program.UID, program.GID = wanted.Name, wanted.Command, wanted.UID, wanted.GID
		list = append(list, program)
	}
	return s.p.Services.Set(ctx, s.group(suffix), list, s.p.Log)
}

func (s *managedServices) RemoveGroup(ctx context.Context, suffix string) error {
	return s.p.Services.Remove(ctx, s.group(suffix), s.p.Log)
}

func (s *managedServices) NeverStarted(ctx context.Context, suffix, program string) (bool, error) {
	return s.p.Services.NeverStarted(ctx, s.group(suffix)+":"+program)
}

func (s *managedServices) Start(ctx context.Context, suffix, program string) error {
	return s.p.Services.StartProgram(ctx, s.group(suffix)+":"+program)
}
