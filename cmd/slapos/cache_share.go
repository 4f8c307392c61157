// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"
)

type cacheShareOptions struct {
	configuration, file string
	dryRun              bool
}

func (o *cacheShareOptions) flags() []cli.Flag {
	return []cli.Flag{
		slapcacheFlag(&o.configuration),
		&cli.StringFlag{Name: "file", Destination: &o.file, Value: slapcacheFile, Usage: "upload `FILE`"},
		&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Destination: &o.dryRun, Usage: "only say what would be uploaded"},
	}
}

func newCacheShareCommand(e *environment) *cli.Command {
	options := new(cacheShareOptions)
	return &cli.Command{
		Name:  "share",
		Usage: "share a file by key through the network cache",
		Description: `Uploads a file under the key of section [shacache], where slapos cache
fetch-shared and slapcache-download of other machines find the newest.

Exit codes: 0 done; 1 failed.`,
		Flags:  options.flags(),
		Action: func(c *cli.Context) error { return runCacheShare(c.Context, e, *options) },
	}
}

func runCacheShare(ctx context.Context, e *environment, options cacheShareOptions) error {
	client, key, err := e.openSlapcache(options.configuration)
	if err != nil {
		return err
	}
	path := e.expandUser(options.file)
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", path)
	}
	if options.dryRun {
		_, err := fmt.Fprintf(e.stdout, "Would upload %s under the key %s.\n", path, key)
		return err
	}
	sum, err := client.Publish(ctx, key, file, e.now())
	if err != nil {
		return fmt.Errorf("upload %s: %w", path, err)
	}
	_, err = fmt.Fprintf(e.stdout, "Uploaded %s to cache (using %s key) with SHA512 %s.\n", path, key, sum)
	return err
}
