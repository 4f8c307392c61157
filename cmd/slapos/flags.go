// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/pytext"
)

// configFlag is --cfg of node and proxy commands (CLI-20).
func configFlag() cli.Flag {
	return &cli.StringFlag{Name: "cfg", Usage: "SlapOS configuration `FILE` (default: $SLAPOS_CONFIGURATION or " + nodeConfigurationFile + ")"}
}

// clientConfigFlag is --cfg of client commands (CLI-20).
func clientConfigFlag() cli.Flag {
	return &cli.StringFlag{Name: "cfg", Usage: "SlapOS client configuration `FILE` (default: $SLAPOS_CLIENT_CONFIGURATION or " + clientConfigurationFile + ")"}
}

// jsonFlag is --json of commands that print a result.
func jsonFlag(usage string) cli.Flag { return &cli.BoolFlag{Name: "json", Usage: usage} }

// printJSON prints a result for programs.
func (e *environment) printJSON(value any) error {
	_, err := fmt.Fprintln(e.stdout, pytext.EncodeJSON(value))
	return err
}
