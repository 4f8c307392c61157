// SPDX-License-Identifier: GPL-3.0-or-later

package promise

import (
	"context"
	"slices"
)

// A Kind is a kind of promise: all that is true of one kind only. A run, its
// results and those who show them ask the kind, and know none by name.
//
// To add one, write a file with a type that implements this interface, and put
// its value into [Kinds].
type Kind interface {
	// String is what the kind is called in documents and metrics, as "plugin".
	String() string
	// Folder is where a partition has its promises of this kind, below the
	// partition's directory: "etc/plugin".
	Folder() string

	// accepts tells whether a file in the folder is a promise. It is called for
	// each of them, with the rights of the partition's user, and may say in the log
	// what is wrong with one that isn't.
	accepts(r *run, name string) bool
	// start starts to run those of the promises that are due, maybe none; all has
	// the others too. It calls begin for those that do start, gives each its result
	// by settle, and ends each by end once nothing more is done for it, whatever
	// happens. One whose before is not nil begins when that one has ended.
	start(ctx context.Context, r *run, all, due []*check) task
}

// A task is what a kind does in a run.
type task struct {
	// wait waits until all promises of the task have ended. The error is what kept
	// some from being run.
	wait func() error
	// takes are other kinds whose promises this task runs too: they are not started.
	takes []Kind
}

// finished is the task of a kind that has nothing to do.
var finished = task{wait: func() error { return nil }}

// The kinds of promises.
var (
	// Plugin is a Python module with a class RunPromise.
	Plugin Kind = pluginKind{}
	// Executable is a program whose exit status 0 is good.
	Executable Kind = executableKind{}
)

// Kinds returns all kinds, in the order in which a report has their promises.
func Kinds() []Kind { return []Kind{Plugin, Executable} }

// of returns the checks of a kind.
func (r *run) of(kind Kind) []*check {
	return slices.DeleteFunc(slices.Clone(r.checks), func(c *check) bool { return c.kind != kind })
}

// due returns those of the checks that are left to run.
func due(checks []*check) []*check {
	return slices.DeleteFunc(slices.Clone(checks), func(c *check) bool { return c.state == decided })
}
