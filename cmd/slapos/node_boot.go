// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/cmd/slapos/pytext"
	"slapos/grid/boot"
)

type bootOptions struct{ configuration, message string }

func (o *bootOptions) flags() []cli.Flag {
	return []cli.Flag{
		configFlag(&o.configuration),
		&cli.StringFlag{Name: "message", Destination: &o.message, Aliases: []string{"m"}, Usage: "`TEXT` of the bang", Value: "Reboot"},
	}
}

func newNodeBootCommand(e *environment) *cli.Command {
	options := new(bootOptions)
	return &cli.Command{
		Name:  "boot",
		Usage: "bring the node back after a start of the machine",
		Description: `Waits for an IPv6 address on the node's interface, formats the node, bangs, and
makes the next "slapos node instance" process every partition. Each step is
repeated until it succeeds.

Exit codes: 0 done; 1 failed; 5 not root.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			return runBoot(c.Context, e, *options)
		},
	}
}

func runBoot(ctx context.Context, e *environment, options bootOptions) error {
	return e.withConfiguration(options.configuration, []string{"slapos"}, func(configuration *pytext.Configuration) error {
		return e.boot(ctx, configuration, options.message)
	})
}

func (e *environment) boot(ctx context.Context, configuration *pytext.Configuration, message string) error {
	slapos, err := configuration.Section("slapos")
	if err != nil {
		return err
	}
	if err := requireOptions(slapos, "instance_root", "master_url"); err != nil {
		return err
	}
	master, err := url.Parse(slapos["master_url"])
	if err != nil {
		return fmt.Errorf("master_url: %w", err)
	}
	if err := e.checkRoot(slapos); err != nil {
		return err
	}
	format, err := configuration.Section("slapformat")
	if err != nil {
		return err
	}
	// As for node format, an empty ipv6_interface is none.
	awaited := cmp.Or(format["ipv6_interface"], format["interface_name"])
	if format["ipv6_local_network"] != "" { // format gives it an address
		awaited = ""
	}
	return boot.Run(ctx, boot.Options{
		Interface:       awaited,
		MasterHost:      master.Hostname(),
		InstanceRoot:    slapos["instance_root"],
		PartitionPrefix: textOption(format, "partition_base_name", defaultPartitionPrefix),
		Format: func(ctx context.Context) (int, error) {
			return e.runWithin(ctx, "node", "format", "--cfg="+configuration.Path(), "--now", "--verbose")
		},
		Bang: func(ctx context.Context) (int, error) {
			return e.runWithin(ctx, "node", "bang", "--cfg="+configuration.Path(), "--message="+message)
		},
		Logger:       e.log,
		NetworkPause: boot.DefaultNetworkPause, CommandPause: boot.DefaultCommandPause,
	})
}

// runWithin runs another command inside this one, with the same log, and
// returns its exit code. A line that can't be understood is an error, as is the
// end of ctx, or a node that is formatted in part.
func (e *environment) runWithin(ctx context.Context, words ...string) (int, error) {
	app := newApplication(e)
	line, err := argv.Read(app.commands, new(globalOptions).flags(), words)
	if err == nil {
		err = app.runCommand(ctx, line)
	}
	var usage *argv.UsageError
	var unknown *argv.UnknownCommandError
	if errors.As(err, &usage) || errors.As(err, &unknown) {
		return 0, err
	}
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	var partly *boot.PartlyError
	if errors.As(err, &partly) {
		return 0, partly
	}
	return e.report(ctx, err), nil
}
