// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"

	"github.com/urfave/cli/v2"

	"slapos/grid/pass"
	"slapos/proxy"
)

type proxyShowOptions struct {
	configuration string
	database      string
	sections      []string
	json          bool
}

// showable are the sections in the order in which they are shown.
func showable() []string {
	return append(slices.Clone(proxy.Sections), proxy.SectionUsage)
}

func (o *proxyShowOptions) flags() []cli.Flag {
	flags := []cli.Flag{
		configFlag(&o.configuration),
		&cli.StringFlag{Name: "database-uri", Aliases: []string{"u"}, Destination: &o.database, Usage: "SQLite `FILE`, or postgres://…"},
	}
	usages := map[string]string{
		"computers":        "view computer information",
		"software":         "view software releases",
		"partitions":       "view partitions",
		"slaves":           "view slave instances",
		"params":           "view published parameters",
		"network":          "view network settings",
		proxy.SectionUsage: "view usage reports, only with this option",
	}
	for _, section := range showable() {
		flags = append(flags, &cli.BoolFlag{Name: section, Usage: usages[section]})
	}
	return append(flags, jsonFlag(&o.json, "print an object: database, and a list of objects for each section"))
}

func newProxyShowCommand(e *environment) *cli.Command {
	options := new(proxyShowOptions)
	return &cli.Command{
		Name:  "show",
		Usage: "display proxy instances and parameters",
		Description: `Reads the database directly: the proxy need not run, and is not disturbed if it
does. On a terminal, the output goes through $PAGER.

Exit codes: 0 shown; 1 the configuration or the database can't be read.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			for _, section := range showable() {
				if c.Bool(section) {
					options.sections = append(options.sections, section)
				}
			}
			return runProxyShow(c.Context, e, *options)
		},
	}
}

func runProxyShow(ctx context.Context, e *environment, options proxyShowOptions) error {
	configuration, err := e.nodeConfiguration(options.configuration)
	if err != nil {
		return err
	}
	settings, err := proxySettings(configuration, map[string]string{"database_uri": options.database})
	if err != nil {
		return err
	}
	if options.json {
		described, err := proxy.Describe(ctx, settings["database_uri"], options.sections)
		if err != nil {
			return err
		}
		return e.printDocument(described)
	}
	if !isTerminal(e.stdout) {
		return proxy.Show(ctx, e.stdout, settings["database_uri"], options.sections)
	}
	var text bytes.Buffer
	if err := proxy.Show(ctx, &text, settings["database_uri"], options.sections); err != nil {
		return err
	}
	// Texts of instances act on no terminal, whatever the pager.
	return e.page(ctx, bytes.NewBufferString(pass.Printable(text.String())))
}

// page shows a text through the user's pager, which is a shell command.
func (e *environment) page(ctx context.Context, text *bytes.Buffer) error {
	pager := e.getenv("PAGER")
	if pager == "" {
		pager = "less --quit-if-one-screen --no-init"
	}
	whole := text.Bytes()
	command := exec.CommandContext(ctx, "/bin/sh", "-c", pager)
	command.Stdin, command.Stdout, command.Stderr = text, e.childOutput(), os.Stderr
	if err := command.Run(); err != nil {
		// Without a pager, print the text itself.
		if text.Len() == len(whole) {
			_, err = e.stdout.Write(whole)
			return err
		}
		return fmt.Errorf("pager %s: %w", pager, err)
	}
	return nil
}
