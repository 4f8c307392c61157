// SPDX-License-Identifier: GPL-3.0-or-later

// Package buildout runs zc.buildout in the directory of a Software Release or a
// partition, as the owner of that directory.
//
// A [Builder] builds in one directory. [Builder.Begin] first makes sure that
// nothing else builds there, including the remains of a killed agent;
// [Builder.Bootstrap] makes bin/buildout with the node's Python, and
// [Builder.Run] runs it with the interpreter that it names. Both log the output
// line by line and keep its end for the error, an [*Error].
package buildout

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"slapos/promise/process"
	"slapos/slap/confined"
)

// umask of builds: others may not read the files that they make (GRID-12).
const umask = 0o027

// keepOutput is how much of the output's end an error contains, in bytes.
const keepOutput = 512 << 10

// maxLog is how much of a run's output is logged, in bytes.
const maxLog = 16 << 20

// A Builder builds in one directory.
type Builder struct {
	Directory string // its path
	// Root is the directory, opened: children start there, as its owner.
	Root *confined.Directory
	// Environment is the agent's environment.
	Environment []string
	// Python bootstraps; if empty, the first of /opt/slapos/bin/python3 and
	// python3 on PATH does (D-2).
	Python string
	// Script bootstraps in place of zc.buildout's module, with Python.
	Script string
	// Locks is a directory that only the agent can reach, with the locks of
	// builds. If empty, nothing keeps another agent from building here, too.
	Locks string
	// Debug lets buildout use the terminal, and stop in its debugger.
	Debug bool
	// Timeout limits each run; 0: no limit.
	Timeout time.Duration
	Logger  *slog.Logger
}

// A Script is a program in a release or a partition.
type Script struct {
	Root *confined.Directory
	Name string // in Root
}

// Path returns the path by which a child, which only has a user's rights, finds
// the script.
func (s Script) Path() string { return s.Root.Join(s.Name) }

// An Error is a failed bootstrap or run, which is already logged.
type Error struct {
	What   string // what failed, and where
	Output string // the output, or the reason
}

func (e *Error) Error() string { return fmt.Sprintf("%s:\n%s\n", e.What, e.Output) } // GRID-24

// failure describes a failed buildout or bootstrap.
func (b *Builder) failure() string {
	return fmt.Sprintf("Failed to run buildout profile in directory '%s'", b.Directory)
}

// fail reports a failure without output of a child.
func (b *Builder) fail(reason string) error {
	b.Logger.Error(reason)
	return &Error{b.failure(), reason}
}

// debugOutput replaces output that went to the terminal.
const debugOutput = "(the output went to the terminal, because of --buildout-debug)"

// Run runs script, a bin/buildout, with parameters (GRID-35).
func (b *Builder) Run(ctx context.Context, script Script, parameters ...string) error {
	interpreter, err := Shebang(script)
	if err != nil {
		return fmt.Errorf("run buildout in %s: %w", b.Directory, err)
	}
	command := append(interpreter, script.Path())
	if b.Debug {
		command = append(command, "-D")
	}
	command = append(append(command, "-U"), parameters...)
	_, err = b.run(ctx, command, b.Directory, b.Timeout)
	return err
}

// BootstrapBy runs a program of a release that makes the directory's own
// buildout, as the directory's owner with that user's home (GRID-12).
func (b *Builder) BootstrapBy(ctx context.Context, script Script) error {
	interpreter, err := Shebang(script)
	if err != nil {
		return fmt.Errorf("run %s: %w", script.Path(), err)
	}
	user, err := b.owner()
	if err != nil {
		return err
	}
	child := b.command(append(interpreter, script.Path()), user, user.Home, 0)
	child.Umask = 0
	_, err = b.finish(ctx, child, fmt.Sprintf("Failed to bootstrap buildout in '%s'.", b.Directory))
	return err
}

// run runs command and returns its exit status; a status other than 0 is an
// [*Error], too.
func (b *Builder) run(ctx context.Context, command []string, home string, timeout time.Duration) (status int, err error) {
	user, err := b.owner()
	if err != nil {
		return -1, err
	}
	if home == "" {
		home = user.Home
	}
	return b.finish(ctx, b.command(command, user, home, timeout), b.failure())
}

// owner returns the user that everything runs as.
func (b *Builder) owner() (*process.User, error) {
	user, err := process.LookupUser(b.Root.UID, b.Root.GID)
	if err != nil {
		return nil, fmt.Errorf("owner of %s: %w", b.Directory, err)
	}
	return user, nil
}

func (b *Builder) command(command []string, user *process.User, home string, timeout time.Duration) *process.Command {
	environment := slices.DeleteFunc(process.CleanEnvironment(b.Environment, home), func(variable string) bool {
		return strings.HasPrefix(variable, marker+"=") // this agent itself runs inside a build
	})
	return &process.Command{
		Path:       command[0],
		Args:       command[1:],
		In:         b.Root,
		Env:        append(environment, marker+"="+b.Directory),
		User:       user,
		Umask:      umask,
		Output:     func(line string) { b.Logger.Info(line) },
		KeepOutput: keepOutput,
		Timeout:    timeout,
		Terminal:   b.Debug,
	}
}

// finish runs child and reports its failure as failure.
func (b *Builder) finish(ctx context.Context, child *process.Command, failure string) (status int, err error) {
	b.Logger.Debug(fmt.Sprintf("Invoking: '%s %s' in directory '%s'", child.Path, strings.Join(child.Args, " "), b.Directory))
	limited, end := process.Limit(child.Output, maxLog)
	child.Output = limited
	result, err := child.Run(ctx)
	end()
	if ctx.Err() != nil {
		return -1, ctx.Err()
	}
	var expired *process.TimeoutError
	if err != nil && !errors.As(err, &expired) {
		b.Logger.Error(err.Error())
		return -1, &Error{failure, err.Error()}
	}
	if err == nil && result.ExitCode == 0 {
		return 0, nil
	}
	output := result.Output
	switch {
	case b.Debug:
		output = debugOutput
	case err != nil:
		output += err.Error()
	case result.Signal != 0:
		output += fmt.Sprintf("%s was ended by signal %d (%s)", child.Path, result.Signal, result.Signal)
	}
	b.Logger.Error(failure)
	return result.ExitCode, &Error{failure, output}
}
