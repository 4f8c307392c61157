// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

func newCacheLookupPyPICommand(e *environment) *cli.Command {
	options := new(lookupOptions)
	return &cli.Command{
		Name:        "pypi",
		Usage:       "show the files of a Python package in the network cache",
		ArgsUsage:   "NAME VERSION",
		Description: `Lists what the network cache has of one version of a Python package.` + lookupExitCodes,
		Flags:       options.flags(),
		Action: func(c *cli.Context) error {
			name, version := c.Args().Get(0), c.Args().Get(1)
			l := sourceLookup{
				lookupOptions: *options, key: "pypi:" + name + "=" + version, field: "basename",
				title:  fmt.Sprintf("Python egg %s version %s", name, version),
				failed: fmt.Sprintf("Error while looking egg %s version %s", name, version),
			}
			return l.run(c.Context, e)
		},
	}
}
