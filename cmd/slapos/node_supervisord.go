// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/cmd/slapos/pytext"
	"slapos/grid/supervisor"
	"slapos/grid/supervisor/config"
)

type nodeSupervisordOptions struct {
	configuration string
	foreground    bool
}

func (o *nodeSupervisordOptions) flags() []cli.Flag {
	return []cli.Flag{
		configFlag(&o.configuration),
		&cli.BoolFlag{Name: "nodaemon", Destination: &o.foreground, Aliases: []string{"n"}, Usage: "stay in the foreground"},
	}
}

func newNodeSupervisordCommand(e *environment) *cli.Command {
	options := new(nodeSupervisordOptions)
	return &cli.Command{
		Name:  "supervisord",
		Usage: "start the supervisor of this node's services",
		Description: `Writes the supervisor's configuration and starts it, unless one is running
already; services are not touched. The supervisor knows the watchdog only after
the first "slapos node instance".

Exit codes: 0 it runs; 1 failed.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			return runNodeSupervisord(c.Context, e, *options)
		},
	}
}

func runNodeSupervisord(ctx context.Context, e *environment, options nodeSupervisordOptions) error {
	configuration, err := e.nodeConfiguration(options.configuration)
	if err != nil {
		return err
	}
	layout, err := e.supervisorLayout(configuration)
	if err != nil {
		return err
	}
	if err := supervisor.WriteConfiguration(layout, ""); err != nil { // CLI-76
		return err
	}
	return supervisor.Launch(ctx, layout, supervisor.LaunchOptions{
		Executable: e.executable, Foreground: options.foreground, Logger: e.log,
	})
}

// supervisorLayout is where the supervisor of the configured node has its files.
func (e *environment) supervisorLayout(configuration *pytext.Configuration) (supervisor.Layout, error) {
	slapos, err := configuration.Section("slapos")
	if err != nil {
		return supervisor.Layout{}, err
	}
	if err := requireOptions(slapos, "instance_root"); err != nil {
		return supervisor.Layout{}, err
	}
	return supervisor.Layout{InstanceRoot: slapos["instance_root"], Logger: e.log}, nil
}

// readyDescriptor is the pipe that reports the start to the starting process.
const readyDescriptor = 3

type supervisordOptions struct {
	configuration                  string
	foreground, silent, background bool
}

func (o *supervisordOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "configuration", Destination: &o.configuration, Aliases: []string{"c"}, Usage: "configuration `FILE`"},
		&cli.BoolFlag{Name: "nodaemon", Destination: &o.foreground, Aliases: []string{"n"}, Usage: "stay in the foreground"},
		&cli.BoolFlag{Name: "silent", Destination: &o.silent, Aliases: []string{"s"}, Usage: "no log on standard output in the foreground"},
		&cli.BoolFlag{Name: "background", Destination: &o.background, Hidden: true},
	}
}

// newSupervisordCommand is the program supervisord, which Launch starts and
// which stands in for Python's (CLI-104).
func newSupervisordCommand(e *environment) *cli.Command {
	options := new(supervisordOptions)
	return &cli.Command{
		Name:   "supervisord",
		Usage:  "the supervisor itself",
		Hidden: true,
		Description: `Runs the programs of a configuration file of Python's supervisor, in the
background unless told otherwise.

Exit codes: 0 started, or ended in the foreground; 2 the configuration is wrong
or another supervisor is in the way.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			if options.configuration == "" {
				return argv.UsageErrorf("the following arguments are required: -c/--configuration")
			}
			err := runSupervisord(c.Context, e, *options)
			if err == nil {
				return nil
			}
			fmt.Fprintf(e.stderr, "Error: %v\n", err)
			return &exitError{code: 2}
		},
	}
}

func runSupervisord(ctx context.Context, e *environment, options supervisordOptions) error {
	served := supervisor.ServeOptions{ConfigFile: options.configuration, Silent: options.silent, Environ: e.environ, Stdout: e.stdout}
	_ = os.WriteFile("/proc/self/comm", []byte("supervisord"), 0) // for ps and the like (CLI-106)
	if options.background {
		pipe := os.NewFile(readyDescriptor, "ready")
		if pipe == nil {
			return errors.New("the option --background is internal")
		}
		served.Silent = true
		served.Ready = func() { supervisor.Report(pipe, nil) }
		err := supervisor.Serve(ctx, served)
		if err != nil {
			supervisor.Report(pipe, err)
		}
		return err
	}
	settings, err := config.Load(options.configuration, e.environ)
	if err != nil {
		return err
	}
	if options.foreground || settings.NoDaemon {
		return supervisor.Serve(ctx, served)
	}
	// The word supervisord in the command line tells other tools what this is.
	return supervisor.Detach(ctx, e.executable, []string{"supervisord", "-c", options.configuration, "--background"}, e.environ)
}
