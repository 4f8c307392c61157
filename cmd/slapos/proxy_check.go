// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"slapos/grid/pass"
	"slapos/proxy/store"
)

// foundCode is the exit code of a check that found something.
const foundCode = 3

type proxyCheckOptions struct {
	proxyDatabaseOptions
	repair bool
}

func (o *proxyCheckOptions) flags() []cli.Flag {
	return append(o.proxyDatabaseOptions.flags(),
		&cli.BoolFlag{Name: "repair", Destination: &o.repair, Usage: "remove what refers to nothing, and make wrong indexes anew"})
}

func newProxyCheckCommand(e *environment) *cli.Command {
	options := new(proxyCheckOptions)
	return &cli.Command{
		Name:  "check",
		Usage: "look for damage in the database of a proxy",
		Description: `Asks SQLite whether the file is whole, and looks for rows that refer to
something that doesn't exist, for instances whose documents can't be read and
for titles that two instances have. The proxy need not run, and is not disturbed
if it does. What --repair would remove says so; it removes nothing that an
answer of the master depends on.

Exit codes: 0 nothing is wrong, or all of it was repaired; 1 the database can't
be read; 3 something is wrong.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			return runProxyCheck(c.Context, e, *options)
		},
	}
}

func runProxyCheck(ctx context.Context, e *environment, options proxyCheckOptions) error {
	settings, err := e.proxyDatabase(options.proxyDatabaseOptions)
	if err != nil {
		return err
	}
	check := store.Check
	if options.repair {
		check = store.Repair
	}
	checked, err := check(ctx, settings["database_uri"])
	if err != nil {
		return err
	}
	var text strings.Builder
	wrong := false
	for _, f := range checked.Findings {
		verdict := ""
		switch {
		case f.Mendable && options.repair:
			verdict = " (repaired)"
		case f.Mendable:
			verdict = " (--repair mends them)"
		}
		wrong = wrong || !f.Mendable || !options.repair
		examples := strings.Join(f.Examples, ", ")
		if f.Count > int64(len(f.Examples)) {
			examples += ", …"
		}
		fmt.Fprintf(&text, "%d %s%s: %s\n", f.Count, f.What, verdict, examples)
	}
	if len(checked.Findings) == 0 {
		fmt.Fprintf(&text, "%s: nothing is wrong\n", checked.Name)
	}
	// What clients wrote acts on no terminal.
	if _, err := fmt.Fprint(e.stdout, pass.Printable(text.String())); err != nil {
		return err
	}
	if wrong {
		return &exitError{code: foundCode}
	}
	return nil
}
