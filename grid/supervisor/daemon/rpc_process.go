// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"context"
	"errors"
	"time"

	"github.com/ochinchina/supervisord/faults"
	"github.com/ochinchina/supervisord/types"

	"slapos/grid/supervisor/config"
	"slapos/grid/supervisor/xmlrpc"
)

// processMethods start, stop and describe processes. A name is group:process,
// or group:* for all of a group.
var processMethods = map[string]method{
	"supervisor.startProcess":        {signature: "boolean string boolean", optional: 1, help: "Starts a process; waits until it runs unless told not to.", call: (*daemon).startProcess},
	"supervisor.startProcessGroup":   {signature: "array string boolean", optional: 1, help: "Starts the processes of a group. Returns a status for each.", call: (*daemon).startProcessGroup},
	"supervisor.startAllProcesses":   {signature: "array boolean", optional: 1, help: "Starts all processes. Returns a status for each.", call: (*daemon).startAllProcesses},
	"supervisor.stopProcess":         {signature: "boolean string boolean", optional: 1, help: "Stops a process; waits until it has ended unless told not to.", call: (*daemon).stopProcess},
	"supervisor.stopProcessGroup":    {signature: "array string boolean", optional: 1, help: "Stops the processes of a group. Returns a status for each.", call: (*daemon).stopProcessGroup},
	"supervisor.stopAllProcesses":    {signature: "array boolean", optional: 1, help: "Stops all processes. Returns a status for each.", call: (*daemon).stopAllProcesses},
	"supervisor.signalProcess":       {signature: "boolean string string", optional: 0, help: "Sends a signal, by name or number, to a process.", call: (*daemon).signalProcess},
	"supervisor.signalProcessGroup":  {signature: "array string string", optional: 0, help: "Sends a signal to the processes of a group.", call: (*daemon).signalProcessGroup},
	"supervisor.signalAllProcesses":  {signature: "array string", optional: 0, help: "Sends a signal to all processes.", call: (*daemon).signalAllProcesses},
	"supervisor.getProcessInfo":      {signature: "struct string", optional: 0, help: "Describes a process.", call: (*daemon).processInfo},
	"supervisor.getAllProcessInfo":   {signature: "array", optional: 0, help: "Describes all processes.", call: (*daemon).allProcessInfo},
	"supervisor.sendProcessStdin":    {signature: "boolean string string", optional: 0, help: "Writes text to the standard input of a process.", call: (*daemon).sendProcessStdin},
	"supervisor.clearAllProcessLogs": {signature: "array", optional: 0, help: "Empties the logs of all processes.", call: (*daemon).clearAllProcessLogs},
}

func (d *daemon) startProcess(ctx context.Context, args arguments) (any, error) {
	g, p, err := d.find(args.text(0))
	if err != nil {
		return nil, err
	}
	if p == nil {
		return d.startProcessGroup(ctx, append(arguments{g.config.Name}, args[1:]...))
	}
	if err := p.requestStart(args.text(0)); err != nil {
		return nil, err
	}
	if !args.flag(1) {
		return true, nil
	}
	return d.await(ctx, pendingCall{Until: untilStarted, Name: args.text(0), processes: []*process{p}})
}

// requestStart starts a process that isn't running; name is for faults.
func (p *process) requestStart(name string) error {
	if _, _, err := p.command(); err != nil {
		var why *commandError
		if errors.As(err, &why) {
			return xmlrpc.NewFault(why.fault, why.text)
		}
		return err
	}
	switch {
	case p.state.isRunning():
		return xmlrpc.NewFault(faults.AlreadyStated, name)
	case p.state == unknown:
		return xmlrpc.NewFault(faults.Failed, name+" is in an unknown process state")
	case p.pid != 0: // STOPPING
		return xmlrpc.NewFault(faults.AbnormalTermination, name)
	}
	p.spawn()
	if p.spawnError != "" {
		return xmlrpc.NewFault(faults.SpawnError, name)
	}
	return nil
}

