// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/proxy/authority"
	"slapos/proxy/store"
	"slapos/slap/serve"
)

type proxyRestoreOptions struct {
	proxyDatabaseOptions
	force bool
}

func (o *proxyRestoreOptions) flags() []cli.Flag {
	return append(o.proxyDatabaseOptions.flags(),
		&cli.BoolFlag{Name: "force", Destination: &o.force, Usage: "replace a database that has something; the former one is kept beside it"})
}

func newProxyRestoreCommand(e *environment) *cli.Command {
	options := new(proxyRestoreOptions)
	return &cli.Command{
		Name:      "restore",
		ArgsUsage: "FILE",
		Usage:     "put a backup into the place of the database of a proxy",
		Description: `Puts FILE, which ` + "`slapos proxy backup`" + ` wrote, into the place of the database.
FILE is checked first. Stop the proxy before: a database in use is never
replaced. One that has something, damaged or not, is replaced with --force
alone, and is kept beside the new one. A PostgreSQL database must be empty.
The authority comes back from FILE.authority.

Exit codes: 0 restored; 1 FILE or the database can't be used, or a proxy runs; 2
wrong usage.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return argv.UsageErrorf("one FILE is needed")
			}
			return runProxyRestore(c.Context, e, *options, c.Args().First())
		},
	}
}

func runProxyRestore(ctx context.Context, e *environment, options proxyRestoreOptions, path string) error {
	settings, err := e.proxyDatabase(options.proxyDatabaseOptions)
	if err != nil {
		return err
	}
	if settings["port"] != "" {
		port, err := wholeOption(settings, "port", 0)
		if err != nil {
			return err
		}
		// Nobody can start the proxy meanwhile: it takes its address before it opens
		// the database.
		listeners, err := serve.Listen(ctx, settings["host"], port)
		if err != nil {
			return fmt.Errorf("stop the proxy first: %w", err)
		}
		for _, listener := range listeners {
			defer listener.Close()
		}
	}
	placeAuthority, err := e.restoredAuthority(settings, options.force, authorityBackup(e.expandUser(path)))
	if err != nil {
		return err
	}
	restored, err := store.Restore(ctx, store.RestoreOptions{
		File: e.expandUser(path), URI: settings["database_uri"], Force: options.force, Now: e.now,
	})
	if err != nil {
		return err
	}
	if err := placeAuthority(); err != nil {
		return err
	}
	if restored.Former != "" {
		e.log.Info("The former database is " + restored.Former)
	}
	_, err = fmt.Fprintf(e.stdout, "Restored: %s\n", restored.Contents)
	return err
}

// restoredAuthority checks whether the authority of a backup can come back. What it
// returns does it, when the database has: a refusal changes neither.
func (e *environment) restoredAuthority(settings map[string]string, force bool, file string) (place func() error, err error) {
	nothing := func() error { return nil }
	listens, err := isAuthority(settings)
	if err != nil || !listens {
		return nothing, err
	}
	directory, err := e.authorityDirectory(settings)
	if err != nil {
		return nil, err
	}
	restoration, err := authority.OpenBackup(directory, file, force)
	if errors.Is(err, fs.ErrNotExist) {
		e.log.Warn("There is no " + file + ": nodes go on to trust this master only if " + directory + " is what it was")
		return nothing, nil
	}
	if err != nil {
		return nil, err
	}
	return func() error {
		former, err := restoration.Place(e.now())
		if err == nil && former != "" {
			e.log.Info("The former authority is " + former)
		}
		return err
	}, nil
}
