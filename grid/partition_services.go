// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"context"
	"fmt"
	"os"
	"strings"

	"slapos/grid/supervisor"
	"slapos/manager"
)

// startServices configures what is in etc/run and etc/service, and starts what
// of it doesn't run (GRID-59, GRID-73); or stops it, if that is forced.
func (t *partition) startServices(ctx context.Context) (outcome, error) {
	if t.pass.Instance.ForceStop {
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
	if err := t.setGroup(ctx, name, programs); err != nil || len(programs) == 0 {
		return done, err
	}
	return t.startGroup(ctx)
}

// startGroup starts what doesn't run of the partition's own group. What becomes
// of each program is for the promises to judge.
func (t *partition) startGroup(ctx context.Context) (outcome, error) {
	name := t.id.Partition
	_, err := t.pass.supervision.client.Call(ctx, "supervisor.startProcessGroup", name, false)
	if isUnknownName(err) {
		t.log.Info(fmt.Sprintf("Nothing to start on %s...", name))
		return skipped, nil
	}
	if err != nil {
		return "", fmt.Errorf("start services: %w", err)
	}
	t.log.Info(fmt.Sprintf("Requested start of %s...", name))
	return done, nil
}

// program has what all programs of the partition have in common.
func (t *partition) program() (supervisor.Program, error) {
	user, err := t.owner()
	if err != nil {
		return supervisor.Program{}, err
	}
	return supervisor.Program{UID: user.UID, GID: user.GID, User: user.Name, Home: user.Home}, nil
}

// setGroup writes the file of a group and makes the supervisor know it.
func (t *partition) setGroup(ctx context.Context, name string, programs []supervisor.Program) error {
	s := t.pass.supervision
	group := supervisor.Group{Name: name, Directory: t.path, Programs: programs}
	changed, err := s.layout.WriteGroup(t.id.Partition, group)
	if err != nil {
		return err
	}
	if changed {
		s.noteChange()
	}
	t.groups[name] = true
	return s.follow(ctx, t.hasGroup, t.log)
}

// dropGroups removes the groups of managers that were not set again since the
// services were started (MGR-5).
func (t *partition) dropGroups(ctx context.Context) error {
	if !t.started {
		return nil
	}
	s := t.pass.supervision
	files, err := os.ReadDir(s.layout.ConfigDir())
	if err != nil {
		return err
	}
	dropped := false
	for _, file := range files {
		name, isGroup := strings.CutSuffix(file.Name(), ".conf")
		if !isGroup || !t.hasGroup(name) || name == t.id.Partition || t.groups[name] {
			continue
		}
		removed, err := s.layout.RemoveGroup(name)
		if err != nil {
			return err
		}
		if removed {
			s.noteChange()
			dropped = true
		}
	}
	if !dropped {
		return nil
	}
	return s.follow(ctx, t.hasGroup, t.log)
}

// A partitionSupervisor is what managers may do with the supervisor.
type partitionSupervisor struct{ t *partition }

func (s *partitionSupervisor) group(suffix string) string { return s.t.id.Partition + "-" + suffix }

func (s *partitionSupervisor) SetGroup(ctx context.Context, suffix string, programs []manager.Program) error {
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
	return s.t.setGroup(ctx, s.group(suffix), list)
}

func (s *partitionSupervisor) RemoveGroup(ctx context.Context, suffix string) error {
	name := s.group(suffix)
	if _, err := s.t.pass.supervision.layout.RemoveGroup(name); err != nil {
		return err
	}
	_, err := s.t.endGroups(ctx, func(group string) bool { return group == name })
	return err
}

func (s *partitionSupervisor) NeverStarted(ctx context.Context, suffix, program string) (bool, error) {
	info, err := s.t.pass.supervision.client.ProcessInfo(ctx, s.group(suffix)+":"+program)
	return err == nil && info.Start == 0, err
}

func (s *partitionSupervisor) Start(ctx context.Context, suffix, program string) error {
	return s.t.pass.supervision.client.StartProcess(ctx, s.group(suffix)+":"+program, false)
}
