// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/cmd/slapos/console"
)

// historyFile is the original's (CLI-57).
const historyFile = "~/.slapconsolehistory"

type consoleOptions struct {
	clientOptions
	code      string // of -c
	starlark  bool
	shell     string // that an option asks for
	arguments []string
}

func (o *consoleOptions) flags() []cli.Flag {
	return []cli.Flag{
		clientConfigFlag(&o.configuration),
		&cli.StringFlag{Name: "master_url", Aliases: []string{"u"}, Usage: "accepted, without effect: the configuration names the master"},
		&cli.StringFlag{Name: "key_file", Destination: &o.keyFile, Aliases: []string{"k"}, Usage: "key of the client certificate"},
		&cli.StringFlag{Name: "cert_file", Destination: &o.certFile, Usage: "client certificate"},
		&cli.StringFlag{Name: "command", Destination: &o.code, Aliases: []string{"c"}, Usage: "run `CODE`; a CODE that names a file is --cert_file, whose short form -c was"},
		&cli.BoolFlag{Name: "ipython", Aliases: []string{"i"}, Usage: "IPython's prompt, if that Python has it"},
		&cli.BoolFlag{Name: "bpython", Aliases: []string{"b"}, Usage: "bpython's prompt, if that Python has it"},
		&cli.BoolFlag{Name: "python", Aliases: []string{"p"}, Usage: "Python's own prompt, as without these options"},
		&cli.BoolFlag{Name: "starlark", Destination: &o.starlark, Usage: "run Starlark, as on a machine without Python"},
	}
}

func newConsoleCommand(e *environment) *cli.Command {
	options := new(consoleOptions)
	return &cli.Command{
		Name:      "console",
		Usage:     "run Python that talks to the master",
		Category:  "client",
		ArgsUsage: "[SCRIPT] [ARGUMENT...]",
		Description: `Runs SCRIPT, the code of -c, or standard input; on a terminal, shows Python's
prompt with history and completion. The interpreter is python in section
[slapos], else the first python3 of PATH, 3.6 or newer. Its names, besides
Python's:

  request(software_release, partition_reference, partition_parameter_kw=None,
          software_type=None, filter_kw=None, state=None, shared=False)
  supply(software_release, computer_guid=None, state="available")
  getInformation(partition_reference)
  product.NAME, software_product.NAME   best release of a software product
  computer(reference)                   a computer: its partitions, its software
  slap                                  the library: slap.registerOpenOrder()...
  os, sys, atexit, configparser, slapos modules, as in slapos.core

  >>> supply("https://example.com/software.cfg", "COMP-1")
  >>> i = request("https://example.com/software.cfg", "my instance")
  >>> i.getState()
  'started'
  >>> i.getConnectionParameterDict()
  {'url': 'http://[2001:db8::1]:8080/'}

The library is slapos.slap of that Python, else one of this program with the same
classes. Without Python, and with --starlark, the language is Starlark, a dialect
of Python without classes and exceptions. Put arguments that begin with a dash
after --.

Exit codes: 0 success; 1 failed; 2 wrong usage; or the code given to sys.exit.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			shells := []string{"ipython", "bpython", "python"}
			if err := argv.Exclusive(c, shells...); err != nil {
				return err
			}
			for _, shell := range shells {
				if c.Bool(shell) {
					options.shell = shell
				}
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
	program, err := options.program(isTerminal(e.stdin))
	if err != nil {
		return err
	}
	wayOut := "leave out --starlark for Python"
	if !options.starlark {
		python, err := e.python(ctx, client, options)
		if err != nil {
			return err
		}
		if len(python.Programs) > 0 {
			return python.Become(program, os.Environ())
		}
		wayOut = "this machine has no Python: the console speaks Starlark; install python3 or set [slapos] python"
	}
	starlark := e.consoleOptions(client)
	starlark.WayOut = wayOut
	s := console.New(ctx, starlark)
	if program == nil {
		err = s.Interact()
	} else {
		if program.Name == standardInput {
			source, readErr := e.readInput(ctx)
			if readErr != nil {
				return readErr
			}
			program.Source = string(source)
		}
		err = s.Run(*program)
	}
	var exit *console.ExitError
	if errors.As(err, &exit) {
		return &exitError{code: exit.Code, err: exit.Err}
	}
	return err
}

const standardInput = "<stdin>"

// program is what to run to its end, nil for a prompt. That of standard input is
// still to be read.
func (o *consoleOptions) program(terminal bool) (*console.Program, error) {
	switch {
	case o.code != "":
		return &console.Program{Name: "<code>", Source: o.code, Arguments: append([]string{"-c"}, o.arguments...)}, nil
	case len(o.arguments) > 0:
		script := o.arguments[0]
		source, err := os.ReadFile(script)
		return &console.Program{Name: script, File: script, Source: string(source), Arguments: o.arguments}, err
	case terminal:
		return nil, nil
	}
	return &console.Program{Name: standardInput, Arguments: []string{""}}, nil
}

// starlarkCommand is a command line of the console with the option --starlark.
func (e *environment) starlarkCommand(arguments []string) []string {
	after := slices.Index(arguments, "console") + 1
	return slices.Concat([]string{e.executable}, arguments[:after], []string{"--starlark"}, arguments[after:])
}

// python is the interpreter of the console, without programs if there is none
// (D-7).
func (e *environment) python(ctx context.Context, client *client, options consoleOptions) (*console.Python, error) {
	p := &console.Python{
		Programs:  console.FindPythons(e.getenv("PATH")),
		Starlark:  e.starlarkCommand(os.Args[1:]),
		MasterURL: client.MasterURL(),
		RESTURL:   client.config.RESTURL,
		KeyFile:   client.config.KeyFile,
		CertFile:  client.config.CertFile,
		CAFile:    client.config.CAFile,
		Insecure:  client.config.Insecure,
		Token:     client.config.Token,
		Quiet:     e.global.quiet,
		NoTime:    e.global.noTime,
		LogFile:   e.consoleLogFile(),
		Shell:     options.shell,
		History:   e.expandUser(historyFile),
	}
	if client.python != "" {
		program, err := console.ConfiguredPython(ctx, client.python, e.getenv("PATH"))
		if err != nil {
			return nil, err
		}
		p.Programs, p.Configured = []string{program}, true
	}
	return p, nil
}

// consoleLogFile is the file of --log-file for Python, which knows the format
// text only.
func (e *environment) consoleLogFile() string {
	if e.global.logFormat == "json" {
		return ""
	}
	return e.expandUser(e.global.logFile)
}

// consoleOptions are what scripts and people have in the console.
func (e *environment) consoleOptions(client *client) console.Options {
	return console.Options{
		Master: client.Client,
		Product: func(ctx context.Context, name string) (string, error) {
			return e.softwareURL(ctx, client, productPrefix+name)
		},
		Stdin:      e.stdin,
		Stdout:     e.childOutput(),
		Stderr:     e.stderr,
		Environ:    os.Environ(),
		ExpandUser: e.expandUser,
		Now:        e.now,
		History:    e.expandUser(historyFile),
		Logger:     e.log,
	}
}
