// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"slapos/grid/pass"
	"slapos/grid/software"
)

func newNodeSoftwareCommand(e *environment) *cli.Command {
	return e.newGridCommand(gridCommand{
		name:  "software",
		usage: "install and remove software as the master wants",
		description: `Builds each Software Release that the master lists as available and that is not
complete, or fetches it from the network cache, and removes those that are to be
destroyed.

Exit codes: 0 done; 1 failed; 5 not root; 10 another slapos process runs.`,
		only:       "only-sr",
		pidFileKey: "pidfile_software", pidFile: "/opt/slapos/slapgrid-sr.pid",
		flags: append(forceFlags("only-sr", "process only the software with this `URL` or md5 sum of it (comma-separated list)"),
			&cli.BoolFlag{Name: "garbage-collect", Usage: "remove software that the master doesn't list as available"}),
		prepare: func(c *cli.Context, options *gridOptions) error {
			prepareForce(c, options)
			options.Software.GarbageCollect = c.Bool("garbage-collect")
			e.watchPass(options)
			return nil
		},
		run: func(ctx context.Context, options *gridOptions) (pass.Result, error) {
			return software.Pass(ctx, options.forSoftware())
		},
	})
}
