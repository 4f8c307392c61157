// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"

	"slapos/cmd/slapos/pytext"

	"github.com/urfave/cli/v2"
)

func newComputerTokenCommand(e *environment) *cli.Command {
	return &cli.Command{
		Name:     "token",
		Usage:    "get a token that registers a computer",
		Category: "client",
		Description: `Prints a token for slapos node register. The local master (slapos proxy start)
gives none.

Exit codes: 0 success; 1 failed; 2 wrong usage.`,
		Flags: []cli.Flag{clientConfigFlag(), jsonFlag("print an object with the key token")},
		Action: func(c *cli.Context) error {
			return runComputerToken(c.Context, e, clientOptions{configuration: c.String("cfg")}, c.Bool("json"))
		},
	}
}

func runComputerToken(ctx context.Context, e *environment, options clientOptions, asJSON bool) error {
	master, done, err := e.openHateoas(ctx, options)
	if err != nil {
		return err
	}
	defer done()
	token, err := master.Token(ctx)
	if err != nil {
		return fmt.Errorf("the master gives no token: %w", err)
	}
	if asJSON {
		described := pytext.NewObject()
		described.Set("token", token)
		return e.printJSON(described)
	}
	_, err = fmt.Fprintln(e.stdout, "Computer token: "+token)
	return err
}
