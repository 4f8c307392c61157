// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"github.com/urfave/cli/v2"

	"slapos/slap"
)

func newComputerEventsCommand(e *environment) *cli.Command {
	options := new(eventsOptions)
	return &cli.Command{
		Name:      "events",
		Usage:     "show what happened on a computer",
		Category:  "client",
		ArgsUsage: "REFERENCE",
		Description: `Prints what happened to the computer, its software releases and its instances,
in order: who asked for what, and what the node reported.

With --json, an event has the keys id, time, computer_guid, kind (node, release,
instance or shared), subject (the release or partition), title,
root_instance_title, event, state, message, actor, has_log.` + eventsExitCodes,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			options.reference = c.Args().First()
			return runEvents(c.Context, e, *options, slap.EventFilter{Computer: options.reference})
		},
	}
}
