// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/urfave/cli/v2"
)

func newStandaloneStatusCommand(e *environment) *cli.Command {
	var root string
	var asJSON bool
	return &cli.Command{
		Name:  "status",
		Usage: "show the state of your cloud",
		Description: `Shows the cloud's own programs, the releases, and the instances with their
services.

Exit codes: 0 it runs; 1 failed; 3 nothing runs.`,
		Flags:  []cli.Flag{rootFlag(&root), jsonFlag(&asJSON, "print JSON")},
		Action: func(c *cli.Context) error { return runStandaloneStatus(c.Context, e, root, asJSON) },
	}
}

func runStandaloneStatus(ctx context.Context, e *environment, root string, asJSON bool) error {
	c, err := e.openCloud(root)
	if err != nil {
		return err
	}
	status, err := c.Status(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		encoder := json.NewEncoder(e.stdout)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(status)
	} else {
		_, err = fmt.Fprint(e.stdout, status.Text())
	}
	if err == nil && !status.Running {
		return &exitError{code: 3}
	}
	return err
}
