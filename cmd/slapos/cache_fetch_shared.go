// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"slapos/networkcache"
	"slapos/slap/wholefile"
)

type cacheFetchSharedOptions struct{ configuration, destination string }

func (o *cacheFetchSharedOptions) flags() []cli.Flag {
	return []cli.Flag{
		slapcacheFlag(&o.configuration),
		&cli.StringFlag{Name: "destination", Destination: &o.destination, Value: slapcacheDestination, Usage: "write to `PATH`"},
	}
}

func newCacheFetchSharedCommand(e *environment) *cli.Command {
	options := new(cacheFetchSharedOptions)
	return &cli.Command{
		Name:  "fetch-shared",
		Usage: "fetch the newest file shared by key from the network cache",
		Description: `Downloads the newest file that a trusted machine shared under the key of section
[shacache]. PATH is replaced only by a whole file whose sums are right.

Exit codes: 0 done; 1 failed, or there is none.`,
		Flags:  options.flags(),
		Action: func(c *cli.Context) error { return runCacheFetchShared(c.Context, e, *options) },
	}
}

func runCacheFetchShared(ctx context.Context, e *environment, options cacheFetchSharedOptions) (err error) {
	client, key, err := e.openSlapcache(options.configuration)
	if err != nil {
		return err
	}
	path := e.expandUser(options.destination)
	file, err := wholefile.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Cleanup()) }()
	out := bufio.NewWriter(file)
	err = client.FetchNewest(ctx, key, out)
	if errors.Is(err, networkcache.ErrNotFound) {
		return fmt.Errorf("No result from shacache: %w", err)
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return err
	}
	if err := file.CloseAtomicallyReplace(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "File downloaded in %s\n", path)
	return err
}
