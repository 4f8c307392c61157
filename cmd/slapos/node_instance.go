// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"slapos/grid/instance"
	"slapos/grid/pass"
)

func newNodeInstanceCommand(e *environment) *cli.Command {
	return e.newGridCommand(gridCommand{
		name:  "instance",
		usage: "deploy, start and stop instances as the master wants",
		description: `Brings each partition to the state that the master wants. Without a master, what
runs is kept running.

Exit codes: 0 done; 1 failed; 2 only promises failed; 3 no master, and services
kept running; 5 not root; 10 another slapos process runs.`,
		only:       "only-cp",
		pidFileKey: "pidfile_instance", pidFile: "/opt/slapos/slapgrid-cp.pid",
		flags: append(forceFlags("only-cp", "process only the partition `NAME` (comma-separated list)"),
			&cli.BoolFlag{Name: "force-stop", Usage: "stop services instead of starting them"}),
		prepare: func(c *cli.Context, options *gridOptions) error {
			if err := checkFirewall(options); err != nil {
				return err
			}
			options.Instance.ForceStop = c.Bool("force-stop")
			prepareForce(c, options)
			e.watchPass(options)
			return nil
		},
		brief: true,
		run: func(ctx context.Context, options *gridOptions) (pass.Result, error) {
			return instance.Pass(ctx, options.forInstance())
		},
	})
}
