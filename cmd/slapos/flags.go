// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/pytext"
)

// configFlag is --cfg of node and proxy commands (CLI-20).
func configFlag(target *string) cli.Flag {
	return &cli.StringFlag{Name: "cfg", Destination: target, Usage: "SlapOS configuration `FILE` (default: $SLAPOS_CONFIGURATION or " + nodeConfigurationFile + ")"}
}

// clientConfigFlag is --cfg of client commands (CLI-20).
func clientConfigFlag(target *string) cli.Flag {
	return &cli.StringFlag{Name: "cfg", Destination: target, Usage: "SlapOS client configuration `FILE` (default: $SLAPOS_CLIENT_CONFIGURATION or " + clientConfigurationFile + ")"}
}

// jsonFlag is --json of commands that print a result.
func jsonFlag(target *bool, usage string) cli.Flag {
	return &cli.BoolFlag{Name: "json", Destination: target, Usage: usage}
}

// printJSON prints a result for programs, as Python does.
func (e *environment) printJSON(value any) error {
	_, err := fmt.Fprintln(e.stdout, pytext.EncodeJSON(value))
	return err
}

// printDocument prints a struct or a list of structs for programs.
func (e *environment) printDocument(value any) error {
	encoder := json.NewEncoder(e.stdout)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// replacingKeys are the values of those options that are given, by the names of
// the keys that they replace, as they would be written in the file.
func replacingKeys(c *cli.Context, options []cli.Flag) map[string]string {
	given := map[string]string{}
	for _, option := range options {
		name := option.Names()[0]
		if !c.IsSet(name) {
			continue
		}
		key := strings.ReplaceAll(name, "-", "_")
		if value, ok := c.Generic(name).(fmt.Stringer); ok {
			given[key] = value.String()
		} else {
			given[key] = c.String(name)
		}
	}
	return given
}
