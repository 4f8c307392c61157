// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"github.com/urfave/cli/v2"
)

func newComputerLogCommand(e *environment) *cli.Command {
	options := new(logOptions)
	return &cli.Command{
		Name:      "log",
		Usage:     "show why a software release can't be built on a computer",
		Category:  "client",
		ArgsUsage: "REFERENCE SOFTWARE_URL",
		Description: `Prints what the computer said about the last failure of the software release
at SOFTWARE_URL. Control characters are shown as codes.` + logExitCodes,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			options.reference, options.url = c.Args().Get(0), c.Args().Get(1)
			return runLog(c.Context, e, *options, func(client *client) (*failureLog, error) {
				return client.releaseFailure(c.Context, options.reference, options.url)
			})
		},
	}
}
