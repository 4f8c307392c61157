// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/proxy/store"
)

type proxyMigrateOptions struct{ from, to string }

func (o *proxyMigrateOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "from", Destination: &o.from, Usage: "`DATABASE` to copy"},
		&cli.StringFlag{Name: "to", Destination: &o.to, Usage: "`DATABASE` to fill"},
	}
}

func newProxyMigrateCommand(e *environment) *cli.Command {
	options := new(proxyMigrateOptions)
	return &cli.Command{
		Name:  "migrate",
		Usage: "copy the database of a proxy into another one",
		Description: `Copies the whole database of a proxy into one that is new or empty: from SQLite
to PostgreSQL, back, or between two of a kind. One transaction copies all rows
and counts them on both sides: everything arrives, or nothing. The source stays
as it is. Stop the proxies that write to it first: what they write meanwhile is
not copied.

A database is sqlite:FILE, or FILE alone, or postgres://user@host/name.

Exit codes: 0 copied; 1 a database can't be used, or the target isn't empty;
2 wrong usage.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			if options.from == "" || options.to == "" {
				return argv.UsageErrorf("both --from and --to are needed")
			}
			return runProxyMigrate(c.Context, e, *options)
		},
	}
}

func runProxyMigrate(ctx context.Context, e *environment, options proxyMigrateOptions) error {
	counts, err := store.Copy(ctx, store.CopyOptions{
		From: e.databaseURI(options.from), To: e.databaseURI(options.to), Progress: e.migrateProgress(), Logger: e.log,
	})
	if err != nil {
		return err
	}
	for _, count := range counts {
		if _, err := fmt.Fprintf(e.stdout, "%s: %d\n", count.Table, count.Rows); err != nil {
			return err
		}
	}
	return nil
}

// databaseURI removes the prefix from the path of a file.
func (e *environment) databaseURI(name string) string {
	path, isFile := strings.CutPrefix(name, "sqlite:")
	if !isFile {
		return name
	}
	if rest, found := strings.CutPrefix(path, "//"); found {
		path = rest
	}
	return e.expandUser(path)
}

// migrateProgress shows a bar on a terminal (D-15).
func (e *environment) migrateProgress() func(done, total int64) {
	if !isTerminal(e.stderr) || e.global.quiet {
		return nil
	}
	var bar *progressbar.ProgressBar
	return func(done, total int64) {
		if bar == nil {
			bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(e.stderr), progressbar.OptionSetDescription("rows"), progressbar.OptionClearOnFinish())
		}
		_ = bar.Set64(done) // a bar that can't be drawn doesn't matter
	}
}
