// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"slices"

	"github.com/urfave/cli/v2"

	"slapos/grid/instance"
	"slapos/grid/pass"
)

type instanceOptions struct {
	passOptions
	forceOptions
	forceStop bool
}

func (o *instanceOptions) flags() []cli.Flag {
	return slices.Concat(o.passOptions.flags(), o.forceOptions.flags(), []cli.Flag{
		o.onlyFlag("only-cp", "process only the partition `NAME` (comma-separated list)"),
		&cli.BoolFlag{Name: "force-stop", Destination: &o.forceStop, Usage: "stop services instead of starting them"},
	})
}

func newNodeInstanceCommand(e *environment) *cli.Command {
	own := new(instanceOptions)
	return e.newGridCommand(gridCommand{
		name:  "instance",
		usage: "deploy, start and stop instances as the master wants",
		description: `Brings each partition to the state that the master wants. Without a master,
keeps running services alive.

Exit codes: 0 done; 1 failed; 2 only promises failed; 3 no master, and services
kept running; 5 not root; 10 another slapos process runs.`,
		options:    &own.passOptions,
		flags:      own.flags(),
		pidFileKey: instancePIDKey, pidFile: instancePIDFile,
		prepare: func(options *gridOptions) error {
			if err := checkFirewall(options); err != nil {
				return err
			}
			options.Instance.ForceStop = own.forceStop
			own.apply(options)
			e.watchPass(options)
			return nil
		},
		brief: true,
		run: func(ctx context.Context, options *gridOptions) (pass.Result, error) {
			return instance.Pass(ctx, options.forInstance())
		},
	})
}
