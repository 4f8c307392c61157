// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"
)

type standaloneStatusOptions struct {
	root string
	json bool
}

func (o *standaloneStatusOptions) flags() []cli.Flag {
	return []cli.Flag{rootFlag(&o.root), jsonFlag(&o.json, "print JSON")}
}

func newStandaloneStatusCommand(e *environment) *cli.Command {
	options := new(standaloneStatusOptions)
	return &cli.Command{
		Name:  "status",
		Usage: "show the state of your cloud",
		Description: `Shows the cloud's own programs, the releases, and the instances with their
services.

Exit codes: 0 it runs; 1 failed; 3 nothing runs.`,
		Flags:  options.flags(),
		Action: func(c *cli.Context) error { return runStandaloneStatus(c.Context, e, *options) },
	}
}

func runStandaloneStatus(ctx context.Context, e *environment, options standaloneStatusOptions) error {
	c, err := e.openCloud(options.root)
	if err != nil {
		return err
	}
	status, err := c.Status(ctx)
	if err != nil {
		return err
	}
	if options.json {
		err = e.printDocument(status)
	} else {
		_, err = fmt.Fprint(e.stdout, status.Text())
	}
	if err == nil && !status.Running {
		return &exitError{code: 3}
	}
	return err
}
