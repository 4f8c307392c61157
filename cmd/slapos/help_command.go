// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/slap/wholefile"
)

type helpOptions struct {
	manual   string // directory
	markdown bool
}

func (o *helpOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "man", Destination: &o.manual, Usage: "write a man page for each command into `DIRECTORY`"},
		&cli.BoolFlag{Name: "markdown", Destination: &o.markdown, Usage: "print the help of all commands as Markdown"},
	}
}

func newHelpCommand(e *environment) *cli.Command {
	options := new(helpOptions)
	return &cli.Command{
		Name:      "help",
		Usage:     "show the help of a command",
		ArgsUsage: "[COMMAND...]",
		Description: `Without COMMAND, lists the global options and all commands. Packages of slapos
use the same texts as man pages or as one page of Markdown.

Exit codes: 0 success; 5 no such command.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			switch {
			case options.manual != "":
				return writeManual(e, options.manual)
			case options.markdown:
				_, err := io.WriteString(e.stdout, newApplication(e).reference())
				return err
			}
			return runHelp(e, c.Args().Slice())
		},
	}
}

// writeManual writes slapos.1, slapos-node-format.1 and so on.
func writeManual(e *environment, directory string) error {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	for _, page := range newApplication(e).manual() {
		path := filepath.Join(directory, page.fileName()+".1")
		if err := wholefile.Write(path, []byte(page.roff()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func runHelp(e *environment, words []string) error {
	a := newApplication(e)
	if len(words) == 0 {
		return a.flatHelp(e.stdout)
	}
	path, command, rest, err := argv.FindCommand(a.commands, e.global.flags(), words)
	switch {
	case err != nil:
		return err
	case len(rest) > 0:
		return argv.UsageErrorf("unrecognized arguments: %s", strings.Join(rest, " "))
	case command == nil:
		return fmt.Errorf("no command in %q", words)
	}
	return e.commandHelp(e.stdout, path, command)
}
