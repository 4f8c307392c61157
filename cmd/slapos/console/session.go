// SPDX-License-Identifier: GPL-3.0-or-later

// Package console runs code that talks to a master, for slapos console (D-7).
//
// Where there is a Python, the process becomes that interpreter ([Python.Become]):
// runtime/console.py makes the names of CLI-55 ready and runs a [Program], or
// leaves the prompt to Python itself. The library is the slapos.slap that the
// Python has, or else the one below runtime/slapos, which has the same classes.
//
// Where there is none, a [Session] does the same in Starlark, a dialect of Python
// without classes and exceptions:
//
//	s := console.New(ctx, console.Options{Master: master, Stdout: os.Stdout, ...})
//	err := s.Run(console.Program{Name: "script.py", Source: source})
//
// dialect.go lets it understand what scripts of the original use beyond it. What a
// program finds are the names of names.go, library.go and partition.go, which are
// those of the original's library (CLI-55, CLI-58). A session never ends the
// process: sys.exit comes out as an [ExitError].
package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"go.starlark.net/starlark"

	"slapos/slap"
)

// Options are what a session has from the program around it.
type Options struct {
	Master *slap.Client
	// Product finds the best release of a software product (CLI-48).
	Product        func(ctx context.Context, name string) (url string, err error)
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Environ        []string // name=value
	ExpandUser     func(path string) string
	Now            func() time.Time
	History        string // path of the file that keeps what is typed
	// WayOut says, in errors of language, how to get Python instead; "" for
	// nothing.
	WayOut string
	Logger *slog.Logger
}

// A Program is what a session runs to its end.
type Program struct {
	Name      string // in messages
	Source    string
	File      string   // __file__; "" for none
	Arguments []string // sys.argv (CLI-56)
}

// An ExitError is the end of a program by sys.exit: what Run and Interact return
// has a code other than 0. A nil Err says nothing.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

func (e *ExitError) Unwrap() error { return e.Err }

// A Session runs code with the names of CLI-55. What one program assigns the next
// one finds.
type Session struct {
	options Options
	ctx     context.Context
	thread  *starlark.Thread
	globals starlark.StringDict
}

// New makes a session that ends with ctx.
func New(ctx context.Context, options Options) *Session {
	s := &Session{options: options, ctx: ctx, thread: &starlark.Thread{Name: "console"}}
	context.AfterFunc(ctx, func() { s.thread.Cancel("interrupted") })
	s.globals = s.names()
	return s
}

// setArguments gives a program its name and sys.argv (CLI-56).
func (s *Session) setArguments(file string, arguments []string) {
	if file != "" {
		s.globals["__file__"] = starlark.String(file)
	}
	argv := make([]starlark.Value, len(arguments))
	for i, argument := range arguments {
		argv[i] = starlark.String(argument)
	}
	s.globals["sys"] = s.sysModule(starlark.NewList(argv))
}

// Run runs a whole program.
func (s *Session) Run(p Program) error {
	s.setArguments(p.File, p.Arguments)
	file, err := parsePython(p.Name, p.Source)
	if err != nil {
		return s.withWayOut(err)
	}
	compiled, err := starlark.FileProgram(file, s.globals.Has)
	if err != nil {
		return s.withWayOut(err)
	}
	_, err = compiled.Init(s.thread, s.globals)
	err = s.located(err)
	var exit *ExitError
	if errors.As(err, &exit) && exit.Code == 0 {
		return nil
	}
	return err
}

// withWayOut adds to an error of language how to get Python.
func (s *Session) withWayOut(err error) error {
	if s.options.WayOut == "" {
		return err
	}
	return fmt.Errorf("%w; %s", err, s.options.WayOut)
}

// located turns a run's error into the user's, which says where it happened. A
// program that ended itself is an [ExitError], even with code 0.
func (s *Session) located(err error) error {
	var exit *ExitError
	if errors.As(err, &exit) {
		return exit
	}
	if cause := s.ctx.Err(); cause != nil && err != nil {
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
