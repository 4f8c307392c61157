// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/pytext"
)

type computerTokenOptions struct {
	clientOptions
	json bool
}

func (o *computerTokenOptions) flags() []cli.Flag {
	return []cli.Flag{clientConfigFlag(&o.configuration), jsonFlag(&o.json, "print an object with the key token")}
}

func newComputerTokenCommand(e *environment) *cli.Command {
	options := new(computerTokenOptions)
	return &cli.Command{
		Name:     "token",
		Usage:    "get a token that registers a computer",
		Category: "client",
		Description: `Prints a token for slapos node register. The local master (slapos proxy start)
gives none.

Exit codes: 0 success; 1 failed; 2 wrong usage.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			return runComputerToken(c.Context, e, *options)
		},
	}
}

func runComputerToken(ctx context.Context, e *environment, options computerTokenOptions) error {
	master, done, err := e.openHateoas(ctx, options.clientOptions)
	if err != nil {
		return err
	}
	defer done()
	token, err := master.Token(ctx)
	if err != nil {
		return fmt.Errorf("the master gives no token: %w", err)
	}
	if options.json {
		described := pytext.NewObject()
		described.Set("token", token)
		return e.printJSON(described)
	}
	_, err = fmt.Fprintln(e.stdout, "Computer token: "+token)
	return err
}