func (p *process) waitStarted(ctx context.Context, name string) error {
	err := p.wait(ctx, func() bool { return p.spawnError != "" || p.state != starting })
	switch {
	case err != nil:
		return err
	case p.spawnError != "":
		return xmlrpc.NewFault(faults.SpawnError, name)
	case p.state != running:
		return xmlrpc.NewFault(faults.AbnormalTermination, name)
	}
	return nil
}

func (d *daemon) stopProcess(ctx context.Context, args arguments) (any, error) {
	g, p, err := d.find(args.text(0))
	if err != nil {
		return nil, err
	}
	if p == nil {
		return d.stopProcessGroup(ctx, append(arguments{g.config.Name}, args[1:]...))
	}
	if err := p.requestStop(args.text(0)); err != nil {
		return nil, err
	}
	if !args.flag(1) {
		return true, nil
	}
	return d.await(ctx, pendingCall{Until: untilStopped, Name: args.text(0), processes: []*process{p}})
}

func (p *process) requestStop(name string) error {
	if !p.state.isRunning() {
		p.cancelRestart()
		return xmlrpc.NewFault(faults.NotRunning, name)
	}
	if err := p.stop(); err != nil {
		return xmlrpc.NewFault(faults.Failed, err.Error())
	}
	return nil
}

func (p *process) waitStopped(ctx context.Context) error {
	return p.wait(ctx, func() bool { return p.state.isStopped() })
}

// cancelRestart keeps an EXITED process from being started again.
func (p *process) cancelRestart() {
	if p.state == exited {
		p.cancelTimer()
	}
}

// status is the outcome for one of several processes.
type status struct {
	Name        string `xml:"name"`
	Group       string `xml:"group"`
	Status      int    `xml:"status"`
	Description string `xml:"description"`
}

func (p *process) status(err error) status {
	s := status{Name: p.config.Name, Group: p.group.config.Name, Status: faults.Success, Description: "OK"}
	if err != nil {
		fault := asFault(err)
		s.Status, s.Description = fault.Code, fault.Text
	}
	return s
}

// namespec returns the name of the process in faults.
func (p *process) namespec() string {
	if p.group.config.Name == p.config.Name {
		return p.config.Name
	}
	return p.group.config.Name + ":" + p.config.Name
}

// each acts on several processes, and then waits for those that need it, unless
// until is empty. Failures come first in its result.
func (d *daemon) each(ctx context.Context, processes []*process, act func(*process) error, until string) (any, error) {
	rest := pendingCall{Until: until, Several: true, Results: []status{}}
	for _, p := range processes {
		if err := act(p); err != nil {
			rest.Results = append(rest.Results, p.status(err))
		} else {
			rest.processes = append(rest.processes, p)
		}
	}
	return d.await(ctx, rest)
}

func filter(processes []*process, keep func(state) bool) (kept []*process) {
	for _, p := range processes {
		if keep(p.state) {
			kept = append(kept, p)
		}
	}
	return kept
}

// all lists the processes of all groups by priority.
func (d *daemon) all() (processes []*process) {
	for _, g := range d.groupsByPriority() {
		processes = append(processes, g.byPriority()...)
	}
	return processes
}

// startEach starts those that don't run; until is as for each.
func (d *daemon) startEach(ctx context.Context, processes []*process, until string) (any, error) {
	idle := filter(processes, func(s state) bool { return !s.isRunning() })
	return d.each(ctx, idle, func(p *process) error { return p.requestStart(p.namespec()) }, until)
}

// stopEach stops those that run; until is as for each.
func (d *daemon) stopEach(ctx context.Context, processes []*process, until string) (any, error) {
	for _, p := range processes {
		p.cancelRestart()
	}
	return d.each(ctx, filter(processes, state.isRunning), func(p *process) error { return p.requestStop(p.namespec()) }, until)
}

func (d *daemon) startProcessGroup(ctx context.Context, args arguments) (any, error) {
	g, err := d.group(args.text(0), args.text(0))
	if err != nil {
		return nil, err
	}
	return d.startEach(ctx, g.byPriority(), args.waiting(1, untilStarted))
}

func (d *daemon) startAllProcesses(ctx context.Context, args arguments) (any, error) {
	return d.startEach(ctx, d.all(), args.waiting(0, untilStarted))
}

