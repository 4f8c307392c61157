// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"slices"

	"github.com/urfave/cli/v2"

	"slapos/grid/pass"
	"slapos/grid/software"
)

type softwareOptions struct {
	passOptions
	forceOptions
	garbageCollect bool
}

func (o *softwareOptions) flags() []cli.Flag {
	return slices.Concat(o.passOptions.flags(), o.forceOptions.flags(), []cli.Flag{
		o.onlyFlag("only-sr", "process only the software with this `URL` or md5 sum of it (comma-separated list)"),
		&cli.BoolFlag{Name: "garbage-collect", Destination: &o.garbageCollect, Usage: "remove software that the master doesn't list as available"},
	})
}

func newNodeSoftwareCommand(e *environment) *cli.Command {
	own := new(softwareOptions)
	return e.newGridCommand(gridCommand{
		name:  "software",
		usage: "install and remove software as the master wants",
		description: `Builds each Software Release that the master lists as available and that is not
complete, or fetches it from the network cache. Removes those that are to be
destroyed.

Exit codes: 0 done; 1 failed; 5 not root; 10 another slapos process runs.`,
		options:    &own.passOptions,
		flags:      own.flags(),
		pidFileKey: softwarePIDKey, pidFile: softwarePIDFile,
		prepare: func(options *gridOptions) error {
			own.apply(options)
			options.Software.GarbageCollect = own.garbageCollect
			e.watchPass(options)
			return nil
		},
		run: func(ctx context.Context, options *gridOptions) (pass.Result, error) {
			return software.Pass(ctx, options.forSoftware())
		},
	})
}
