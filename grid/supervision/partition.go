// SPDX-License-Identifier: GPL-3.0-or-later

package supervision

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"slapos/grid/supervisor"
	"slapos/slap/clock"
)

// A Partition manages the services of one partition during a pass: its own
// group, which has its name, and those of managers, "name-suffix". Only one
// goroutine uses it.
type Partition struct {
	supervision *Supervision
	name        string
	directory   string
	set         map[string]bool // groups set in this pass
	release     func()
}

// Partition returns the services of a partition in the given directory. It is claimed
// until Release: see [Commons].
func (s *Supervision) Partition(name, directory string) *Partition {
	p := &Partition{supervision: s, name: name, directory: directory, set: map[string]bool{}}
	s.changes.claim(p)
	p.release = sync.OnceFunc(func() { s.changes.unclaim(name) })
	return p
}

// Release is called when the pass does nothing more with the partition.
func (p *Partition) Release() { p.release() }

// Owns reports whether a group belongs to the partition.
func (p *Partition) Owns(group string) bool { return owns(p.name, group) }

func owns(partition, group string) bool {
	return group == partition || strings.HasPrefix(group, partition+"-")
}

// Set writes the file of a group and makes the supervisor read it.
func (p *Partition) Set(ctx context.Context, group string, programs []supervisor.Program, log *slog.Logger) error {
	s := p.supervision
	changed, err := s.layout.WriteGroup(p.name, supervisor.Group{Name: group, Directory: p.directory, Programs: programs})
	if err != nil {
		return err
	}
	if changed {
		s.changes.note()
	}
	p.set[group] = true
	return s.follow(ctx, p.Owns, log)
}

// Start starts the stopped programs of the partition's own group; known is
// false if the supervisor has no such group. Whether a program starts is for
// the promises to judge.
func (p *Partition) Start(ctx context.Context) (known bool, err error) {
	err = exceptProcesses(p.supervision.client.StartGroup(ctx, p.name))
	if isUnknownName(err) {
		return false, nil
	}
	return true, err
}

// IsIdle reports whether the supervisor was started after the partition was
// last processed, and has not started its services.
func (p *Partition) IsIdle() bool { return p.supervision.unseen.idle[p.name] }

// Stop stops the partition's own group (GRID-59); running is false if there is
// no supervisor, removed if the group had no file. If it is interrupted between
// the file and the group, the next run repairs that.
func (p *Partition) Stop(ctx context.Context, log *slog.Logger) (running, removed bool, err error) {
	if removed, err = p.supervision.layout.RemoveGroup(p.name); err != nil {
		return false, false, err
	}
	running, err = p.end(ctx, func(group string) bool { return group == p.name }, log)
	return running, removed, err
}

// Forget makes the supervisor forget all groups of the partition, including
// those of managers (GRID-87); running is false if there is no supervisor.
func (p *Partition) Forget(ctx context.Context, log *slog.Logger) (running bool, err error) {
	if err := p.supervision.layout.RemovePartition(p.name); err != nil {
		return false, err
	}
	return p.end(ctx, p.Owns, log)
}

// DropUnset removes the managers' groups that this pass did not set (MGR-5).
func (p *Partition) DropUnset(ctx context.Context, log *slog.Logger) error {
	s := p.supervision
	files, err := os.ReadDir(s.layout.ConfigDir())
	if err != nil {
		return err
	}
	dropped := false
	for _, file := range files {
		name, isGroup := strings.CutSuffix(file.Name(), ".conf")
		if !isGroup || !p.Owns(name) || name == p.name || p.set[name] {
			continue
		}
		removed, err := s.layout.RemoveGroup(name)
		if err != nil {
			return err
		}
		if removed {
			s.changes.note()
			dropped = true
		}
	}
	if !dropped {
		return nil
	}
	return s.follow(ctx, p.Owns, log)
}

// Remove removes one group of a manager.
func (p *Partition) Remove(ctx context.Context, group string, log *slog.Logger) error {
	if _, err := p.supervision.layout.RemoveGroup(group); err != nil {
		return err
	}
	_, err := p.end(ctx, func(name string) bool { return name == group }, log)
	return err
}

// NeverStarted reports whether a program, "group:program", was never started.
func (p *Partition) NeverStarted(ctx context.Context, program string) (bool, error) {
	info, err := p.supervision.client.ProcessInfo(ctx, program)
	return err == nil && info.Start == 0, err
}

// StartProgram starts a program, "group:program", and doesn't wait for it.
func (p *Partition) StartProgram(ctx context.Context, program string) error {
	return p.supervision.client.StartProcess(ctx, program)
}

// Running returns the names, "group:program", of the partition's running or
// starting programs.
func (p *Partition) Running(ctx context.Context) ([]string, error) {
	processes, err := p.supervision.client.AllProcessInfo(ctx)
	if isNotRunning(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask the supervisor for running processes: %w", err)
	}
	var names []string
	for _, process := range processes {
		if p.Owns(process.Group) && (process.Statename == "RUNNING" || process.Statename == "STARTING") {
			names = append(names, process.Group+":"+process.Name)
		}
	}
	return names, nil
}

// end stops and removes the selected groups that the supervisor knows. It
// requests only those rather than an update, which would wait for the services
// of other partitions, too.
func (p *Partition) end(ctx context.Context, chosen func(group string) bool, log *slog.Logger) (running bool, err error) {
	s := p.supervision
	processes, err := s.client.AllProcessInfo(ctx)
	if isNotRunning(err) {
		return false, nil
	}
	if err != nil {
		return true, fmt.Errorf("ask the supervisor: %w", err)
	}
	ended := map[string]bool{}
	for _, process := range processes {
		if ended[process.Group] || !chosen(process.Group) {
			continue
		}
		ended[process.Group] = true
		if err := s.endGroup(ctx, process.Group, log); err != nil {
			return true, err
		}
	}
	return true, nil
}

const groupRemovals = 10 // tries, a second apart (GRID-74)

// endGroup stops a group and makes the supervisor forget it.
func (s *Supervision) endGroup(ctx context.Context, name string, log *slog.Logger) error {
	if err := s.client.StopGroup(ctx, name); err != nil && !isUnknownName(err) {
		log.Warn(fmt.Sprintf("Problem while stopping process '%s', will try later", name), "error", err)
	} else {
		log.Info(fmt.Sprintf("Stopped '%s'", name))
	}
	for try := 1; ; try++ {
		err := s.client.RemoveGroup(ctx, name)
		if err == nil || isUnknownName(err) {
			log.Info(fmt.Sprintf("Removed '%s'", name))
			return nil
		}
		if try == groupRemovals {
			return fmt.Errorf("remove group %s: %w", name, err)
		}
		if err := clock.Pause(ctx, time.Second); err != nil {
			return err
		}
	}
}
