// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"github.com/urfave/cli/v2"
)

func newServiceLogCommand(e *environment) *cli.Command {
	options := new(logOptions)
	return &cli.Command{
		Name:      "log",
		Usage:     "show the log of a service's last failure",
		Category:  "client",
		ArgsUsage: "REFERENCE",
		Description: `Prints what the node said about the last failure of the instances with the
title REFERENCE, or of the software release that such an instance waits for.
Control characters are shown as codes.` + logExitCodes,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			options.reference = c.Args().First()
			return runLog(c.Context, e, *options, func(client *client) (*failureLog, error) {
				return client.instanceFailure(c.Context, options.reference)
			})
		},
	}
}
