// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"github.com/urfave/cli/v2"

	"slapos/slap"
)

func newRemoveCommand(e *environment) *cli.Command {
	options := new(supplyOptions)
	return &cli.Command{
		Name:      "remove",
		Usage:     "remove a software release from a node",
		Category:  "client",
		ArgsUsage: "SOFTWARE_URL NODE",
		Description: `Asks the master to remove the software release at SOFTWARE_URL from NODE, the
reference of a computer. product.NAME stands for the best release of a software
product.

With --wait, goes on until the node has done it, and ends at once with the end
of the log if that failed. Only a local master of this program can tell.

Exit codes: 0 the master accepted the request, or, with --wait, it is done; 1
failed; 2 wrong usage; 124 --timeout passed.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			options.url, options.node = c.Args().Get(0), c.Args().Get(1)
			return options.ask(c.Context, e, slap.StateDestroyed, "Requesting deletion of "+options.url+" Software Release...")
		},
	}
}
