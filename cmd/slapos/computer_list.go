// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/pytext"
	"slapos/slap"
)

type computerListOptions struct {
	clientOptions
	json bool
}

func (o *computerListOptions) flags() []cli.Flag {
	return []cli.Flag{clientConfigFlag(&o.configuration), jsonFlag(&o.json, "print the list as JSON")}
}

func newComputerListCommand(e *environment) *cli.Command {
	options := new(computerListOptions)
	return &cli.Command{
		Name:     "list",
		Usage:    "list your computers",
		Category: "client",
		Description: `Prints one line for each computer: its reference and its title. With --json, a
list of objects with the keys reference and title.

Exit codes: 0 success; 1 failed; 2 wrong usage.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			return runComputerList(c.Context, e, *options)
		},
	}
}

func runComputerList(ctx context.Context, e *environment, options computerListOptions) error {
	master, done, err := e.openHateoas(ctx, options.clientOptions)
	if err != nil {
		return err
	}
	defer done()
	computers, err := master.Computers(ctx)
	if err != nil {
		return err
	}
	if options.json {
		list := []any{}
		for _, computer := range computers {
			list = append(list, describeComputer(computer))
		}
		return e.printJSON(list)
	}
	if len(computers) == 0 {
		_, err := fmt.Fprintln(e.stdout, "No existing computer.")
		return err
	}
	fmt.Fprintln(e.stdout, "List of Computers:")
	for _, computer := range computers {
		if _, err := fmt.Fprintf(e.stdout, "%s %s\n", computer.Reference, computer.Title); err != nil {
			return err
		}
	}
	return nil
}

// describeComputer is a computer in the form of JSON.
func describeComputer(computer slap.ComputerSummary) *pytext.Object {
	described := pytext.NewObject()
	described.Set("reference", computer.Reference)
	described.Set("title", computer.Title)
	return described
}
