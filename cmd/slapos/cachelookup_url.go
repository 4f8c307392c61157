// SPDX-License-Identifier: GPL-3.0-or-later

package main

import "github.com/urfave/cli/v2"

func newCacheLookupURLCommand(e *environment) *cli.Command {
	options := new(lookupOptions)
	return &cli.Command{
		Name:        "url",
		Usage:       "show the files of a URL in the network cache",
		ArgsUsage:   "URL",
		Description: `Lists what the network cache has for a file that builds download from a URL.` + lookupExitCodes,
		Flags:       options.flags(),
		Action: func(c *cli.Context) error {
			url := c.Args().First()
			l := sourceLookup{
				lookupOptions: *options, key: sourceKey(url), field: "url",
				title: "Software source URL: " + url, failed: "Error while looking object " + url,
			}
			return l.run(c.Context, e)
		},
	}
}
