// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"slapos/slap"
)

type computerInfoOptions struct {
	clientOptions
	reference string
	json      bool
}

func (o *computerInfoOptions) flags() []cli.Flag {
	return []cli.Flag{clientConfigFlag(&o.configuration), jsonFlag(&o.json, "print an object with the keys reference and title")}
}

func newComputerInfoCommand(e *environment) *cli.Command {
	options := new(computerInfoOptions)
	return &cli.Command{
		Name:      "info",
		Usage:     "show the reference and the title of a computer",
		Category:  "client",
		ArgsUsage: "REFERENCE",
		Description: `Prints the reference and the title of the computer.

Exit codes: 0 success; 1 failed; 2 no such computer, it isn't ready, or wrong
usage.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			options.reference = c.Args().First()
			return runComputerInfo(c.Context, e, *options)
		},
	}
}

func runComputerInfo(ctx context.Context, e *environment, options computerInfoOptions) error {
	master, done, err := e.openHateoas(ctx, options.clientOptions)
	if err != nil {
		return err
	}
	defer done()
	computer, err := master.Computer(ctx, options.reference)
	switch {
	case errors.Is(err, slap.ErrNotReady):
		fmt.Fprintln(e.stdout, "Computer does not exist or is not ready yet.") // CLI-43
		return &exitError{code: 2}
	case errors.Is(err, slap.ErrNotFound):
		fmt.Fprintf(e.stdout, "Computer %s does not exist.\n", options.reference)
		return &exitError{code: 2}
	case err != nil:
		return err
	}
	if options.json {
		return e.printJSON(describeComputer(computer.ComputerSummary))
	}
	_, err = fmt.Fprintf(e.stdout, "Computer Reference: %s\nComputer Title    : %s\n", computer.Reference, computer.Title)
	return err
}
