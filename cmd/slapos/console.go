// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"slapos/cmd/slapos/argv"

	"github.com/urfave/cli/v2"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

type consoleOptions struct {
	clientOptions
	code      string // of -c
	arguments []string
}

func newConsoleCommand(e *environment) *cli.Command {
	return &cli.Command{
		Name:      "console",
		Usage:     "talk to the master in a small Python-like language",
		Category:  "client",
		ArgsUsage: "[SCRIPT] [ARGUMENT...]",
		Description: `Runs SCRIPT, the code of -c, or what comes on standard input; on a terminal, a
prompt with history and completion. The language is Starlark, a dialect of
Python without classes and exceptions. Its names:

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

import of the modules above and raise are understood. dir(x) lists what x has.
Arguments that begin with a dash are written after --.

Exit codes: 0 success; 1 failed; 2 wrong usage; else what sys.exit was given.`,
		Flags: []cli.Flag{
			clientConfigFlag(),
			&cli.StringFlag{Name: "master_url", Aliases: []string{"u"}, Usage: "accepted, without effect: the configuration names the master"},
			&cli.StringFlag{Name: "key_file", Aliases: []string{"k"}, Usage: "key of the client certificate"},
			&cli.StringFlag{Name: "cert_file", Usage: "client certificate"},
			&cli.StringFlag{Name: "command", Aliases: []string{"c"}, Usage: "run `CODE`; a CODE that names a file is --cert_file, whose short form -c was"},
			&cli.BoolFlag{Name: "ipython", Aliases: []string{"i"}, Usage: "accepted: there is one console (default: True)"},
			&cli.BoolFlag{Name: "bpython", Aliases: []string{"b"}, Usage: "accepted, as --ipython"},
			&cli.BoolFlag{Name: "python", Aliases: []string{"p"}, Usage: "accepted, as --ipython"},
		},
		Action: func(c *cli.Context) error {
			if err := argv.Exclusive(c, "ipython", "bpython", "python"); err != nil {
				return err
			}
			options := consoleOptions{
				clientOptions{c.String("cfg"), c.String("key_file"), c.String("cert_file")}, c.String("command"), c.Args().Slice(),
			}
			if _, err := os.Stat(options.code); err == nil && options.code != "" {
				options.certFile, options.code = options.code, ""
			}
			return runConsole(c.Context, e, options)
		},
	}
}

func runConsole(ctx context.Context, e *environment, options consoleOptions) error {
	client, err := e.openClient(options.clientOptions)
	if err != nil {
		return err
	}
	defer client.Close()
	c := newConsole(ctx, e, client)
	switch {
	case options.code != "":
		c.setArguments("", append([]string{"-c"}, options.arguments...))
		err = c.execute("<code>", options.code)
	case len(options.arguments) > 0:
		script := options.arguments[0]
		source, readErr := os.ReadFile(script)
		if readErr != nil {
			return readErr
		}
		c.setArguments(script, options.arguments)
		err = c.execute(script, string(source))
	case isTerminal(e.stdin):
		c.setArguments("", []string{""})
		err = c.interact()
	default:
		source, readErr := e.readInput(ctx)
		if readErr != nil {
			return readErr
		}
		c.setArguments("", []string{""})
		err = c.execute("<stdin>", string(source))
	}
	return err
}

// A console runs code with the names of CLI-55.
type console struct {
	ctx     context.Context
	e       *environment
	client  *client
	thread  *starlark.Thread
	globals starlark.StringDict
}

func newConsole(ctx context.Context, e *environment, client *client) *console {
	c := &console{ctx: ctx, e: e, client: client, thread: &starlark.Thread{Name: "console"}}
	context.AfterFunc(ctx, func() { c.thread.Cancel("interrupted") })
	c.globals = c.names()
	return c
}

// setArguments gives the script its name and sys.argv (CLI-56).
func (c *console) setArguments(script string, arguments []string) {
	if script != "" {
		c.globals["__file__"] = starlark.String(script)
	}
	argv := make([]starlark.Value, len(arguments))
	for i, argument := range arguments {
		argv[i] = starlark.String(argument)
	}
	c.globals["sys"] = c.sysModule(starlark.NewList(argv))
}

// dialect is Starlark with all that makes it more like Python.
var dialect = &syntax.FileOptions{Set: true, While: true, TopLevelControl: true, GlobalReassign: true, Recursion: true}

// execute runs a whole script.
func (c *console) execute(name, source string) error {
	file, err := parsePython(name, source)
	if err != nil {
		return err
	}
	program, err := starlark.FileProgram(file, c.globals.Has)
	if err != nil {
		return err
	}
	_, err = program.Init(c.thread, c.globals)
	return c.failure(err)
}

