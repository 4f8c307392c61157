// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/pytext"
)

type serviceListOptions struct {
	clientOptions
	json bool // without effect: it is JSON anyway
}

func (o *serviceListOptions) flags() []cli.Flag {
	return []cli.Flag{clientConfigFlag(&o.configuration), jsonFlag(&o.json, "print JSON, as it does anyway")}
}

func newServiceListCommand(e *environment) *cli.Command {
	options := new(serviceListOptions)
	return &cli.Command{
		Name:     "list",
		Usage:    "list your services and their software",
		Category: "client",
		Description: `Prints a JSON object: the software release of each service by the service's
title.

Exit codes: 0 success; 1 failed; 2 wrong usage.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			return runServiceList(c.Context, e, *options)
		},
	}
}

func runServiceList(ctx context.Context, e *environment, options serviceListOptions) error {
	master, done, err := e.openHateoas(ctx, options.clientOptions)
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
	list.Sort()
	return e.printJSON(list)
}
