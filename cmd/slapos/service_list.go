// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"slices"

	"slapos/cmd/slapos/pytext"

	"github.com/urfave/cli/v2"
)

func newServiceListCommand(e *environment) *cli.Command {
	return &cli.Command{
		Name:     "list",
		Usage:    "list your services and their software",
		Category: "client",
		Description: `Prints a JSON object: the software release of each service by the service's
title.

Exit codes: 0 success; 1 failed; 2 wrong usage.`,
		Flags: []cli.Flag{clientConfigFlag(), jsonFlag("print JSON, as it does anyway")},
		Action: func(c *cli.Context) error {
			return runServiceList(c.Context, e, clientOptions{configuration: c.String("cfg")})
		},
	}
}

func runServiceList(ctx context.Context, e *environment, options clientOptions) error {
	master, done, err := e.openHateoas(ctx, options)
	if err != nil {
		return err
	}
	defer done()
	services, err := master.Services(ctx)
	if err != nil {
		return err
	}
	list := pytext.NewObject()
	for _, service := range services {
		list.Set(service.Title, service.SoftwareReleaseURL)
	}
	slices.Sort(list.Keys)
	return e.printJSON(list)
}
