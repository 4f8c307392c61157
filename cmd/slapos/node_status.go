// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/cmd/slapos/pytext"
	"slapos/cmd/slapos/terminal"
	"slapos/grid/agent"
	"slapos/grid/pass"
	"slapos/grid/supervisor"
)

// longestList bounds what the screen shows of each kind.
const longestList = 12

func newNodeStatusCommand(e *environment) *cli.Command {
	var configuration string
	var json bool
	return &cli.Command{
		Name:      "status",
		Usage:     "show what the agent does, and the state of services",
		ArgsUsage: argv.PassThrough,
		Description: supervisorctlDescription + `

While "slapos node agent" runs, a status without names begins with what it
does: how it learns of changes, what runs, what fails since when and is tried
again when, what is due next.`,
		Flags: []cli.Flag{configFlag(&configuration), jsonFlag(&json, "print an object with the keys agent (null if none runs) and services")},
		Action: func(c *cli.Context) error {
			return runNodeStatus(c.Context, e, configuration, json, c.Args().Slice())
		},
	}
}

func runNodeStatus(ctx context.Context, e *environment, path string, json bool, names []string) error {
	return e.withConfiguration(path, []string{"slapos"}, func(configuration *pytext.Configuration) error {
		layout, _, err := e.ownSupervisor(configuration)
		if err != nil {
			return err
		}
		var status *agent.Status
		if len(names) == 0 || json {
			status, err = agent.Ask(ctx, layout.InstanceRoot)
			if err != nil && !isNoAgent(err) {
				e.log.Warn(fmt.Sprintf("The agent doesn't tell what it does: %v", err))
			}
		}
		if json {
			return e.printNodeStatus(ctx, layout, status)
		}
		if status != nil {
			if _, err := fmt.Fprintln(e.stdout, agentScreen(status)); err != nil {
				return err
			}
		}
		pid, err := supervisor.Running(ctx, layout)
		switch {
		case err == nil && pid == 0 && status != nil:
			e.log.Info("There are no services: the agent starts a supervisor with the first one.")
			return nil
		case err == nil && pid == 0:
			return &exitError{code: 4, err: errors.New("no supervisor is running on this node: slapos node supervisord starts it, as slapos node agent and slapos node instance do")}
		}
		return control(ctx, e, supervisor.ControlOptions{ConfigFile: layout.ConfigFile(), Args: append([]string{"status"}, names...)})
	})
}

// isNoAgent reports whether an error means that none runs.
func isNoAgent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// nodeStatus is what slapos node status --json prints.
type nodeStatus struct {
	Agent    *agent.Status   `json:"agent"`
	Services []serviceStatus `json:"services"`
	// Error is why the services can't be told.
	Error string `json:"error,omitempty"`
}

type serviceStatus struct {
	Partition   string `json:"group"`
	Name        string `json:"name"`
	State       string `json:"state"`
	PID         int    `json:"pid,omitempty"`
	Description string `json:"description"`
}

// nodeStatusOf asks the supervisor; its error is in what it returns, too.
func nodeStatusOf(ctx context.Context, layout supervisor.Layout, status *agent.Status) (nodeStatus, error) {
	told := nodeStatus{Agent: status, Services: []serviceStatus{}}
	client := supervisor.NewClient(layout.Socket())
	defer client.Close()
	infos, err := client.AllProcessInfo(ctx)
	if err != nil {
		told.Error = err.Error()
	}
	for _, info := range infos {
		told.Services = append(told.Services, serviceStatus{info.Group, info.Name, info.Statename, info.Pid, info.Description})
	}
	return told, err
}

func (e *environment) printNodeStatus(ctx context.Context, layout supervisor.Layout, status *agent.Status) error {
	told, err := nodeStatusOf(ctx, layout, status)
	if printErr := e.printDocument(told); printErr != nil {
		return printErr
	}
	if err != nil {
		return &exitError{code: 4}
	}
	return nil
}

