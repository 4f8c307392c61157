// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"slapos/cmd/slapos/terminal"
	"slapos/slap/clock"
)

// An environment is all that a command sees of its process, so that tests can
// run commands without one.
type environment struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	environ        []string     // that the process was started with
	log            *slog.Logger // the original's line format, CLI-12
	global         globalOptions
	executable     string // path of this program, to start it again
	uid            int    // effective user
	pid            int
	now            func() time.Time
}

func newEnvironment() *environment {
	e := &environment{
		stdin:   os.Stdin,
		stdout:  &checkedOutput{Writer: os.Stdout},
		stderr:  os.Stderr,
		getenv:  os.Getenv,
		environ: os.Environ(),
		uid:     os.Geteuid(),
		pid:     os.Getpid(),
		now:     time.Now,
	}
	e.executable, _ = os.Executable()
	e.log = slog.New(e.console())
	return e
}

// expandUser replaces a leading ~ by $HOME, as Python's expanduser.
func (e *environment) expandUser(path string) string {
	rest, found := strings.CutPrefix(path, "~")
	if home := e.getenv("HOME"); found && home != "" && (rest == "" || rest[0] == '/') {
		return filepath.Join(home, rest)
	}
	return path
}

// requireRoot refuses to go on as an ordinary user.
func (e *environment) requireRoot() error {
	if e.uid == 0 {
		return nil
	}
	return &exitError{code: 5, err: sentencef("This slapos command must be run as root.")}
}

// checkRoot is requireRoot unless the key root_check of section [slapos] says
// false (GRID-5).
func (e *environment) checkRoot(slapos map[string]string) error {
	check, err := truthOption(slapos, "root_check", true)
	if err != nil || !check {
		return err
	}
	return e.requireRoot()
}

// isTerminal reports whether a stream of the environment is a terminal.
func isTerminal(stream any) bool { return terminal.Is(stream) }

// A checkedOutput remembers that something could not be written, so that no command
// that prints ends as if it had (CLI-14).
type checkedOutput struct {
	io.Writer
	mutex sync.Mutex
	err   error
}

func (o *checkedOutput) Write(text []byte) (int, error) {
	n, err := o.Writer.Write(text)
	if err != nil {
		o.mutex.Lock()
		o.err = err
		o.mutex.Unlock()
	}
	return n, err
}

// Unwrap returns the stream itself.
func (o *checkedOutput) Unwrap() io.Writer { return o.Writer }

// outputError returns why something could not be printed, nil if all was.
func (e *environment) outputError() error {
	output, ok := e.stdout.(*checkedOutput)
	if !ok {
		return nil
	}
	output.mutex.Lock()
	defer output.mutex.Unlock()
	return output.err
}

// childOutput is standard output as a child gets it, the file itself.
func (e *environment) childOutput() io.Writer {
	if output, ok := e.stdout.(*checkedOutput); ok {
		return output.Writer
	}
	return e.stdout
}

// readInput reads standard input to its end, or until ctx ends: a signal
// interrupts a command that waits for input.
func (e *environment) readInput(ctx context.Context) ([]byte, error) {
	return clock.Await(ctx, func() ([]byte, error) { return io.ReadAll(e.stdin) })
}
