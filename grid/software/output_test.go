// SPDX-License-Identifier: GPL-3.0-or-later

package software

import (
	"context"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"slapos/slap"
	"slapos/slap/testkit"
)

// A sizeLog counts the bytes that are logged.
type sizeLog struct{ bytes int }

func (l *sizeLog) Enabled(context.Context, slog.Level) bool { return true }
func (l *sizeLog) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *sizeLog) WithGroup(string) slog.Handler            { return l }
func (l *sizeLog) Handle(_ context.Context, r slog.Record) error {
	l.bytes += len(r.Message)
	return nil
}

// memoryPeak returns the most memory that this process had since the last call, in bytes.
func memoryPeak(t *testing.T) int {
	t.Helper()
	for line := range strings.Lines(testkit.ReadFile(t, "/proc/self/status")) {
		if value, found := strings.CutPrefix(line, "VmHWM:"); found {
			size, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
				t.Fatal(err)
			}
			return size << 10
		}
	}
	t.Fatal("the kernel doesn't tell the peak of memory")
	return 0
}

// A build that prints 200 MB without a line's end, and fails: its log and its report are bounded, and so is the agent's memory (GRID-106).
func TestFloodedBuild(t *testing.T) {
	testkit.Root(t)                                   // the release has another user
	if !testkit.InNamespace(t, syscall.CLONE_NEWNS) { // alone in its process
		return
	}
	n := newSoftwareNode(t)
	for name, command := range map[string]string{
		"line": `head -c 200000000 /dev/zero | tr '\0' x`, "nothing": "",
	} {
		log := &sizeLog{}
		n.Pass.Logger = slog.New(log)
		n.BuildWith(command + "\nexit 1")
		n.Want(slap.StateAvailable, "http://release/"+name)
		before := memoryPeak(t)
		n.run(1)
		grown := memoryPeak(t) - before
		if grown > 64<<20 {
			t.Errorf("%s: the agent grew by %d MiB", name, grown>>20)
		}
		if flooded := command != ""; flooded != (log.bytes > 15<<20) || log.bytes > 20<<20 {
			t.Errorf("%s: %d bytes are logged", name, log.bytes)
		}
	}
}
