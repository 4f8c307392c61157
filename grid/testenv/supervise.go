// SPDX-License-Identifier: GPL-3.0-or-later

package testenv

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"slapos/grid/supervisor"
)

// supervise makes the test binary the supervisor, as slapos is when it is
// started under that name.
func supervise() {
	executable, err := os.Executable()
	switch {
	case err != nil:
	case os.Args[len(os.Args)-1] == "--ready-fd=3":
		pipe, environ := os.NewFile(3, "ready"), os.Environ()
		// An agent doesn't pass TMPDIR on (GRID-12); unnamed logs go beside the
		// test's node, and are removed with it.
		os.Setenv("TMPDIR", filepath.Dir(os.Args[2]))
		err = supervisor.Serve(context.Background(), supervisor.ServeOptions{ConfigFile: os.Args[2], Environ: environ,
			Ready: func() { supervisor.Report(pipe, nil) }})
		if err != nil {
			supervisor.Report(pipe, err)
		}
	default:
		err = supervisor.Detach(context.Background(), executable, append(os.Args, "--ready-fd=3"), os.Environ())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(2)
	}
	os.Exit(0)
}
