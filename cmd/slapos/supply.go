// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"slapos/slap"
)

func newSupplyCommand(e *environment) *cli.Command {
	return &cli.Command{
		Name:      "supply",
		Usage:     "have a software release installed on a node",
		Category:  "client",
		ArgsUsage: "SOFTWARE_URL NODE",
		Description: `Asks the master to have the software release at SOFTWARE_URL installed on NODE,
the reference of a computer. product.NAME stands for the best release of a
software product.

Exit codes: 0 the master took the request; 1 failed; 2 wrong usage.`,
		Flags: []cli.Flag{clientConfigFlag()},
		Action: func(c *cli.Context) error {
			return runSupply(c.Context, e, clientOptions{configuration: c.String("cfg")}, c.Args().Get(0), c.Args().Get(1))
		},
	}
}

func runSupply(ctx context.Context, e *environment, options clientOptions, url, node string) error {
	client, err := e.openClient(options)
	if err != nil {
		return err
	}
	defer client.Close()
	e.log.Info("Requesting software installation of " + url + "...")
	if url, err = e.softwareURL(ctx, client, url); err != nil {
		return err
	}
	if err := client.Supply(ctx, url, node, slap.StateAvailable); err != nil {
		return err
	}
	e.log.Info("Done.")
	return nil
}
