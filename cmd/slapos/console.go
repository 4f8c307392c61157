// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"os"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/cmd/slapos/console"
)

// historyFile is the original's (CLI-57).
const historyFile = "~/.slapconsolehistory"

type consoleOptions struct {
	clientOptions
	code      string // of -c
	arguments []string
}

func (o *consoleOptions) flags() []cli.Flag {
	return []cli.Flag{
		clientConfigFlag(&o.configuration),
		&cli.StringFlag{Name: "master_url", Aliases: []string{"u"}, Usage: "accepted, without effect: the configuration names the master"},
		&cli.StringFlag{Name: "key_file", Destination: &o.keyFile, Aliases: []string{"k"}, Usage: "key of the client certificate"},
		&cli.StringFlag{Name: "cert_file", Destination: &o.certFile, Usage: "client certificate"},
		&cli.StringFlag{Name: "command", Destination: &o.code, Aliases: []string{"c"}, Usage: "run `CODE`; a CODE that names a file is --cert_file, whose short form -c was"},
		&cli.BoolFlag{Name: "ipython", Aliases: []string{"i"}, Usage: "accepted: there is one console (default: True)"},
		&cli.BoolFlag{Name: "bpython", Aliases: []string{"b"}, Usage: "accepted, as --ipython"},
		&cli.BoolFlag{Name: "python", Aliases: []string{"p"}, Usage: "accepted, as --ipython"},
	}
}

func newConsoleCommand(e *environment) *cli.Command {
	options := new(consoleOptions)
	return &cli.Command{
		Name:      "console",
		Usage:     "talk to the master in a small Python-like language",
		Category:  "client",
		ArgsUsage: "[SCRIPT] [ARGUMENT...]",
		Description: `Runs SCRIPT, the code of -c, or standard input; on a terminal, shows a prompt
with history and completion. The language is Starlark, a dialect of Python
without classes and exceptions. Its names:

  request(software_release, partition_reference, software_type=None,
          shared=False, partition_parameter_kw=None, filter_kw=None, state=None)
  supply(software_release, computer_guid, state="available")
  getInformation(partition_reference)
  product.NAME, software_product.NAME   best release of a software product
  computer(reference)                   a computer: its partitions, its software
  slap                                  the library: slap.registerOpenOrder()...
  sys, os, json, math, time             parts of Python's modules

  >>> supply("https://example.com/software.cfg", "COMP-1")
  >>> i = request("https://example.com/software.cfg", "my instance")
  >>> i.getState()
  'started'
  >>> i.getConnectionParameterDict()
  {'url': 'http://[2001:db8::1]:8080/'}

The statements import, for the modules above, and raise are understood. dir(x)
lists what x has. Put arguments that begin with a dash after --.

Exit codes: 0 success; 1 failed; 2 wrong usage; or the code given to sys.exit.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			if err := argv.Exclusive(c, "ipython", "bpython", "python"); err != nil {
				return err
			}
			options.arguments = c.Args().Slice()
			if _, err := os.Stat(options.code); err == nil && options.code != "" {
				options.certFile, options.code = options.code, ""
			}
			return runConsole(c.Context, e, *options)
		},
	}
}

func runConsole(ctx context.Context, e *environment, options consoleOptions) error {
	client, err := e.openClient(options.clientOptions)
	if err != nil {
		return err
	}
	defer client.Close()
	s := console.New(ctx, e.consoleOptions(client))
	switch {
	case options.code != "":
		err = s.Run(console.Program{Name: "<code>", Source: options.code, Arguments: append([]string{"-c"}, options.arguments...)})
	case len(options.arguments) > 0:
		script := options.arguments[0]
		source, readErr := os.ReadFile(script)
		if readErr != nil {
			return readErr
		}
		err = s.Run(console.Program{Name: script, File: script, Source: string(source), Arguments: options.arguments})
	case isTerminal(e.stdin):
		err = s.Interact()
	default:
		source, readErr := e.readInput(ctx)
		if readErr != nil {
			return readErr
		}
		err = s.Run(console.Program{Name: "<stdin>", Source: string(source), Arguments: []string{""}})
	}
	var exit *console.ExitError
	if errors.As(err, &exit) {
		return &exitError{code: exit.Code, err: exit.Err}
	}
	return err
}

// consoleOptions are what scripts and people have in the console.
func (e *environment) consoleOptions(client *client) console.Options {
	return console.Options{
		Master: client.Client,
		Product: func(ctx context.Context, name string) (string, error) {
			return e.softwareURL(ctx, client, productPrefix+name)
		},
		Stdin:      e.stdin,
		Stdout:     e.stdout,
		Stderr:     e.stderr,
		Environ:    os.Environ(),
		ExpandUser: e.expandUser,
		Now:        e.now,
		History:    e.expandUser(historyFile),
		Logger:     e.log,
	}
}
