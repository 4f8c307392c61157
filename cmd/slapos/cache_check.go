// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"os"
	"syscall"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/networkcache/server"
)

type cacheCheckOptions struct {
	place                       cachePlace
	repair, orphans, isUpstream bool
}

func (o *cacheCheckOptions) flags() []cli.Flag {
	return append([]cli.Flag{
		&cli.BoolFlag{Name: "repair", Destination: &o.repair, Usage: "remove what is wrong; no server may use the directory meanwhile"},
		&cli.BoolFlag{Name: "remove-orphans", Destination: &o.orphans, Usage: "remove contents older than a day to which no entry leads; needs --repair"},
		&cli.BoolFlag{Name: "proximity", Destination: &o.isUpstream, Usage: "for a server with --upstream: contents may be elsewhere"},
	}, o.place.flags()...)
}

func newCacheCheckCommand(e *environment) *cli.Command {
	options := new(cacheCheckOptions)
	return &cli.Command{
		Name:  "check",
		Usage: "check what a cache server keeps",
		Description: `Reads all that slapos cache start keeps in the same places: contents must have
their sums, entries must be readable and lead to contents, and uploads must have
left nothing. --repair removes what is wrong: damaged contents, the entries that
lead to them or to none, lists that can't be read, files of uploads that were
cut off. Contents to which no entry leads are counted, but are no fault.

Exit codes: 0 all is right, or has been repaired; 1 something is wrong, or can't
be read.`,
		Flags:  options.flags(),
		Action: func(c *cli.Context) error { return runCacheCheck(c.Context, e, *options) },
	}
}

func runCacheCheck(ctx context.Context, e *environment, options cacheCheckOptions) error {
	if options.orphans && !options.repair {
		return argv.UsageErrorf("--remove-orphans needs --repair")
	}
	directory := e.expandUser(options.place.directory)
	if _, err := os.Stat(directory); directory != "" && err != nil {
		return err // a mistyped one isn't made
	}
	store := server.Store{Logger: e.log, Now: e.now, Partial: options.isUpstream}
	if err := e.openCacheStore(ctx, options.place, &store); err != nil {
		return err
	}
	defer store.Entries.Close()
	if options.repair {
		lock, err := os.Open(directory)
		if err != nil {
			return err
		}
		defer lock.Close()
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			return fmt.Errorf("a server uses %s: stop it, or check without --repair", directory)
		}
	}
	check := &server.Check{Store: &store, Repair: options.repair, RemoveOrphans: options.orphans, Report: func(line string) { fmt.Fprintln(e.stdout, line) }}
	found, err := check.Run(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%d contents of %d bytes; %d problems, %d contents that can't be read, %d contents without entry\n",
		found.Contents, found.Bytes, found.Problems, found.Failures, found.Orphans)
	if found.Failures > 0 || found.Problems > 0 && !options.repair {
		return &exitError{code: 1}
	}
	return nil
}
