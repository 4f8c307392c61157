// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"context"
	"os"

	"slapos/grid/supervisor/daemon"
)

// ServeOptions configure [Serve] and [Detach].
type ServeOptions = daemon.Options

// Serve is the supervisor itself, in the foreground; see [daemon.Serve].
func Serve(ctx context.Context, options ServeOptions) error { return daemon.Serve(ctx, options) }

// Detach starts a supervisor in the background; see [daemon.Detach].
func Detach(ctx context.Context, executable string, arguments, environ []string) error {
	return daemon.Detach(ctx, executable, arguments, environ)
}

// Report tells the process that waits in [Detach] how the start went.
func Report(pipe *os.File, err error) { daemon.Report(pipe, err) }
