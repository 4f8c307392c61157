// SPDX-License-Identifier: GPL-3.0-or-later

package promise

import (
	"context"
	"slices"
)

// A Kind is a kind of promise, with everything that differs between kinds.
// Runs, their results and the code that shows them ask the kind, and know none
// by name.
//
// To add one, write a file with a type that implements this interface, and put
// its value into [Kinds].
type Kind interface {
	// String returns the kind's name in documents and metrics, such as "plugin".
	String() string
	// Folder is the directory of a partition's promises of this kind, relative
	// to the partition: "etc/plugin".
	Folder() string

	// accepts reports whether a file in the folder is a promise. It is called
	// for each file, with the rights of the partition's user, and may log what
	// is wrong with a file that isn't.
	accepts(r *run, name string) bool
	// start starts the promises that are due, perhaps none; all has the others,
	// too. For each that starts it calls begin, passes the result to settle,
	// and calls end when nothing more is done for it, whatever happens. A
	// promise whose before is not nil begins when that one has ended.
	start(ctx context.Context, r *run, all, due []*check) task
}

// A task is a kind's work in a run.
type task struct {
	// wait waits until all promises of the task have ended. Its error is what
	// kept some from being run.
	wait func() error
	// takes are other kinds whose promises this task runs, too: they are not started.
	takes []Kind
}

// finished is the task of a kind with nothing to do.
var finished = task{wait: func() error { return nil }}

// All kinds of promises.
var (
	// Plugin is a Python module with a class RunPromise.
	Plugin Kind = pluginKind{}
	// Executable is a program whose exit status 0 means success.
	Executable Kind = executableKind{}
)

// Kinds returns all kinds, in the order in which reports list their promises.
func Kinds() []Kind { return []Kind{Plugin, Executable} }

// of returns the checks of a kind.
func (r *run) of(kind Kind) []*check {
	return slices.DeleteFunc(slices.Clone(r.checks), func(c *check) bool { return c.kind != kind })
}

// due returns those of the checks that still have to run.
func due(checks []*check) []*check {
	return slices.DeleteFunc(slices.Clone(checks), func(c *check) bool { return c.state == decided })
}
