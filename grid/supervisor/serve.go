// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"context"
	"io"
	"os"

	"slapos/grid/supervisor/daemon"
)

// ServeOptions configure [Serve] and [Detach].
type ServeOptions = daemon.Options

// Image is a program that can become the supervisor, see [Client.Upgrade].
type Image = daemon.Image

// Options of the command line of an image that takes over a supervisor.
const (
	TakeoverOption  = daemon.TakeoverOption
	RehearsalOption = daemon.RehearsalOption
)

// Serve is the supervisor itself, in the foreground; see [daemon.Serve].
func Serve(ctx context.Context, options ServeOptions) error { return daemon.Serve(ctx, options) }

// Detach starts a supervisor in the background; see [daemon.Detach].
func Detach(ctx context.Context, executable string, arguments, environ []string) error {
	return daemon.Detach(ctx, executable, arguments, environ)
}

// Rehearse reports whether this program can take over the supervisor with that
// state; see [daemon.Rehearse].
func Rehearse(state *os.File, version string, out io.Writer) error {
	return daemon.Rehearse(state, version, out)
}

// Report tells the process that waits in [Detach] how the start went.
func Report(pipe *os.File, err error) { daemon.Report(pipe, err) }
