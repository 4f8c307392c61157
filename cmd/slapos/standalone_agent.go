// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
)

type standaloneAgentOptions struct {
	root  string
	every int // seconds
}

func (o *standaloneAgentOptions) flags() []cli.Flag {
	return []cli.Flag{
		rootFlag(&o.root),
		argv.WholeFlag(&o.every, "every", "`SECONDS` between passes when nothing changes", "60", 1, maxSeconds),
	}
}

func newStandaloneAgentCommand(e *environment) *cli.Command {
	options := new(standaloneAgentOptions)
	return &cli.Command{
		Name:   "agent",
		Usage:  "the agent of a cloud, which its supervisor runs",
		Hidden: true,
		Description: `Has the supervisor run the passes of the node: when the master wants something
else, and regularly.

Exit codes: 0 ended; 1 failed.`,
		Flags:  options.flags(),
		Action: func(c *cli.Context) error { return runStandaloneAgent(c.Context, e, *options) },
	}
}

func runStandaloneAgent(ctx context.Context, e *environment, options standaloneAgentOptions) error {
	c, err := e.openCloud(options.root)
	if err != nil {
		return err
	}
	c.Work(ctx, time.Duration(options.every)*time.Second)
	return nil
}
