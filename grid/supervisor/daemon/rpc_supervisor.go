// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/ochinchina/supervisord/faults"

	"slapos/grid/supervisor/config"
	"slapos/grid/supervisor/xmlrpc"
)

const (
	apiVersion        = "3.0"
	supervisorVersion = "4.3.0" // whose behaviour this supervisor has
)

// supervisorMethods are about the supervisor and its groups.
var supervisorMethods = map[string]method{
	"supervisor.getAPIVersion": {signature: "string", optional: 0, help: "The version of these methods.", call: func(*daemon, context.Context, arguments) (any, error) {
		return apiVersion, nil
	}},
	"supervisor.getSupervisorVersion": {signature: "string", optional: 0, help: "The version of Python's supervisor that this one behaves like.",
		call: func(*daemon, context.Context, arguments) (any, error) { return supervisorVersion, nil }},
	"supervisor.getIdentification": {signature: "string", optional: 0, help: "The identifier of the configuration.", call: func(d *daemon, _ context.Context, _ arguments) (any, error) {
		return d.config.Identifier, nil
	}},
	"supervisor.getState": {signature: "struct", optional: 0, help: "The state of the supervisor: statecode and statename.", call: func(d *daemon, _ context.Context, _ arguments) (any, error) {
		return map[string]any{"statecode": int(d.state), "statename": d.state.String()}, nil
	}},
	"supervisor.getPID": {signature: "int", optional: 0, help: "The process number of the supervisor.", call: func(*daemon, context.Context, arguments) (any, error) {
		return os.Getpid(), nil
	}},
	"supervisor.shutdown": {signature: "boolean", optional: 0, help: "Stops everything and ends the supervisor.", call: func(d *daemon, _ context.Context, _ arguments) (any, error) {
		d.end(supervisorShutdown)
		return true, nil
	}},
	"supervisor.restart": {signature: "boolean", optional: 0, help: "Stops everything and begins anew.", call: func(d *daemon, _ context.Context, _ arguments) (any, error) {
		d.end(supervisorRestarting)
		return true, nil
	}},
	"slapos.upgrade": {signature: "struct", optional: 0, help: "Goes on as the program that is installed now; stops nothing. Returns pid, version, previous and executable.",
		call: (*daemon).upgrade},
	"supervisor.reloadConfig": {signature: "array", optional: 0, help: "Reads the configuration again. Returns [[added, changed, removed]], names of groups; changes none.",
		call: (*daemon).reloadConfig},
	"supervisor.addProcessGroup":    {signature: "boolean string", optional: 0, help: "Activates a group of the configuration.", call: (*daemon).addProcessGroup},
	"supervisor.removeProcessGroup": {signature: "boolean string", optional: 0, help: "Forgets a group whose processes are stopped.", call: (*daemon).removeProcessGroup},
	"supervisor.getAllConfigInfo":   {signature: "array", optional: 0, help: "The options of all configured processes.", call: (*daemon).allConfigInfo},
	"supervisor.sendRemoteCommEvent": {signature: "boolean string string", optional: 0, help: "Sends an event with a type and data to event listeners.",
		call: func(d *daemon, _ context.Context, args arguments) (any, error) {
			d.notify("REMOTE_COMMUNICATION", "type:"+args.text(0)+"\n"+args.text(1))
			return true, nil
		}},
}

// reloadConfig compares the configuration on disk with the active groups. A
// configuration with an error changes nothing.
func (d *daemon) reloadConfig(context.Context, arguments) (any, error) {
	d.tidy()
	c, err := config.Load(d.options.ConfigFile, d.options.Environ)
	if err != nil {
		return nil, xmlrpc.NewFault(faults.CantReRead, err.Error())
	}
	d.groupsRead = c.Groups
	added, changed, removed := []string{}, []string{}, []string{}
	names := map[string]bool{}
	for _, read := range c.Groups {
		names[read.Name] = true
		active := d.groups[read.Name]
		switch {
		case active == nil:
			added = append(added, read.Name)
		case !reflect.DeepEqual(active.config, read):
			changed = append(changed, read.Name)
		}
	}
	for _, g := range d.groupsByName() {
		if !names[g.config.Name] {
			removed = append(removed, g.config.Name)
		}
	}
	return []any{[]any{added, changed, removed}}, nil
}

func (d *daemon) addProcessGroup(_ context.Context, args arguments) (any, error) {
	for _, c := range d.groupsRead {
		if c.Name != args.text(0) {
			continue
		}
		if !d.addGroup(c) {
			return nil, xmlrpc.NewFault(faults.AlreadyAdded, c.Name)
		}
		d.groups[c.Name].autoStart()
		d.ticks()
		return true, nil
	}
	return nil, xmlrpc.NewFault(faults.BadName, args.text(0))
}

func (d *daemon) removeProcessGroup(_ context.Context, args arguments) (any, error) {
	g, err := d.group(args.text(0), args.text(0))
	if err != nil {
		return nil, err
	}
	if !d.removeGroup(g) {
		return nil, xmlrpc.NewFault(faults.StillRunning, args.text(0))
	}
	return true, nil
}

// group finds an active group; asked is the name used in the fault.
func (d *daemon) group(name, asked string) (*group, error) {
	g := d.groups[name]
	if g == nil {
		return nil, xmlrpc.NewFault(faults.BadName, asked)
	}
	return g, nil
}

