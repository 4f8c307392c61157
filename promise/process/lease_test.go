// SPDX-License-Identifier: GPL-3.0-or-later

package process

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"slapos/slap/testkit"
)

// TestStartWaits holds up the start of a program as its owner can: this process goes
// on, and starts others.
func TestStartWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "held")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho held\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	lease := testkit.Lease(t, path)
	var held Result
	ended := make(chan error)
	go func() { // until the lease is released
		var err error
		held, err = (&Command{Path: path, KeepOutput: 100}).Run(t.Context())
		ended <- err
	}()
	lease.Wait()
	runtime.GC()
	if other, err := shell("echo other").Run(t.Context()); err != nil || other.Output != "other\n" {
		t.Errorf("the other: %+v, %v", other, err)
	}
	lease.Release()
	if err := <-ended; err != nil || held.Output != "held\n" {
		t.Errorf("the first: %+v, %v", held, err)
	}
}
