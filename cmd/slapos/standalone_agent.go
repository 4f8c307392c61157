// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"time"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
)

func newStandaloneAgentCommand(e *environment) *cli.Command {
	var root string
	var seconds int
	return &cli.Command{
		Name:   "agent",
		Usage:  "the agent of a cloud, which its supervisor runs",
		Hidden: true,
		Description: `Has the supervisor run the passes of the node: when the master wants something
else, and regularly.

Exit codes: 0 ended; 1 failed.`,
		Flags: []cli.Flag{
			rootFlag(&root),
			argv.WholeFlag(&seconds, "every", "`SECONDS` between passes when nothing changes", "60", 1, maxSeconds),
		},
		Action: func(c *cli.Context) error {
			s, err := e.openCloud(root)
			if err != nil {
				return err
			}
			s.Work(c.Context, time.Duration(seconds)*time.Second)
			return nil
		},
	}
}
