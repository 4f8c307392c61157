// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"github.com/urfave/cli/v2"

	"slapos/slap"
)

func newServiceEventsCommand(e *environment) *cli.Command {
	options := new(eventsOptions)
	return &cli.Command{
		Name:      "events",
		Usage:     "show what happened to a service",
		Category:  "client",
		ArgsUsage: "REFERENCE",
		Description: `Prints what happened to the instances with the title REFERENCE, in order: who
asked for what, what the node reported, which promises began to fail. One that
was destroyed is still known, until the master forgets its events.

With --json, an event has the keys id, time, computer_guid, kind, subject (the
partition), title, root_instance_title, event, state, message, actor, has_log.` + eventsExitCodes,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			options.reference = c.Args().First()
			return runEvents(c.Context, e, *options, slap.EventFilter{Title: options.reference})
		},
	}
}
