// SPDX-License-Identifier: GPL-3.0-or-later

package testkit

import (
	"os"
	"strings"
	"testing"
)

// A leaked descriptor and a leaked goroutine are found, and what ends isn't.
func TestLeaks(t *testing.T) {
	NoLeaks(t)
	descriptors, goroutines := openDescriptors(), ourGoroutines()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	started, ended := make(chan struct{}), make(chan struct{})
	go func() { // owns the pipe's end until it ends
		defer close(ended)
		close(started)
		_, _ = read.Read(make([]byte, 1))
	}()
	<-started
	if left := added(descriptors, openDescriptors()); len(left) != 2 || !strings.Contains(left[0], "pipe:") {
		t.Errorf("descriptors: %q", left)
	}
	if left := added(goroutines, ourGoroutines()); len(left) != 1 || !strings.Contains(left[0], "TestLeaks") {
		t.Errorf("goroutines: %q", left)
	}
	write.Close()
	<-ended
	read.Close()
	if left := added(descriptors, openDescriptors()); len(left) != 0 {
		t.Errorf("closed descriptors: %q", left)
	}
}
