package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

func newHelpCommand(e *environment) *cli.Command {
	return &cli.Command{
		Name:      "help",
		Usage:     "show the help of a command",
		ArgsUsage: "[COMMAND...]",
		Description: `Without COMMAND, lists the global options and all commands.

Exit codes: 0 success; 5 no such command.`,
		Action: func(c *cli.Context) error { return runHelp(e, c.Args().Slice()) },
	}
}

func runHelp(e *environment, words []string) error {
	a := newApplication(e)
	if len(words) == 0 {
		return a.flatHelp(e.stdout)
	}
	r := &reader{line: &line{}, words: words, global: e.global.flags()}
	if err := r.command(a.commands); err != nil {
		return err
	}
	if len(r.words) > 0 {
		return usageErrorf("unrecognized arguments: %s", strings.Join(r.words, " "))
	}
	if r.line.command == nil {
		return fmt.Errorf("no command in %q", words)
	}
	return e.commandHelp(e.stdout, r.line.path, r.line.command)
}