func (d *daemon) stopProcessGroup(ctx context.Context, args arguments) (any, error) {
	g, err := d.group(args.text(0), args.text(0))
	if err != nil {
		return nil, err
	}
	return d.stopEach(ctx, g.byPriority(), args.waiting(1, untilStopped))
}

func (d *daemon) stopAllProcesses(ctx context.Context, args arguments) (any, error) {
	return d.stopEach(ctx, d.all(), args.waiting(0, untilStopped))
}

func (d *daemon) signalProcess(ctx context.Context, args arguments) (any, error) {
	g, p, err := d.find(args.text(0))
	if err != nil {
		return nil, err
	}
	if p == nil {
		return d.signalProcessGroup(ctx, arguments{g.config.Name, args[1]})
	}
	return true, p.requestSignal(args.text(0), args.text(1))
}

func (p *process) requestSignal(name, text string) error {
	signal, err := config.Signal(text)
	if err != nil {
		return xmlrpc.NewFault(faults.BadSignal, text)
	}
	if !p.state.isSignallable() {
		return xmlrpc.NewFault(faults.NotRunning, name)
	}
	if err := p.signal(signal); err != nil {
		return xmlrpc.NewFault(faults.Failed, err.Error())
	}
	return nil
}

func (d *daemon) signalEach(ctx context.Context, processes []*process, text string) (any, error) {
	return d.each(ctx, filter(processes, state.isSignallable), func(p *process) error { return p.requestSignal(p.namespec(), text) }, "")
}

func (d *daemon) signalProcessGroup(ctx context.Context, args arguments) (any, error) {
	g, err := d.group(args.text(0), args.text(0))
	if err != nil {
		return nil, err
	}
	return d.signalEach(ctx, g.byPriority(), args.text(1))
}

func (d *daemon) signalAllProcesses(ctx context.Context, args arguments) (any, error) {
	return d.signalEach(ctx, d.all(), args.text(0))
}

// info describes the process. Times are clamped to what an XML-RPC integer holds.
func (p *process) info(now int64) types.ProcessInfo {
	info := types.ProcessInfo{
		Name: p.config.Name, Group: p.group.config.Name, Description: p.describe(now),
		Start: xmlrpcTime(p.started), Stop: xmlrpcTime(p.stopped), Now: int(min(now, maximumInteger)),
		State: int(p.state), Statename: p.state.String(), Spawnerr: p.spawnError, Exitstatus: p.exitStatus,
		Logfile: p.logFile("stdout"), StdoutLogfile: p.logFile("stdout"), StderrLogfile: p.logFile("stderr"), Pid: p.pid,
	}
	return info
}

const maximumInteger = 1<<31 - 1

func xmlrpcTime(t time.Time) int {
	if t.IsZero() {
		return 0
	}
	return int(min(t.Unix(), maximumInteger))
}

func (d *daemon) processInfo(_ context.Context, args arguments) (any, error) {
	p, err := d.process(args.text(0))
	if err != nil {
		return nil, err
	}
	return p.info(time.Now().Unix()), nil
}

func (d *daemon) allProcessInfo(context.Context, arguments) (any, error) {
	infos := []types.ProcessInfo{}
	now := time.Now().Unix()
	for _, g := range d.groupsByName() {
		for _, p := range g.byName() {
			infos = append(infos, p.info(now))
		}
	}
	return infos, nil
}

// sendProcessStdin sends text to the process's standard input, all of it or
// nothing.
func (d *daemon) sendProcessStdin(_ context.Context, args arguments) (any, error) {
	p, err := d.process(args.text(0))
	if err != nil {
		return nil, err
	}
	if p.pid == 0 || p.killing {
		return nil, xmlrpc.NewFault(faults.NotRunning, args.text(0))
	}
	switch err := p.sendInput([]byte(args.text(1))); {
	case errors.Is(err, errInputFull):
		return nil, xmlrpc.NewFault(faults.Failed, err.Error())
	case err != nil:
		return nil, xmlrpc.NewFault(faults.NoFile, args.text(0))
	}
	return true, nil
}
