// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"slices"
	"strings"

	"slapos/grid/supervisor/config"
)

// group is an active group of processes.
type group struct {
	d         *daemon
	config    *config.Group
	processes []*process // in the order of the configuration
	pool      *pool      // of a group of event listeners
}

func newGroup(d *daemon, c *config.Group) *group {
	g := &group{d: d, config: c}
	if c.Listener != nil {
		g.pool = &pool{group: g}
	}
	for _, program := range c.Programs {
		p := newProcess(g, program)
		same := func(other *process) bool { return other.config.Name == program.Name }
		if at := slices.IndexFunc(g.processes, same); at >= 0 {
			g.processes[at] = p // the last one of a name wins
			continue
		}
		g.processes = append(g.processes, p)
	}
	return g
}

func (g *group) process(name string) *process {
	for _, p := range g.processes {
		if p.config.Name == name {
			return p
		}
	}
	return nil
}

// byPriority lists the processes in starting order.
func (g *group) byPriority() []*process {
	sorted := slices.Clone(g.processes)
	slices.SortStableFunc(sorted, func(a, b *process) int { return a.config.Priority - b.config.Priority })
	return sorted
}

func (g *group) byName() []*process {
	sorted := slices.Clone(g.processes)
	slices.SortFunc(sorted, func(a, b *process) int { return strings.Compare(a.config.Name, b.config.Name) })
	return sorted
}

// autoStart starts the processes with autostart that never ran.
func (g *group) autoStart() {
	for _, p := range g.byPriority() {
		if p.config.AutoStart && p.state == stopped && p.started.IsZero() {
			p.spawn()
		}
	}
}

// stopAll asks every process to end, those with the highest priority number first.
func (g *group) stopAll() {
	processes := g.byPriority()
	slices.Reverse(processes)
	for _, p := range processes {
		switch p.state {
		case running, starting:
			_ = p.stop()
		case backoff:
			p.giveUp()
		case exited:
			p.cancelTimer()
		}
	}
}

// isStopped reports whether no process of the group runs.
func (g *group) isStopped() bool {
	return !slices.ContainsFunc(g.processes, func(p *process) bool { return !p.state.isStopped() })
}

// addGroup activates a group; it returns false if the name is taken.
func (d *daemon) addGroup(c *config.Group) bool {
	if _, found := d.groups[c.Name]; found {
		return false
	}
	g := newGroup(d, c)
	d.groups[c.Name] = g
	d.notify("PROCESS_GROUP_ADDED", "groupname:"+c.Name+"\n")
	return true
}

// removeGroup forgets a group; it returns false if a process still runs.
func (d *daemon) removeGroup(g *group) bool {
	if !g.isStopped() {
		return false
	}
	for _, p := range g.processes {
		p.cancelTimer()
	}
	delete(d.groups, g.config.Name)
	d.notify("PROCESS_GROUP_REMOVED", "groupname:"+g.config.Name+"\n")
	return true
}

// groupsByPriority lists the active groups in starting order.
func (d *daemon) groupsByPriority() []*group {
	return d.sortedGroups(func(a, b *group) int {
		if a.config.Priority != b.config.Priority {
			return a.config.Priority - b.config.Priority
		}
		return strings.Compare(a.config.Name, b.config.Name)
	})
}

func (d *daemon) groupsByName() []*group {
	return d.sortedGroups(func(a, b *group) int { return strings.Compare(a.config.Name, b.config.Name) })
}

func (d *daemon) sortedGroups(compare func(a, b *group) int) []*group {
	var groups []*group
	for _, g := range d.groups {
		groups = append(groups, g)
	}
	slices.SortFunc(groups, compare)
	return groups
}
