// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"slapos/slap/clock"
)

// standalonePatience is how long services may take to end.
const standalonePatience = 5 * time.Minute

func newStandaloneStopCommand(e *environment) *cli.Command {
	return &cli.Command{
		Name:  "stop",
		Usage: "stop your cloud and its services",
		Description: `Ends the agent, the services and the master. Everything stays in the directory:
start goes on where it stopped.

Exit codes: 0 nothing runs; 1 failed.`,
		Flags: []cli.Flag{rootFlag()},
		Action: func(c *cli.Context) error {
			s, err := e.newStandalone(c)
			if err != nil {
				return err
			}
			return s.stop(c.Context)
		},
	}
}

// stop ends the supervisor, and with it what it runs.
func (s *standaloneCloud) stop(ctx context.Context) error {
	if !s.runs(ctx) {
		_, err := fmt.Fprintf(s.e.stdout, "Nothing runs in %s.\n", s.root)
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, standalonePatience)
	defer cancel()
	client := s.system()
	defer client.Close()
	// The agent first, that no pass is begun any more.
	if err := client.StopAll(ctx); err != nil {
		return err
	}
	if err := client.Shutdown(ctx); err != nil {
		return err
	}
	for s.runs(ctx) {
		if clock.Pause(ctx, masterPause) != nil {
			return fmt.Errorf("the services of %s do not end: see %s", s.root, s.path("var/log/supervisord.log"))
		}
	}
	_, err := fmt.Fprintf(s.e.stdout, "Stopped. Everything stays in %s.\n", s.root)
	return err
}
