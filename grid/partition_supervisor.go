// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"syscall"
	"time"

	"slapos/grid/supervisor"
)

// supervisorLayout is where the supervisor keeps its files.
func (p *pass) supervisorLayout() supervisor.Layout {
	return supervisor.Layout{InstanceRoot: p.InstanceRoot, Logger: p.Logger}
}

// startSupervision writes the supervisor's configuration and starts it, unless
// that is left to somebody else.
func (p *pass) startSupervision(ctx context.Context) error {
	if err := p.supervision.writeConfiguration(ctx); err != nil {
		return err
	}
	if p.Supervisor.LaunchForbidden {
		return nil
	}
	return supervisor.Launch(ctx, p.supervisorLayout(), supervisor.LaunchOptions{Executable: p.Supervisor.Executable, Logger: p.Logger})
}

// stopServices stops the partition's own group (GRID-59). An interruption
// between the file and the group is made good by the next run.
func (t *partition) stopServices(ctx context.Context) (outcome, error) {
	t.step("stopping")
	removed, err := t.pass.supervisorLayout().RemoveGroup(t.id.Partition)
	if err != nil {
		return done, fmt.Errorf("stop services: %w", err)
	}
	result, err := t.endGroups(ctx, func(group string) bool { return group == t.id.Partition })
	if err == nil && removed {
		t.log.Info(fmt.Sprintf("Requested stop of %s...", t.id.Partition))
	}
	return result, err
}

// forgetServices makes the supervisor forget all groups of the partition, those
// of managers too (GRID-87).
func (t *partition) forgetServices(ctx context.Context) (outcome, error) {
	if err := t.pass.supervisorLayout().RemovePartition(t.id.Partition); err != nil {
		return done, fmt.Errorf("stop services: %w", err)
	}
	return t.endGroups(ctx, t.hasGroup)
}

func (t *partition) hasGroup(name string) bool {
	return name == t.id.Partition || strings.HasPrefix(name, t.id.Partition+"-")
}

// endGroups stops and removes the groups of the partition that the supervisor
// knows. It asks for those alone, and not for an update: that would wait for
// the services of other partitions as well.
func (t *partition) endGroups(ctx context.Context, chosen func(group string) bool) (outcome, error) {
	client := supervisor.NewClient(t.pass.supervisorLayout().Socket())
	defer client.Close()
	processes, err := client.AllProcessInfo(ctx)
	if isNotRunning(err) {
		return skipped, nil
	}
	if err != nil {
		return done, fmt.Errorf("stop services: ask the supervisor: %w", err)
	}
	ended := map[string]bool{}
	for _, process := range processes {
		if ended[process.Group] || !chosen(process.Group) {
			continue
		}
		ended[process.Group] = true
		if err := endGroup(ctx, client, process.Group, t.log); err != nil {
			return done, fmt.Errorf("stop services: %w", err)
		}
	}
	return done, nil
}

// isNotRunning tells that nobody listens on the supervisor's socket.
func isNotRunning(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

const groupRemovals = 10 // tries, a second apart (GRID-74)

// endGroup stops a group and makes the supervisor forget it.
func endGroup(ctx context.Context, client *supervisor.Client, name string, log *slog.Logger) error {
	if err := client.StopGroup(ctx, name); err != nil && !isUnknownName(err) {
		log.Warn(fmt.Sprintf("Problem while stopping process '%s', will try later", name), "error", err)
	} else {
		log.Info(fmt.Sprintf("Stopped '%s'", name))
	}
	for try := 1; ; try++ {
		err := client.RemoveGroup(ctx, name)
		if err == nil || isUnknownName(err) {
			log.Info(fmt.Sprintf("Removed '%s'", name))
			return nil
		}
		if try == groupRemovals {
			return fmt.Errorf("remove group %s: %w", name, err)
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
}

// isUnknownName tells that the supervisor has nothing of that name (any more).
func isUnknownName(err error) bool {
	var fault *supervisor.Fault
	return errors.As(err, &fault) && fault.Code == supervisor.FaultBadName
}

// runningProcesses are the names, group:process, of what runs or starts in the
// groups of the partition.
func (t *partition) runningProcesses(ctx context.Context) ([]string, error) {
	client := supervisor.NewClient(t.pass.supervisorLayout().Socket())
	defer client.Close()
	processes, err := client.AllProcessInfo(ctx)
	if isNotRunning(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask the supervisor for running processes: %w", err)
	}
	var names []string
	for _, process := range processes {
		if t.hasGroup(process.Group) && (process.Statename == "RUNNING" || process.Statename == "STARTING") {
			names = append(names, process.Group+":"+process.Name)
		}
	}
	return names, nil
}
