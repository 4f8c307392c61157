// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// confirm asks a user at the prompt; a script isn't asked.
func (c *control) confirm(question string) bool {
	if !c.interactive {
		return true
	}
	answer, err := c.next(question + " y/N? ")
	return err == nil && strings.HasPrefix(strings.ToLower(answer), "y")
}

func (c *control) shutdown() error {
	if !c.confirm("Really shut the remote supervisord process down") {
		return nil
	}
	err := c.client.Shutdown(c.ctx)
	switch {
	case err == nil:
		c.printf("Shut down")
	case isFault(err, FaultShutdownState):
		c.printf("ERROR: already shutting down")
	case errors.Is(err, unix.ECONNREFUSED):
		_ = c.fail("", "ERROR: %s refused connection (already shut down?)", c.url)
	case errors.Is(err, unix.ENOENT):
		_ = c.fail("", "ERROR: %s no such file (already shut down?)", c.url)
	default:
		return err
	}
	return nil
}

func (c *control) reload() error {
	if !c.confirm("Really restart the remote supervisord process") {
		return nil
	}
	_, err := c.client.Call(c.ctx, "supervisor.restart")
	if isFault(err, FaultShutdownState) {
		return c.fail("", "ERROR: already shutting down")
	} else if err != nil {
		return err
	}
	c.printf("Restarted supervisord")
	return nil
}

func (c *control) upgrade() error {
	done, err := c.client.Upgrade(c.ctx)
	switch {
	case isFault(err, FaultShutdownState):
		return c.fail("", "ERROR: supervisor shutting down")
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.ENOENT):
		c.exit = exitNotRunning
		c.printf("%s: no supervisor runs", c.url)
		return nil
	case err != nil:
		return c.fail("", "ERROR: %v", err)
	}
	c.printf("%s", done)
	return nil
}

func (c *control) reread() error {
	added, changed, removed, err := c.client.ReloadConfig(c.ctx)
	switch {
	case isFault(err, FaultShutdownState):
		return c.fail("", "ERROR: supervisor shutting down")
	case isFault(err, FaultCantReread):
		return c.fail("", "ERROR: %v", err)
	case err != nil:
		return err
	}
	changes := map[string]string{}
	for i, names := range [][]string{added, changed, removed} {
		for _, name := range names {
			changes[name] = []string{"available", "changed", "disappeared"}[i]
		}
	}
	names := make([]string, 0, len(changes))
	for name := range changes {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		c.printf("%s: %s", name, changes[name])
	}
	if len(names) == 0 {
		c.printf("No config updates to processes")
	}
	return nil
}

func (c *control) avail() error {
	value, err := c.client.Call(c.ctx, "supervisor.getAllConfigInfo")
	if isFault(err, FaultShutdownState) {
		return c.fail("", "ERROR: supervisor shutting down")
	} else if err != nil {
		return err
	}
	list, _ := value.([]any)
	for _, item := range list {
		info, _ := item.(map[string]any)
		inUse, start := "avail", "manual"
		if info["inuse"] == true {
			inUse = "in use"
		}
		if info["autostart"] == true {
			start = "auto"
		}
		name := namespec(fmt.Sprint(info["group"]), fmt.Sprint(info["name"]))
		c.printf("%-32s %-9s %-9s %v:%v", name, inUse, start, info["group_prio"], info["process_prio"])
	}
	return nil
}

func (c *control) add(arg string) error {
	for _, name := range strings.Fields(arg) {
		err := c.client.AddGroup(c.ctx, name)
		switch {
		case err == nil:
			c.printf("%s: added process group", name)
		case isFault(err, FaultAlreadyAdded):
			c.printf("ERROR: process group already active")
		case isFault(err, FaultShutdownState):
			_ = c.fail("", "ERROR: shutting down")
		case isFault(err, FaultBadName):
			_ = c.fail("", "ERROR: no such process/group: %s", name)
		default:
			return err
		}
	}
	return nil
}

func (c *control) remove(arg string) error {
	for _, name := range strings.Fields(arg) {
		err := c.client.RemoveGroup(c.ctx, name)
		switch {
		case err == nil:
			c.printf("%s: removed process group", name)
		case isFault(err, FaultStillRunning):
			_ = c.fail("", "ERROR: process/group still running: %s", name)
		case isFault(err, FaultBadName):
			_ = c.fail("", "ERROR: no such process/group: %s", name)
		default:
			return err
		}
	}
	return nil
}

// update makes the supervisor follow the configuration, for the given groups or
// for all.
func (c *control) update(arg string) error {
	added, changed, removed, err := c.client.ReloadConfig(c.ctx)
	if isFault(err, FaultShutdownState) {
		return c.fail("", "ERROR: already shutting down")
	} else if err != nil {
		return err
	}
	wanted := strings.Fields(arg)
	if slices.Contains(wanted, "all") {
		wanted = nil
	}
	if err := c.checkGroups(wanted, added); err != nil {
		return err
	}
	chosen := func(names []string) []string {
		return slices.DeleteFunc(names, func(name string) bool { return len(wanted) > 0 && !slices.Contains(wanted, name) })
	}
	for _, name := range chosen(removed) {
		if err := c.updateRemoved(name); err != nil {
			return err
		}
	}
	for _, name := range chosen(changed) {
		if _, err := c.client.Call(c.ctx, "supervisor.stopProcessGroup", name); err != nil {
			return err
		}
		c.printf("%s: stopped", name)
		if err := errors.Join(c.client.RemoveGroup(c.ctx, name), c.client.AddGroup(c.ctx, name)); err != nil {
			return err
		}
		c.printf("%s: updated process group", name)
	}
	for _, name := range chosen(added) {
		if err := c.client.AddGroup(c.ctx, name); err != nil {
			return err
		}
		c.printf("%s: added process group", name)
	}
	return nil
}

func (c *control) updateRemoved(name string) error {
	value, err := c.client.Call(c.ctx, "supervisor.stopProcessGroup", name)
	if err != nil {
		return err
	}
	c.printf("%s: stopped", name)
	for _, result := range processResults(value) {
		if result.status == FaultFailed {
			return c.fail("", "%s: has problems; not removing", name)
		}
	}
	if err := c.client.RemoveGroup(c.ctx, name); err != nil {
		return err
	}
	c.printf("%s: removed process group", name)
	return nil
}

// checkGroups reports names that are neither active groups nor new ones.
func (c *control) checkGroups(names, added []string) error {
	if len(names) == 0 {
		return nil
	}
	infos, err := c.client.AllProcessInfo(c.ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		active := slices.ContainsFunc(infos, func(info ProcessInfo) bool { return info.Group == name })
		if !active && !slices.Contains(added, name) {
			_ = c.fail("", "ERROR: no such group: %s", name)
		}
	}
	return nil
}

func (c *control) version() error {
	version, err := c.client.Call(c.ctx, "supervisor.getSupervisorVersion")
	if err == nil {
		c.printf("%v", version)
	}
	return err
}

// openServer switches to another supervisor.
func (c *control) openServer(arg string) error {
	if err := c.open(strings.TrimSpace(arg)); err != nil {
		return c.fail("", "ERROR: url must be http:// or unix://")
	}
	exit := c.exit
	err := c.status("")
	c.exit = exit
	return err
}
