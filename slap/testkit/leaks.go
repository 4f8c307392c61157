// SPDX-License-Identifier: GPL-3.0-or-later

package testkit

import (
	"context"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// NoLeaks fails the test if, after its cleanup, this process has a descriptor
// or a goroutine of ours that it doesn't have now. So a test must call it
// first, and not run in parallel with others.
func NoLeaks(t testing.TB) {
	t.Helper()
	descriptors, goroutines := openDescriptors(), ourGoroutines()
	t.Cleanup(func() {
		t.Helper()
		http.DefaultClient.CloseIdleConnections()
		var left []string
		if Await(context.Background(), Patience, func() bool { // the test's own context has ended
			left = append(added(descriptors, openDescriptors()), added(goroutines, ourGoroutines())...)
			return len(left) == 0
		}) {
			return
		}
		t.Errorf("it leaves %d descriptors and goroutines:\n%s", len(left), strings.Join(left, "\n"))
	})
}

// added lists what is in now but not in before.
func added(before, now map[string]string) []string {
	var names []string
	for name, text := range now {
		if before[name] == "" {
			names = append(names, text)
		}
	}
	slices.Sort(names)
	return names
}

// openDescriptors returns the open descriptors of this process, by number and
// target. Those that the runtime opens permanently at first use don't count.
func openDescriptors() map[string]string {
	open := map[string]string{}
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, entry := range entries {
		target, err := os.Readlink("/proc/self/fd/" + entry.Name())
		if err != nil || target == "anon_inode:[eventpoll]" || target == "anon_inode:[eventfd]" {
			continue // the directory itself is closed by now
		}
		name := entry.Name() + " " + target
		open[name] = "descriptor " + name
	}
	return open
}

// ourGoroutines returns the goroutines that run a function of this module or
// were started by one, by number.
func ourGoroutines() map[string]string {
	buffer := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buffer, true)
		if n < len(buffer) {
			buffer = buffer[:n]
			break
		}
		buffer = make([]byte, 2*len(buffer))
	}
	ours := map[string]string{}
	for stack := range strings.SplitSeq(string(buffer), "\n\n") {
		number, _, _ := strings.Cut(strings.TrimPrefix(stack, "goroutine "), " ")
		if strings.Contains(stack, "\nslapos/") || strings.Contains(stack, "\ncreated by slapos/") {
			ours[number] = stack
		}
	}
	return ours
}
