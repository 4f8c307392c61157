// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"
)

func newStandaloneStopCommand(e *environment) *cli.Command {
	var root string
	return &cli.Command{
		Name:  "stop",
		Usage: "stop your cloud and its services",
		Description: `Stops the agent, the services and the master. Everything stays in the
directory, and start continues from there.

Exit codes: 0 nothing runs; 1 failed.`,
		Flags:  []cli.Flag{rootFlag(&root)},
		Action: func(c *cli.Context) error { return runStandaloneStop(c.Context, e, root) },
	}
}

func runStandaloneStop(ctx context.Context, e *environment, root string) error {
	c, err := e.openCloud(root)
	if err != nil {
		return err
	}
	if !c.Runs(ctx) {
		_, err := fmt.Fprintf(e.stdout, "Nothing is running in %s.\n", c.Root())
		return err
	}
	if err := c.Stop(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "Stopped. Everything stays in %s.\n", c.Root())
	return err
}
