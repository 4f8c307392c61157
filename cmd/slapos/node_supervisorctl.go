// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/cmd/slapos/pytext"
	"slapos/grid/supervisor"
)

const supervisorctlDescription = `Passes the command to the supervisor of this node, and starts that first if
needed. The name of a process is PARTITION:SERVICE; PARTITION:* means all of a
partition.

Exit codes: 0 done; 1 failed; 2 unknown name; 3 a process is stopped (status);
4 unknown name or no supervisor (status); 5 not root; 7 a process failed.`

func newNodeSupervisorctlCommand(e *environment) *cli.Command {
	return nodeControl(e, "supervisorctl", "talk to the supervisor: help shows its commands; without one, shows a prompt", nil)
}

// newNodeControlCommands makes the commands of supervisorctl that have their
// own name (GRID-77).
func newNodeControlCommands(e *environment) []*cli.Command {
	var commands []*cli.Command
	for _, c := range []struct{ name, usage string }{
		{"restart", "restart services"},
		{"start", "start services"},
		{"stop", "stop services"},
		{"tail", "show the log of a service"},
	} {
		commands = append(commands, nodeControl(e, c.name, c.usage, []string{c.name}))
	}
	return commands
}

func nodeControl(e *environment, name, usage string, words []string) *cli.Command {
	var configuration string
	return &cli.Command{
		Name:        name,
		Usage:       usage,
		ArgsUsage:   argv.PassThrough,
		Description: supervisorctlDescription,
		Flags:       []cli.Flag{configFlag(&configuration)},
		Action: func(c *cli.Context) error {
			return runNodeControl(c.Context, e, configuration, append(words[:len(words):len(words)], c.Args().Slice()...))
		},
	}
}

func runNodeControl(ctx context.Context, e *environment, path string, words []string) error {
	return e.withConfiguration(path, []string{"slapos"}, func(configuration *pytext.Configuration) error {
		layout, slapos, err := e.ownSupervisor(configuration)
		if err != nil {
			return err
		}
		return controlNode(ctx, e, layout, slapos, words)
	})
}

// ownSupervisor is the supervisor of a node, and section [slapos], for those who may
// use it.
func (e *environment) ownSupervisor(configuration *pytext.Configuration) (layout supervisor.Layout, slapos map[string]string, err error) {
	if layout, err = e.supervisorLayout(configuration); err != nil {
		return layout, nil, err
	}
	if slapos, err = configuration.Section("slapos"); err != nil {
		return layout, nil, err
	}
	return layout, slapos, e.checkRoot(slapos)
}

func controlNode(ctx context.Context, e *environment, layout supervisor.Layout, slapos map[string]string, words []string) error {
	forbidden, err := isTrue(slapos, "forbid_supervisord_automatic_launch")
	if err != nil {
		return err
	}
	if !forbidden {
		if err := supervisor.Launch(ctx, layout, supervisor.LaunchOptions{Executable: e.executable, Logger: e.log}); err != nil {
			return err
		}
	}
	return control(ctx, e, supervisor.ControlOptions{ConfigFile: layout.ConfigFile(), Args: words})
}

// control runs supervisorctl on our standard streams.
func control(ctx context.Context, e *environment, options supervisor.ControlOptions) error {
	options.Stdin, options.Stdout, options.Environ = e.stdin, e.stdout, e.environ
	exit, err := supervisor.Control(ctx, options)
	switch {
	case exit == 0 && err == nil:
		return nil
	case err != nil && ctx.Err() != nil: // at the prompt
		return ctx.Err()
	}
	return &exitError{code: exit, err: err}
}

type supervisorctlOptions struct {
	configuration, url, username, password, history string
}

func (o *supervisorctlOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "configuration", Destination: &o.configuration, Aliases: []string{"c"}, Usage: "configuration `FILE`"},
		&cli.StringFlag{Name: "serverurl", Destination: &o.url, Aliases: []string{"s"}, Usage: "`URL` of the supervisor"},
		&cli.StringFlag{Name: "username", Destination: &o.username, Aliases: []string{"u"}, Usage: "`NAME` to log in with"},
		&cli.StringFlag{Name: "password", Destination: &o.password, Aliases: []string{"p"}, Usage: "`PASSWORD` to log in with"},
		&cli.StringFlag{Name: "history-file", Destination: &o.history, Aliases: []string{"r"}, Usage: "keep the commands of the prompt in `FILE`"},
		&cli.BoolFlag{Name: "interactive", Aliases: []string{"i"}, Usage: "accepted, without effect: without a command there is a prompt anyway"},
	}
}

// newSupervisorctlCommand is the program supervisorctl, for configurations
// other than the node's (CLI-104).
func newSupervisorctlCommand(e *environment) *cli.Command {
	options := new(supervisorctlOptions)
	return &cli.Command{
		Name:        "supervisorctl",
		Usage:       "speak with a supervisor",
		Hidden:      true,
		ArgsUsage:   argv.PassThrough,
		Description: "Commands are those of Python's supervisorctl; without one, shows a prompt.",
		Flags:       options.flags(),
		Action: func(c *cli.Context) error {
			if options.configuration == "" && options.url == "" {
				return argv.UsageErrorf("one of -c and -s is required")
			}
			return control(c.Context, e, supervisor.ControlOptions{
				ConfigFile: options.configuration, ServerURL: options.url, Username: options.username,
				Password: options.password, HistoryFile: options.history, Args: c.Args().Slice(),
			})
		},
	}
}