// agentScreen shows what an agent does, on one screen.
func agentScreen(s *agent.Status) string {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(table, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("agent", "pid %d, since %s", s.PID, terminal.Age(s.Time.Sub(s.Since)))
	row("master", "%s", masterLine(s))
	if s.Unwatched != "" {
		row("files", "looked for each minute: %s", s.Unwatched)
	}
	for _, kind := range []agent.Kind{agent.KindRelease, agent.KindPartition} {
		row(string(kind)+"s", "%s", countLine(s, kind))
	}
	running, failing, due := sortTasks(s)
	for _, part := range []struct {
		name  string
		tasks []agent.TaskStatus
		text  func(*agent.Status, agent.TaskStatus) string
	}{{"running", running, runningText}, {"failing", failing, failingText}, {"due", due, dueText}} {
		for i, t := range part.tasks {
			name := ""
			if i == 0 {
				name = part.name
			}
			if i == longestList {
				row("", "and %d more", len(part.tasks)-i)
				break
			}
			row(name, "%s\t%s", pass.Printable(t.Name), pass.Printable(part.text(s, t)))
		}
	}
	_ = table.Flush() // to memory
	return b.String()
}

func masterLine(s *agent.Status) string {
	m := s.Master
	answered := ""
	if m.Answered != nil {
		answered = ", answered " + terminal.Age(s.Time.Sub(*m.Answered)) + " ago"
	}
	switch m.Mode {
	case "wait":
		return m.URL + " tells of changes" + answered
	case "poll":
		return fmt.Sprintf("%s is asked every %s%s", m.URL, terminal.Age(time.Duration(m.Every)*time.Second), answered)
	case "offline":
		return fmt.Sprintf("%s can't be asked for %s: %s", m.URL, terminal.Age(s.Time.Sub(*m.Since)), pass.Printable(oneLineOf(m.Error)))
	}
	return m.URL + " hasn't answered yet"
}

func countLine(s *agent.Status, kind agent.Kind) string {
	states := []string{"running", "waiting", "due", "idle"}
	counts, failing, all := map[string]int{}, 0, 0
	for _, t := range s.Tasks {
		if t.Kind != kind {
			continue
		}
		all++
		counts[t.State]++
		if t.Error != "" {
			failing++
		}
	}
	text := fmt.Sprint(all)
	separator := ": "
	add := func(count int, what string) {
		if count > 0 {
			text += fmt.Sprintf("%s%d %s", separator, count, what)
			separator = ", "
		}
	}
	for _, state := range states[:2] {
		add(counts[state], state)
	}
	add(failing, "failing")
	if kind == agent.KindPartition {
		text += fmt.Sprintf("; %d free", s.Free)
	}
	return text
}

// sortTasks picks what runs, what fails, and what is due next.
func sortTasks(s *agent.Status) (running, failing, due []agent.TaskStatus) {
	for _, t := range s.Tasks {
		switch {
		case t.State == "running" || t.State == "waiting":
			running = append(running, t)
		case t.Error != "":
			failing = append(failing, t)
		case t.Due != nil:
			due = append(due, t)
		}
	}
	slices.SortStableFunc(due, func(a, b agent.TaskStatus) int { return a.Due.Compare(*b.Due) })
	return running, failing, due
}

func runningText(s *agent.Status, t agent.TaskStatus) string {
	if t.State == "waiting" {
		return "waits " + t.Why
	}
	text := "for " + terminal.Age(s.Time.Sub(*t.Began))
	if t.Holder > 0 {
		text = fmt.Sprintf("waits for the slapos process %d", t.Holder)
	}
	return text + because(t.Why)
}

func failingText(s *agent.Status, t agent.TaskStatus) string {
	text := ""
	if t.Failing != nil {
		text = fmt.Sprintf("%d times, first %s ago", t.Failures, terminal.Age(s.Time.Sub(*t.Failing)))
	}
	if t.Due != nil {
		text += ", again in " + terminal.Age(max(0, t.Due.Sub(s.Time)))
	}
	return text + ": " + oneLineOf(t.Error)
}

func dueText(s *agent.Status, t agent.TaskStatus) string {
	return "in " + terminal.Age(max(0, t.Due.Sub(s.Time))) + because(t.Why)
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return " (" + why + ")"
}

// oneLineOf is the first line of an error.
func oneLineOf(text string) string {
	line, _, more := strings.Cut(strings.TrimSpace(text), "\n")
	if more {
		line += " …"
	}
	return line
}
