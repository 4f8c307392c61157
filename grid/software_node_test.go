// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"slapos/grid/pass"
	"slapos/grid/testenv"
	"slapos/slap"
	"slapos/slap/testkit"
)

// A softwareNode is a node with a master, and releases that a shell script
// instead of buildout builds.
type softwareNode struct {
	t       *testing.T
	master  *testMaster
	options Options
	log     *recorder
}

func newSoftwareNode(t *testing.T) *softwareNode {
	t.Helper()
	t.Parallel()
	base := testenv.Directory(t)
	n := &softwareNode{t: t, master: newTestMaster(t), log: &recorder{}}
	n.options = Options{
		ComputerID: testComputer, MasterURL: n.master.URL, Master: n.master.client,
		SoftwareRoot: filepath.Join(base, "software"), InstanceRoot: filepath.Join(base, "instance"),
		Logger: slog.New(n.log), Jobs: 1, Environment: []string{"PATH=" + os.Getenv("PATH")},
		Software: SoftwareOptions{MinFreeSpace: 1, UploadTries: 3, UploadDelay: time.Millisecond},
	}
	for _, directory := range []string{n.options.SoftwareRoot, n.options.InstanceRoot} {
		if err := os.Mkdir(directory, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	testkit.HandOver(t, n.options.SoftwareRoot)
	n.options.Python = "/bin/sh"
	n.bootstrapWith("echo bootstrapped")
	n.buildWith("echo built")
	return n
}

// bootstrapWith makes a bootstrap that runs a command and makes bin/buildout.
func (n *softwareNode) bootstrapWith(command string) {
	n.t.Helper()
	// The agent runs: /bin/sh -S SCRIPT …; a shell without -S is needed.
	base := filepath.Dir(n.options.SoftwareRoot)
	n.options.Python = filepath.Join(base, "python")
	n.options.Buildout = filepath.Join(base, "bootstrap")
	n.script(n.options.Python, "shift; exec /bin/sh \"$@\"")
	n.script(n.options.Buildout, command+" || exit; echo bootstrap >> log; mkdir -p bin && cp "+filepath.Join(base, "buildout")+" bin/buildout")
}

// buildWith makes the bin/buildout of releases that are bootstrapped from now.
func (n *softwareNode) buildWith(command string) {
	n.t.Helper()
	n.script(filepath.Join(filepath.Dir(n.options.SoftwareRoot), "buildout"), "echo buildout >> log\n"+command)
}

func (n *softwareNode) script(path, text string) {
	n.t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		n.t.Fatal(err)
	}
}

func (n *softwareNode) want(state slap.State, urls ...string) {
	n.master.set(func() {
		n.master.computer.SoftwareReleases = []*slap.SoftwareRelease{}
		for _, url := range urls {
			n.master.computer.SoftwareReleases = append(n.master.computer.SoftwareReleases,
				&slap.SoftwareRelease{URL: url, Computer: testComputer, RequestedState: state})
		}
	})
}

func (n *softwareNode) path(url string, names ...string) string {
	return filepath.Join(append([]string{n.options.SoftwareRoot, md5Sum(url)}, names...)...)
}

func (n *softwareNode) run(wantExit int) pass.Result {
	n.t.Helper()
	result, err := SoftwarePass(n.t.Context(), n.options)
	if err != nil {
		n.t.Fatal(err)
	}
	if result.ExitCode() != wantExit {
		n.t.Fatalf("exit code %d, want %d: %+v\n%s", result.ExitCode(), wantExit, result, n.log)
	}
	return result
}

// A recorder keeps the messages of a log.
type recorder struct {
	mu    sync.Mutex
	lines []string
}

func (r *recorder) Enabled(context.Context, slog.Level) bool { return true }
func (r *recorder) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *recorder) WithGroup(string) slog.Handler            { return r }
func (r *recorder) Handle(_ context.Context, record slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, record.Message)
	return nil
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "\n")
}

func (r *recorder) index(message string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Index(r.lines, message)
}

const testRelease = "http://release/a.cfg"
