// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/proxy/authority"
	"slapos/proxy/store"
)

// proxyDatabaseOptions name the database of a proxy.
type proxyDatabaseOptions struct{ configuration, database string }

func (o *proxyDatabaseOptions) flags() []cli.Flag {
	return []cli.Flag{
		configFlag(&o.configuration),
		&cli.StringFlag{Name: "database-uri", Aliases: []string{"u"}, Destination: &o.database, Usage: "SQLite `FILE`, or postgres://…"},
	}
}

// proxyDatabase returns the settings of a proxy, which have its database.
func (e *environment) proxyDatabase(options proxyDatabaseOptions) (map[string]string, error) {
	configuration, err := e.nodeConfiguration(options.configuration)
	if err != nil {
		return nil, err
	}
	return proxySettings(configuration, map[string]string{"database_uri": options.database})
}

func newProxyBackupCommand(e *environment) *cli.Command {
	options := new(proxyDatabaseOptions)
	return &cli.Command{
		Name:      "backup",
		ArgsUsage: "FILE",
		Usage:     "copy the database of a proxy to a file, while it runs",
		Description: `Writes the database as of one moment to FILE, which only its owner can read. The
proxy need not run, and is not disturbed if it does. The copy is opened and
checked before it gets its name: FILE is there whole, or not at all. A former
backup of that name is replaced.

The key of a master's own authority goes to FILE.authority: who has it is the
master for all nodes that joined.

FILE is an SQLite database, also of a proxy that uses PostgreSQL; pg_dump makes
a backup of PostgreSQL's own.

Exit codes: 0 written; 1 the database can't be read, or FILE not written; 2
wrong usage.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return argv.UsageErrorf("one FILE is needed")
			}
			return runProxyBackup(c.Context, e, *options, c.Args().First())
		},
	}
}

// authorityBackup is the file of a backup that has the authority.
func authorityBackup(path string) string { return path + ".authority" }

func runProxyBackup(ctx context.Context, e *environment, options proxyDatabaseOptions, path string) error {
	settings, err := e.proxyDatabase(options)
	if err != nil {
		return err
	}
	// The authority first: a node in the database is trusted by it.
	if listens, err := isAuthority(settings); err != nil {
		return err
	} else if listens {
		directory, err := e.authorityDirectory(settings)
		if err != nil {
			return err
		}
		if err := authority.Backup(directory, authorityBackup(e.expandUser(path))); err != nil {
			return err
		}
	}
	contents, err := store.Backup(ctx, settings["database_uri"], e.expandUser(path))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "%s: %s\n", path, contents)
	return err
}
