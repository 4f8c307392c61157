// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/slap"
)

// supplyOptions are those of supply and remove.
type supplyOptions struct {
	clientOptions
	url, node string
}

func (o *supplyOptions) flags() []cli.Flag {
	return []cli.Flag{clientConfigFlag(&o.configuration)}
}

func newSupplyCommand(e *environment) *cli.Command {
	options := new(supplyOptions)
	return &cli.Command{
		Name:      "supply",
		Usage:     "install a software release on a node",
		Category:  "client",
		ArgsUsage: "SOFTWARE_URL NODE",
		Description: `Asks the master to install the software release at SOFTWARE_URL on NODE, the
reference of a computer. product.NAME stands for the best release of a software
product.

Exit codes: 0 the master accepted the request; 1 failed; 2 wrong usage.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			options.url, options.node = c.Args().Get(0), c.Args().Get(1)
			return options.ask(c.Context, e, slap.StateAvailable, "Requesting software installation of "+options.url+"...")
		},
	}
}

// ask asks for a state of the release, which it tells before.
func (o *supplyOptions) ask(ctx context.Context, e *environment, state slap.State, announcement string) error {
	if o.url == "" || o.node == "" {
		return argv.UsageErrorf("SOFTWARE_URL and NODE are not empty: slapos supply URL COMP-1")
	}
	client, err := e.openClient(o.clientOptions)
	if err != nil {
		return err
	}
	defer client.Close()
	e.log.Info(announcement)
	url, err := e.softwareURL(ctx, client, o.url)
	if err != nil {
		return err
	}
	if err := client.Supply(ctx, url, o.node, state); err != nil {
		return err
	}
	e.log.Info("Done.")
	return nil
}
