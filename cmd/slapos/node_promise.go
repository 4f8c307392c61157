package main

import (
	"github.com/urfave/cli/v2"

	"slapos/grid"
)

func newNodePromiseCommand(e *environment) *cli.Command {
	return e.newGridCommand(gridCommand{
		name:  "promise",
		usage: "check the promises of started instances",
		description: `Runs all promises, due or not, and tells nothing to the master.

Exit codes: 0 all are good; 1 failed; 2 a promise failed; 5 not root; 10 another
slapos process runs.`,
		only:       "only-cp",
		pidFileKey: "pidfile_instance", pidFile: "/opt/slapos/slapgrid-cp.pid",
		flags: []cli.Flag{onlyFlag("only-cp", "check only the partition `NAME` (comma-separated list)")},
		run:   grid.PromisePass,
	})
}
