// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"slapos/grid/pass"
	"slapos/grid/report"
)

func newNodeReportCommand(e *environment) *cli.Command {
	own := new(passOptions)
	return e.newGridCommand(gridCommand{
		name:  "report",
		usage: "report usage and destroy instances",
		description: `Runs the report scripts of all partitions, sends the usage to the master, and
destroys the instances that the master wants destroyed.

Exit codes: 0 done; 1 a script, a report or a partition failed, or the master
can't be reached; 5 not root; 10 another slapos process runs.`,
		options:    own,
		flags:      own.flags(),
		pidFileKey: reportPIDKey, pidFile: reportPIDFile,
		prepare: checkFirewall,
		brief:   true,
		run: func(ctx context.Context, options *gridOptions) (pass.Result, error) {
			return report.Pass(ctx, options.forReport())
		},
	})
}
