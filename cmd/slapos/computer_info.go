// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"slapos/slap"
)

func newComputerInfoCommand(e *environment) *cli.Command {
	return &cli.Command{
		Name:      "info",
		Usage:     "show the reference and the title of a computer",
		Category:  "client",
		ArgsUsage: "REFERENCE",
		Description: `Prints the reference and the title of the computer.

Exit codes: 0 success; 1 failed; 2 no such computer, it isn't ready, or wrong
usage.`,
		Flags: []cli.Flag{clientConfigFlag(), jsonFlag("print an object with the keys reference and title")},
		Action: func(c *cli.Context) error {
			return runComputerInfo(c.Context, e, clientOptions{configuration: c.String("cfg")}, c.Args().First(), c.Bool("json"))
		},
	}
}

func runComputerInfo(ctx context.Context, e *environment, options clientOptions, reference string, asJSON bool) error {
	master, done, err := e.openHateoas(ctx, options)
	if err != nil {
		return err
	}
	defer done()
	computer, err := master.Computer(ctx, reference)
	switch {
	case errors.Is(err, slap.ErrNotReady):
		fmt.Fprintln(e.stdout, "Computer does not exist or is not ready yet.") // CLI-43
		return &exitError{2, nil}
	case errors.Is(err, slap.ErrNotFound):
		fmt.Fprintf(e.stdout, "Computer %s does not exist.\n", reference)
		return &exitError{2, nil}
	case err != nil:
		return err
	}
	if asJSON {
		return e.printJSON(describeComputer(computer.ComputerSummary))
	}
	_, err = fmt.Fprintf(e.stdout, "Computer Reference: %s\nComputer Title    : %s\n", computer.Reference, computer.Title)
	return err
}
