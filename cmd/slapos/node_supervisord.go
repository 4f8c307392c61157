// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/cmd/slapos/pytext"
	"slapos/grid/supervisor"
	"slapos/grid/supervisor/config"
)

type nodeSupervisordOptions struct {
	configuration string
	foreground    bool
	upgrade       bool
}

func (o *nodeSupervisordOptions) flags() []cli.Flag {
	return []cli.Flag{
		configFlag(&o.configuration),
		&cli.BoolFlag{Name: "nodaemon", Destination: &o.foreground, Aliases: []string{"n"}, Usage: "stay in the foreground"},
		&cli.BoolFlag{Name: "upgrade", Destination: &o.upgrade, Usage: "make the running supervisor go on as the installed program; services keep running"},
	}
}

func newNodeSupervisordCommand(e *environment) *cli.Command {
	options := new(nodeSupervisordOptions)
	return &cli.Command{
		Name:  "supervisord",
		Usage: "start the supervisor of this node's services",
		Description: `Writes the supervisor's configuration and starts it, unless one is running
already; services are not touched. The supervisor knows the watchdog only after
the first "slapos node instance". With --nodaemon beside a running one, it says so
and waits until that ends.

With --upgrade, a supervisor that is running changes to the program that is
installed now, as after an upgrade of the package; services keep running, under
the same process numbers. If none is running, that is said, and none is started.

Exit codes: 0 it runs, or with --upgrade none did; 1 failed.`,
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
	if options.upgrade {
		return e.upgradeSupervisor(ctx, layout)
	}
	if err := supervisor.WriteConfiguration(layout, ""); err != nil { // CLI-76
		return err
	}
	if options.foreground {
		if stopped, err := e.awaitOther(ctx, layout); err != nil || stopped {
			return err
		}
	}
	return supervisor.Launch(ctx, layout, supervisor.LaunchOptions{
		Executable: e.executable, Foreground: options.foreground, Logger: e.log,
	})
}

// awaitOther waits for the end of a supervisor that is running already: who stays in
// the foreground is the next one then. Under systemd this process stands for that
// supervisor: when it is told to stop, the other one stops, with its services.
func (e *environment) awaitOther(ctx context.Context, layout supervisor.Layout) (stopped bool, err error) {
	pid, err := supervisor.Running(ctx, layout)
	if err != nil || pid == 0 { // the start says what is in the way
		return false, ctx.Err()
	}
	underSystemd := e.getenv("INVOCATION_ID") != ""
	line := fmt.Sprintf("A supervisor is running already (process %d): this one waits until it ends", pid)
	if underSystemd {
		line += ", and stops it when it is told to stop"
	}
	e.log.Info(line)
	err = supervisor.AwaitEnd(ctx, pid)
	if ctx.Err() == nil {
		return false, err
	}
	if !underSystemd {
		return true, nil // a server that was told to end
	}
	after := context.WithoutCancel(ctx)
	client := supervisor.NewClient(layout.Socket())
	defer client.Close()
	if err := client.Shutdown(after); err != nil {
		return true, fmt.Errorf("stop the supervisor %d: %w", pid, err)
	}
	return true, supervisor.AwaitEnd(after, pid)
}

// upgradeSupervisor makes a running supervisor go on as the installed program.
func (e *environment) upgradeSupervisor(ctx context.Context, layout supervisor.Layout) error {
	client := supervisor.NewClient(layout.Socket())
	defer client.Close()
	done, err := client.Upgrade(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		e.log.Info("No supervisor is running: the next start runs the installed program.")
		return nil
	case errors.Is(err, supervisor.ErrNoUpgrade):
		return fmt.Errorf("%w; it stays until services may stop: slapos node supervisorctl shutdown, then slapos node supervisord", err)
	case err != nil:
		return fmt.Errorf("the supervisor goes on as before: %w", err)
	}
	e.log.Info(done.String())
	return nil
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
	takeover                       int
	rehearsal                      bool
}

func (o *supervisordOptions) flags() []cli.Flag {
	takeover := argv.WholeFlag(&o.takeover, strings.TrimPrefix(supervisor.TakeoverOption, "--"), "`DESCRIPTOR` of the state of the program before", "0", 0, maxAmount)
	takeover.Hidden = true
	return []cli.Flag{
		&cli.StringFlag{Name: "configuration", Destination: &o.configuration, Aliases: []string{"c"}, Usage: "configuration `FILE`"},
		&cli.BoolFlag{Name: "nodaemon", Destination: &o.foreground, Aliases: []string{"n"}, Usage: "stay in the foreground"},
		&cli.BoolFlag{Name: "silent", Destination: &o.silent, Aliases: []string{"s"}, Usage: "no log on standard output in the foreground"},
		&cli.BoolFlag{Name: "background", Destination: &o.background, Hidden: true},
		takeover,
		&cli.BoolFlag{Name: strings.TrimPrefix(supervisor.RehearsalOption, "--"), Destination: &o.rehearsal, Hidden: true},
	}
}

// image is what this supervisor becomes in an upgrade.
func (o *supervisordOptions) image(executable string) supervisor.Image {
	image := supervisor.Image{Executable: executable, Arguments: []string{"supervisord", "-c", o.configuration}}
	switch {
	case o.background:
		image.Arguments = append(image.Arguments, "--background")
	case o.silent:
		image.Arguments = append(image.Arguments, "--nodaemon", "--silent")
	default:
		image.Arguments = append(image.Arguments, "--nodaemon")
	}
	return image
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
	served := supervisor.ServeOptions{
		ConfigFile: options.configuration, Silent: options.silent, Environ: e.environ, Stdout: e.stdout,
		Version: version, Takeover: options.takeover, Image: options.image(e.executable),
	}
	if options.rehearsal {
		return supervisor.Rehearse(os.NewFile(uintptr(options.takeover), "state"), version, e.stdout)
	}
	_ = os.WriteFile("/proc/self/comm", []byte("supervisord"), 0) // for ps and the like (CLI-106)
	if options.takeover > 0 {
		served.Silent = served.Silent || options.background
		return supervisor.Serve(ctx, served)
	}
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