// failure turns the error of a run into what the user is told.
func (c *console) failure(err error) error {
	var exit *exitError
	if errors.As(err, &exit) {
		if exit.code == 0 {
			return nil
		}
		return exit
	}
	if cause := c.ctx.Err(); cause != nil && err != nil {
		return cause
	}
	var evaluation *starlark.EvalError
	if !errors.As(err, &evaluation) {
		return err
	}
	for i := range evaluation.CallStack {
		frame := evaluation.CallStack.At(i)
		if frame.Pos.Filename() != "<builtin>" {
			return fmt.Errorf("%s: %w", frame.Pos, err)
		}
	}
	return err
}

// parsePython parses Starlark in which statements that only Python has, raise
// and import of a module that the console has anyway, are put in other words
// where the parser stumbles over them.
func parsePython(name, source string) (*syntax.File, error) {
	lines := strings.Split(source, "\n")
	for range len(lines) + 1 {
		file, err := dialect.Parse(name, strings.Join(lines, "\n"), 0)
		if err == nil {
			iterateText(file)
			return file, nil
		}
		var invalid syntax.Error
		if !errors.As(err, &invalid) {
			return nil, err
		}
		number := int(invalid.Pos.Line) - 1
		if number < 0 || number >= len(lines) {
			return nil, err
		}
		begin := stumblingWord(lines[number], invalid)
		if begin < 0 {
			return nil, err
		}
		other, err := inOtherWords(lines[number][begin:])
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", invalid.Pos, err)
		case other == "":
			return nil, invalid
		}
		lines[number] = lines[number][:begin] + other
	}
	return nil, fmt.Errorf("%s: too many statements that only Python has", name)
}

// stumblingWord finds where the reserved word stands that the parser stumbled
// over, -1 for none. The parser's position is that of the word, or just after.
func stumblingWord(line string, invalid syntax.Error) int {
	word, found := strings.CutPrefix(invalid.Msg, "got ")
	word, _, _ = strings.Cut(word, ",")
	if !found || !strings.Contains(" is raise import from ", " "+word+" ") {
		return -1
	}
	runes := []rune(line)
	end := min(len(runes), int(invalid.Pos.Col)-1+len(word))
	return strings.LastIndex(string(runes[:max(end, 0)]), word)
}

// iterateText makes for statements and comprehensions go through the characters
// of a text, as in Python.
func iterateText(file *syntax.File) {
	wrap := func(x syntax.Expr) syntax.Expr {
		begin, end := x.Span()
		return &syntax.CallExpr{Fn: &syntax.Ident{NamePos: begin, Name: "__iterate__"}, Lparen: begin, Args: []syntax.Expr{x}, Rparen: end}
	}
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.ForStmt:
			n.X = wrap(n.X)
		case *syntax.ForClause:
			n.X = wrap(n.X)
		}
		return true
	})
}

// iterate is what iterateText puts around what is gone through.
func iterate(a arguments) (any, error) {
	var value starlark.Value
	err := a.unpack("value", &value)
	if text, ok := starlark.AsString(value); ok {
		return strings.Split(text, ""), nil
	}
	return value, err
}

// consoleModules can be imported.
const consoleModules = " sys os os.path json math time "

// inOtherWords says what only Python understands, up to the end of its line, in
// Starlark; "" when it can't.
func inOtherWords(statement string) (string, error) {
	statement = strings.TrimRight(statement, " \t\r;")
	keyword, rest, _ := strings.Cut(statement, " ")
	rest = strings.TrimSpace(rest)
	next := "" // statement on the same line
	if keyword == "import" || keyword == "from" {
		rest, next, _ = strings.Cut(rest, ";")
		next = strings.TrimSuffix("; "+strings.TrimSpace(next), "; ")
	}
	switch {
	case keyword == "is" && strings.HasPrefix(rest, "not "):
		return "!= " + rest[4:], nil
	case keyword == "is":
		return "== " + rest, nil
	case keyword == "raise" && rest != "":
		return "__raise__(" + rest + ")", nil
	case keyword == "import":
		var said []string
		for _, module := range strings.Split(rest, ",") {
			name, as, renamed := strings.Cut(strings.TrimSpace(module), " as ")
			if name = strings.TrimSpace(name); !strings.Contains(consoleModules, " "+name+" ") {
				return "", fmt.Errorf("the console has no module %s: it is Starlark, see slapos console --help", name)
			}
			if renamed {
				said = append(said, strings.TrimSpace(as)+" = "+name)
			}
		}
		return strings.Join(append(said, "pass"), "; ") + next, nil
	case keyword == "from":
		module, names, _ := strings.Cut(rest, " import ")
		if module = strings.TrimSpace(module); module == "__future__" {
			return "pass" + next, nil
		}
		if !strings.Contains(consoleModules, " "+module+" ") {
			return "", fmt.Errorf("the console has no module %s: it is Starlark, see slapos console --help", module)
		}
		var said []string
		for _, name := range strings.Split(strings.Trim(names, "()"), ",") {
			name, as, renamed := strings.Cut(strings.TrimSpace(name), " as ")
			if !renamed {
				as = name
			}
			said = append(said, strings.TrimSpace(as)+" = "+module+"."+strings.TrimSpace(name))
		}
		return strings.Join(said, "; ") + next, nil
	}
	return "", nil
}
