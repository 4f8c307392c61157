// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"
)

func newCachePutCommand(e *environment) *cli.Command {
	var configuration string
	return &cli.Command{
		Name:      "put",
		Usage:     "put a file of a URL into the network cache",
		ArgsUsage: "URL [FILE]",
		Description: `Uploads FILE, or what the URL holds, as the file of the URL, signed with the key
of the configuration, and prints its SHA-512. slapos cache fetch and builds find
it by the URL.

Exit codes: 0 done; 1 failed.`,
		Flags: []cli.Flag{configFlag(&configuration)},
		Action: func(c *cli.Context) error {
			return runCachePut(c.Context, e, cacheUploadOptions{
				configuration: e.nodeConfigurationPath(configuration), url: c.Args().Get(0), file: e.expandUser(c.Args().Get(1)),
			})
		},
	}
}

func runCachePut(ctx context.Context, e *environment, options cacheUploadOptions) error {
	sum, err := options.upload(ctx, e)
	if err != nil {
		return fmt.Errorf("put %s: %w", options.url, err)
	}
	_, err = fmt.Fprintln(e.stdout, sum)
	return err
}
