// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"flag"
	"io"
	"log/slog"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
)

// globalOptions may come anywhere on the line (CLI-1, CLI-11).
type globalOptions struct {
	verbose   int
	quiet     bool
	debug     bool
	logFile   string
	logFormat string
	noTime    bool
}

func (o *globalOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "show the help of the command, or this one, and exit"},
		&cli.BoolFlag{Name: "version", Usage: "show the version and exit"},
		&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "show debug messages too; can be repeated"},
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Destination: &o.quiet, Usage: "show warnings and errors only"},
		&cli.BoolFlag{Name: "debug", Destination: &o.debug, Usage: "show the causes of an error one by one"},
		&cli.StringFlag{Name: "log-file", Aliases: []string{"logfile", "log_file"}, Destination: &o.logFile,
			Usage: "append the log, debug messages included, to `FILE` (default: console only)"},
		argv.ChoiceFlag(&o.logFormat, "log-format", "form of the log's lines", "text", "json"),
		&cli.BoolFlag{Name: "log-color", Usage: "accepted, without effect: terminals get colours unless NO_COLOR is set (default: True)"},
		&cli.BoolFlag{Name: "log-time", Destination: &o.noTime, Usage: "leave the time out of the console's lines"},
	}
}

// applyGlobalOptions sets the options from words in normal form and opens the
// log that they ask for.
func (e *environment) applyGlobalOptions(words []string) error {
	set := flag.NewFlagSet("slapos", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for _, f := range e.global.flags() {
		if err := f.Apply(set); err != nil {
			return err
		}
	}
	if err := set.Parse(words); err != nil {
		return argv.InvalidValue(err)
	}
	e.global.verbose = 0
	for _, word := range words {
		if word == "--verbose=true" {
			e.global.verbose++
		}
	}
	if e.global.quiet && e.global.verbose > 0 {
		return argv.UsageErrorf("argument -q/--quiet: not allowed with argument -v/--verbose")
	}
	e.log = slog.New(e.console())
	if e.global.logFile != "" {
		return e.addLogFile(e.global.logFile)
	}
	return nil
}