// find finds a process by its name, group:name; the process is nil for a whole
// group, written "group:" or "group:*".
func (d *daemon) find(name string) (*group, *process, error) {
	groupName, processName, found := strings.Cut(name, ":")
	if !found {
		processName = name
	}
	g, err := d.group(groupName, name)
	if err != nil || processName == "" || processName == "*" {
		return g, nil, err
	}
	p := g.process(processName)
	if p == nil {
		return nil, nil, xmlrpc.NewFault(faults.BadName, name)
	}
	return g, p, nil
}

// process finds one process.
func (d *daemon) process(name string) (*process, error) {
	_, p, err := d.find(name)
	if err == nil && p == nil {
		err = xmlrpc.NewFault(faults.BadName, name)
	}
	return p, err
}

// configInfo is an element of the answer to getAllConfigInfo. Unset options are
// shown as none, and logs as auto if we choose their paths.
type configInfo struct {
	AutoStart     bool   `xml:"autostart"`
	Directory     string `xml:"directory"`
	UID           any    `xml:"uid"`
	Command       string `xml:"command"`
	ExitCodes     []int  `xml:"exitcodes"`
	Group         string `xml:"group"`
	GroupPriority int    `xml:"group_prio"`
	InUse         bool   `xml:"inuse"`
	KillAsGroup   bool   `xml:"killasgroup"`
	Name          string `xml:"name"`
	Priority      int    `xml:"process_prio"`
	RedirectError bool   `xml:"redirect_stderr"`
	StartRetries  int    `xml:"startretries"`
	StartSecs     int    `xml:"startsecs"`
	StdoutCapture int64  `xml:"stdout_capture_maxbytes"`
	StdoutEvents  bool   `xml:"stdout_events_enabled"`
	StdoutLog     string `xml:"stdout_logfile"`
	StdoutBackups int    `xml:"stdout_logfile_backups"`
	StdoutBytes   int64  `xml:"stdout_logfile_maxbytes"`
	StdoutSyslog  bool   `xml:"stdout_syslog"`
	StopSignal    int    `xml:"stopsignal"`
	StopWaitSecs  int    `xml:"stopwaitsecs"`
	StderrCapture int64  `xml:"stderr_capture_maxbytes"`
	StderrEvents  bool   `xml:"stderr_events_enabled"`
	StderrLog     string `xml:"stderr_logfile"`
	StderrBackups int    `xml:"stderr_logfile_backups"`
	StderrBytes   int64  `xml:"stderr_logfile_maxbytes"`
	StderrSyslog  bool   `xml:"stderr_syslog"`
	ServerURL     string `xml:"serverurl"`
}

func (d *daemon) allConfigInfo(context.Context, arguments) (any, error) {
	infos := []configInfo{}
	for _, g := range d.groupsRead {
		for _, p := range g.Programs {
			info := configInfo{
				AutoStart: p.AutoStart, Directory: orNone(p.Directory), UID: p.User, Command: p.Command,
				ExitCodes: p.ExitCodes, Group: g.Name, GroupPriority: g.Priority, InUse: d.groups[g.Name] != nil,
				KillAsGroup: p.KillAsGroup, Name: p.Name, Priority: p.Priority, RedirectError: p.RedirectError,
				StartRetries: p.StartRetries, StartSecs: p.StartSecs,
				StdoutCapture: p.Stdout.CaptureMaxBytes, StdoutEvents: p.Stdout.Events, StdoutLog: logName(p.Stdout),
				StdoutBackups: p.Stdout.Backups, StdoutBytes: p.Stdout.MaxBytes,
				StopSignal: int(p.StopSignal), StopWaitSecs: p.StopWaitSecs,
				StderrCapture: p.Stderr.CaptureMaxBytes, StderrEvents: p.Stderr.Events, StderrLog: logName(p.Stderr),
				StderrBackups: p.Stderr.Backups, StderrBytes: p.Stderr.MaxBytes, ServerURL: orNone(p.ServerURL),
			}
			if p.User < 0 {
				info.UID = "none"
			}
			infos = append(infos, info)
		}
	}
	slices.SortStableFunc(infos, func(a, b configInfo) int { return strings.Compare(a.Name, b.Name) })
	return infos, nil
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

func logName(s config.Stream) string {
	if s.LogFile == config.Auto {
		return "auto"
	}
	return orNone(s.LogFile)
}

// describe puts a process's state into words.
func (p *process) describe(now int64) string {
	switch p.state {
	case running:
		return fmt.Sprintf("pid %d, uptime %s", p.pid, uptime(max(0, now-p.started.Unix())))
	case fatal, backoff:
		if p.spawnError == "" {
			return fmt.Sprintf(`unknown error (try "tail %s")`, p.config.Name)
		}
		return p.spawnError
	case stopped, exited:
		if p.started.IsZero() {
			return "Not started"
		}
		return p.stopped.Format("Jan 02 03:04 PM")
	}
	return ""
}

// uptime formats a duration as Python's timedelta.
func uptime(seconds int64) string {
	days, rest := seconds/86400, seconds%86400
	clock := fmt.Sprintf("%d:%02d:%02d", rest/3600, rest/60%60, rest%60)
	switch days {
	case 0:
		return clock
	case 1:
		return "1 day, " + clock
	}
	return fmt.Sprintf("%d days, %s", days, clock)
}
