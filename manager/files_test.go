// SPDX-License-Identifier: GPL-3.0-or-later

package manager

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"slapos/slap/confined"
	"slapos/slap/testkit"
)

// A pipe in place of a request must not stop the agent.
func TestRequestIsPipe(t *testing.T) {
	partition := newPartition(t, nil)
	if err := syscall.Mkfifo(filepath.Join(partition.Path, redirectRequest), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := partition.request(redirectRequest); err == nil {
		t.Error("no error")
	}
}

// A request is read up to its limit, whatever its size.
func TestRequestIsEndless(t *testing.T) {
	partition := newPartition(t, nil)
	path := filepath.Join(partition.Path, redirectRequest)
	const size = 64 * confined.MaxFile
	if err := errors.Join(os.WriteFile(path, nil, 0o644), os.Truncate(path, size)); err != nil {
		t.Fatal(err)
	}
	var err error
	if n := testkit.Allocated(func() { _, _, err = partition.request(redirectRequest) }); err == nil || n > size/2 {
		t.Errorf("took %d bytes, error %v", n, err)
	}
}
