// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"slapos/slap"
)

type removeOptions struct {
	clientOptions
	url, node string
}

func (o *removeOptions) flags() []cli.Flag {
	return []cli.Flag{clientConfigFlag(&o.configuration)}
}

func newRemoveCommand(e *environment) *cli.Command {
	options := new(removeOptions)
	return &cli.Command{
		Name:      "remove",
		Usage:     "remove a software release from a node",
		Category:  "client",
		ArgsUsage: "SOFTWARE_URL NODE",
		Description: `Asks the master to remove the software release at SOFTWARE_URL from NODE, the
reference of a computer. product.NAME stands for the best release of a software
product.

Exit codes: 0 the master accepted the request; 1 failed; 2 wrong usage.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			options.url, options.node = c.Args().Get(0), c.Args().Get(1)
			return runRemove(c.Context, e, *options)
		},
	}
}

func runRemove(ctx context.Context, e *environment, options removeOptions) error {
	client, err := e.openClient(options.clientOptions)
	if err != nil {
		return err
	}
	defer client.Close()
	e.log.Info("Requesting deletion of " + options.url + " Software Release...")
	url, err := e.softwareURL(ctx, client, options.url)
	if err != nil {
		return err
	}
	if err := client.Supply(ctx, url, options.node, slap.StateDestroyed); err != nil {
		return err
	}
	e.log.Info("Done.")
	return nil
}
