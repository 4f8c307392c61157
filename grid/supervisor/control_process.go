// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// action is a command that does something to processes.
type action struct {
	name     string // of the command
	one      string // method for one process
	group    string // method for a group
	all      string // method for all
	words    map[int]string
	forgiven int // fault that doesn't change the exit code
	noGroup  int // exit code for an unknown group
	missing  int // exit code without names
	params   []any
}

// startWords and the others translate a status; %s is the process.
var (
	startWords = map[int]string{
		FaultBadName: "ERROR (no such process)", FaultNoFile: "ERROR (no such file)",
		FaultNotExecutable: "ERROR (file is not executable)", FaultAlreadyStarted: "ERROR (already started)",
		FaultSpawnError: "ERROR (spawn error)", FaultAbnormalTermination: "ERROR (abnormal termination)",
		FaultSuccess: "started",
	}
	stopWords = map[int]string{
		FaultBadName: "ERROR (no such process)", FaultBadSignal: "ERROR (bad signal name)",
		FaultNotRunning: "ERROR (not running)", FaultSuccess: "stopped",
	}
	signalWords = map[int]string{
		FaultBadName: "ERROR (no such process)", FaultBadSignal: "ERROR (bad signal name)",
		FaultNotRunning: "ERROR (not running)", FaultSuccess: "signalled",
	}
	clearWords = map[int]string{
		FaultBadName: "ERROR (no such process)", FaultFailed: "ERROR (failed)", FaultSuccess: "cleared",
	}
)

var (
	startAction = action{
		name: "start", one: "startProcess", group: "startProcessGroup", all: "startAllProcesses",
		words: startWords, forgiven: FaultAlreadyStarted, noGroup: exitInvalidArgs, missing: exitInvalidArgs,
	}
	stopAction = action{
		name: "stop", one: "stopProcess", group: "stopProcessGroup", all: "stopAllProcesses",
		words: stopWords, forgiven: FaultNotRunning, noGroup: exitGeneric, missing: exitGeneric,
	}
	signalAction = action{
		name: "signal", one: "signalProcess", group: "signalProcessGroup", all: "signalAllProcesses",
		words: signalWords, noGroup: exitGeneric, missing: exitGeneric,
	}
	clearAction = action{
		name: "clear", one: "clearProcessLogs", all: "clearAllProcessLogs",
		words: clearWords, missing: exitGeneric,
	}
)

// command applies the action to the names that the user gave.
func (a action) command(c *control, arg string) error {
	names := strings.Fields(arg)
	if len(names) == 0 {
		_ = c.fail(a.name, "Error: %s requires a process name", a.name)
		c.exit = a.missing
		return nil
	}
	return a.run(c, names)
}

