// SPDX-License-Identifier: GPL-3.0-or-later

package testenv

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"slapos/grid/pass"
	"slapos/grid/supervision"
	"slapos/slap"
	"slapos/slap/testkit"
)

// Release is the URL of a Software Release.
const Release = "http://release/a.cfg"

// A Node is a node with a master, and releases that are built by a shell script
// instead of buildout. The tests of a room embed it, beside the options of
// their pass.
type Node struct {
	T      *testing.T
	Master *Master
	Log    *Recorder
	// Pass is the input of all passes. Tests must keep its SoftwareRoot and
	// InstanceRoot.
	Pass       pass.Node
	Supervisor supervision.Options
}

// NewNode makes a node for a test, which runs in parallel with others from here on.
func NewNode(t *testing.T) *Node {
	t.Helper()
	t.Parallel()
	base := Directory(t)
	n := &Node{T: t, Master: NewMaster(t), Log: &Recorder{}}
	n.Pass = pass.Node{
		ComputerID: Computer, MasterURL: n.Master.URL, Master: n.Master.Client,
		SoftwareRoot: filepath.Join(base, "software"), InstanceRoot: filepath.Join(base, "instance"),
		Logger: slog.New(n.Log), Jobs: 1, Environment: []string{"PATH=" + os.Getenv("PATH")},
	}
	for _, directory := range []string{n.Pass.SoftwareRoot, n.Pass.InstanceRoot} {
		if err := os.Mkdir(directory, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	testkit.HandOver(t, n.Pass.SoftwareRoot)
	n.BootstrapWith("echo bootstrapped")
	n.BuildWith("echo built")
	return n
}

// Base returns the directory of everything that belongs to the node.
func (n *Node) Base() string { return filepath.Dir(n.Pass.SoftwareRoot) }

// BootstrapWith sets a bootstrap that runs a command and makes bin/buildout.
func (n *Node) BootstrapWith(command string) {
	n.T.Helper()
	// The agent runs: /bin/sh -S SCRIPT …; this needs a shell without -S.
	n.Pass.Python = filepath.Join(n.Base(), "python")
	n.Pass.Buildout = filepath.Join(n.Base(), "bootstrap")
	n.Script(n.Pass.Python, "shift; exec /bin/sh \"$@\"")
	n.Script(n.Pass.Buildout, command+" || exit; echo bootstrap >> log; mkdir -p bin && cp "+filepath.Join(n.Base(), "buildout")+" bin/buildout")
}

// BuildWith sets bin/buildout of all releases that are bootstrapped from now on.
func (n *Node) BuildWith(command string) {
	n.T.Helper()
	n.Script(filepath.Join(n.Base(), "buildout"), "echo buildout >> log\n"+command)
}

// Script writes a shell script.
func (n *Node) Script(path, text string) {
	n.T.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		n.T.Fatal(err)
	}
}

// Want has the master want releases in a state.
func (n *Node) Want(state slap.State, urls ...string) {
	n.Master.Set(func() {
		n.Master.Wanted.SoftwareReleases = []*slap.SoftwareRelease{}
		for _, url := range urls {
			n.Master.Wanted.SoftwareReleases = append(n.Master.Wanted.SoftwareReleases,
				&slap.SoftwareRelease{URL: url, Computer: Computer, RequestedState: state})
		}
	})
}

// Path returns the path of a release, or of something in it.
func (n *Node) Path(url string, names ...string) string {
	sum := md5.Sum([]byte(url))
	return filepath.Join(append([]string{n.Pass.SoftwareRoot, hex.EncodeToString(sum[:])}, names...)...)
}

// Run runs a pass, which must complete with this exit code.
func (n *Node) Run(wantExit int, run func(context.Context) (pass.Result, error)) pass.Result {
	n.T.Helper()
	result, err := run(n.T.Context())
	if err != nil || result.ExitCode() != wantExit {
		n.T.Fatalf("exit code %d, want %d, error %v: %+v\n%s", result.ExitCode(), wantExit, err, result, n.Log)
	}
	return result
}