func (a action) run(c *control, names []string) error {
	if slices.Contains(names, "all") {
		value, err := c.client.Call(c.ctx, "supervisor."+a.all, a.params...)
		if err != nil {
			return err
		}
		return a.printAll(c, value)
	}
	for _, name := range names {
		group, process := splitNamespec(name)
		var err error
		if process == "" && a.group != "" {
			err = a.runGroup(c, group)
		} else {
			err = a.runOne(c, name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a action) runGroup(c *control, group string) error {
	value, err := c.client.Call(c.ctx, "supervisor."+a.group, append([]any{group}, a.params...)...)
	if isFault(err, FaultBadName) {
		c.printf("%s: ERROR (no such group)", group)
		c.exit = a.noGroup
		return nil
	} else if err != nil {
		return err
	}
	return a.printAll(c, value)
}

func (a action) runOne(c *control, name string) error {
	_, err := c.client.Call(c.ctx, "supervisor."+a.one, append([]any{name}, a.params...)...)
	group, process := splitNamespec(name)
	result := processResult{group: group, name: process, status: FaultSuccess}
	var fault *Fault
	if errors.As(err, &fault) {
		result.status, result.description = fault.Code, fault.Text
	} else if err != nil {
		return err
	}
	return a.print(c, result)
}

func (a action) printAll(c *control, value any) error {
	for _, result := range processResults(value) {
		if err := a.print(c, result); err != nil {
			return err
		}
	}
	return nil
}

func (a action) print(c *control, r processResult) error {
	name := namespec(r.group, r.name)
	words, known := a.words[r.status]
	switch {
	case known:
		c.printf("%s: %s", name, words)
	case r.status == FaultFailed:
		c.printf("%s", r.description)
	default:
		return fmt.Errorf("unknown result code %d for %s", r.status, name)
	}
	c.exitFor(r.status, a.forgiven)
	return nil
}

func (c *control) signal(arg string) error {
	words := strings.Fields(arg)
	if len(words) < 2 {
		return c.fail("signal", "Error: signal requires a signal name and a process name")
	}
	a := signalAction
	a.params = []any{words[0]}
	if slices.Contains(words[1:], "all") {
		return a.run(c, []string{"all"})
	}
	return a.run(c, words[1:])
}

// restart is stop and start, with the answers of both.
func (c *control) restart(arg string) error {
	if arg == "" {
		return c.fail("restart", "Error: restart requires a process name")
	}
	for _, a := range []action{stopAction, startAction} {
		if err := whenUp(a.command)(c, arg); err != nil {
			return err
		}
	}
	return nil
}

// status lists processes. Its exit code is 4 if a name is unknown or nobody
// answers, and 3 if a process isn't running.
func (c *control) status(arg string) error {
	up, err := c.upCheck()
	if err != nil {
		return err
	}
	if !up {
		c.exit = exitUnknown
		return nil
	}
	all, err := c.client.AllProcessInfo(c.ctx)
	if err != nil {
		return err
	}
	infos := all
	if names := strings.Fields(arg); len(names) > 0 && !slices.Contains(names, "all") {
		infos = c.matching(all, names)
	}
	width := 30
	for _, info := range infos {
		width = max(width, len([]rune(namespec(info.Group, info.Name))))
	}
	for _, info := range infos {
		c.printf("%-*s%-10s%s", width+3, namespec(info.Group, info.Name), info.Statename, info.Description)
	}
	for _, info := range infos {
		if slices.Contains([]string{"STOPPED", "EXITED", "FATAL", "UNKNOWN"}, info.Statename) {
			c.exit = exitStopped
		}
	}
	return nil
}

func (c *control) matching(all []ProcessInfo, names []string) (infos []ProcessInfo) {
	for _, name := range names {
		group, process := splitNamespec(name)
		before := len(infos)
		for _, info := range all {
			if info.Group == group && (process == "" || info.Name == process) {
				infos = append(infos, info)
			}
		}
		if len(infos) > before {
			continue
		}
		if process == "" {
			c.printf("%s: ERROR (no such group)", group)
		} else {
			c.printf("%s: ERROR (no such process)", name)
		}
		c.exit = exitUnknown
	}
	return infos
}

func (c *control) pid(arg string) error {
	names := strings.Fields(arg)
	if len(names) == 0 {
		pid, err := c.client.Call(c.ctx, "supervisor.getPID")
		if err == nil {
			c.printf("%v", pid)
		}
		return err
	}
	if slices.Contains(names, "all") {
		infos, err := c.client.AllProcessInfo(c.ctx)
		for _, info := range infos {
			c.printf("%d", info.Pid)
		}
		return err
	}
	for _, name := range names {
		info, err := c.client.ProcessInfo(c.ctx, name)
		switch {
		case isFault(err, FaultBadName):
			c.printf("No such process %s", name)
			c.exit = exitGeneric
		case err != nil:
			return err
		default:
			c.printf("%d", info.Pid)
			if info.Pid == 0 {
				c.exit = exitNotRunning
			}
		}
	}
	return nil
}
