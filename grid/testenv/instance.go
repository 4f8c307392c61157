// SPDX-License-Identifier: GPL-3.0-or-later

package testenv

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"slapos/grid/supervisor"
	"slapos/slap"
	"slapos/slap/testkit"
)

// NewInstanceNode makes a node with partitions to be started, its own
// supervisor, and one release, whose buildout is a shell script.
func NewInstanceNode(t *testing.T, partitions ...string) *Node {
	t.Helper()
	n := NewNode(t)
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	n.Supervisor.Executable = executable
	t.Cleanup(n.StopSupervisor)
	if err := os.MkdirAll(n.Path(Release, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	testkit.WriteFile(t, n.Path(Release, "instance.cfg"), "[template]\n")
	n.DeployWith("")
	for _, name := range []string{"", "bin", "bin/buildout", "instance.cfg"} {
		testkit.HandOver(t, n.Path(Release, name))
	}
	for _, name := range partitions {
		if err := os.Mkdir(n.At(name), 0o750); err != nil {
			t.Fatal(err)
		}
		testkit.HandOver(t, n.At(name))
		n.Allocate(name, slap.StateStarted)
	}
	return n
}

// DeployWith makes the release's buildout run a command in the partition.
func (n *Node) DeployWith(command string) {
	n.T.Helper()
	n.Script(n.Path(Release, "bin", "buildout"), "echo deployed >> log\n"+command)
}

// Service returns a command that makes a service, or a runner, in the partition.
func Service(kind, name, command string) string {
	return fmt.Sprintf("mkdir -p etc/%s; printf '#!/bin/sh\\n%s\\n' > etc/%[1]s/%[3]s; chmod 755 etc/%[1]s/%[3]s\n", kind, command, name)
}

// At returns the path of a partition, or of something in it.
func (n *Node) At(parts ...string) string {
	return filepath.Join(append([]string{n.Pass.InstanceRoot}, parts...)...)
}

// Allocate has the master want an instance in a partition.
func (n *Node) Allocate(name string, state slap.State) *slap.Partition {
	p := &slap.Partition{
		Computer: Computer, Reference: name, RequestedState: state, NeedModification: true,
		SoftwareRelease: &slap.SoftwareRelease{URL: Release, Computer: Computer},
		Parameters:      slap.Dict{"timestamp": "1", "ip_list": []any{}, "slap_software_type": "test"}, ConnectionParameters: slap.Dict{},
	}
	n.Master.Set(func() {
		n.Master.Wanted.Partitions = slices.DeleteFunc(n.Master.Wanted.Partitions, func(old *slap.Partition) bool { return old.Reference == name })
		n.Master.Wanted.Partitions = append(n.Master.Wanted.Partitions, p)
	})
	return p
}

// Change changes the master's description of a partition.
func (n *Node) Change(name string, change func(*slap.Partition)) {
	n.Master.Set(func() {
		for _, p := range n.Master.Wanted.Partitions {
			if p.Reference == name {
				change(p)
			}
		}
	})
}

// Touch has the master say that a partition has changed.
func (n *Node) Touch(name string) {
	n.Change(name, func(p *slap.Partition) {
		p.Parameters["timestamp"] = p.Parameters["timestamp"].(string) + "1"
	})
}

// Layout returns the supervisor's layout.
func (n *Node) Layout() supervisor.Layout {
	return supervisor.Layout{InstanceRoot: n.Pass.InstanceRoot, Logger: n.Pass.Logger}
}

// Processes describes the supervisor's processes, except the watchdog.
func (n *Node) Processes() map[string]supervisor.ProcessInfo {
	n.T.Helper()
	client := supervisor.NewClient(n.Layout().Socket())
	defer client.Close()
	infos, err := client.AllProcessInfo(context.Background())
	if err != nil {
		n.T.Fatal(err)
	}
	found := map[string]supervisor.ProcessInfo{}
	for _, info := range infos {
		if info.Group != "watchdog" {
			found[info.Group+":"+info.Name] = info
		}
	}
	return found
}

// Running returns the names of the running processes.
func (n *Node) Running() []string {
	n.T.Helper()
	names := []string{}
	for name, info := range n.Processes() {
		if info.Statename == "RUNNING" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// ExpectRunning waits until exactly these processes run.
func (n *Node) ExpectRunning(want ...string) {
	n.T.Helper()
	// Starting doesn't wait until the program runs.
	var got []string
	testkit.Eventually(n.T, testkit.Patience, fmt.Sprintf("%q are running", want),
		func() bool { got = n.Running(); return slices.Equal(got, want) }, func() any { return got })
}

// StopSupervisor stops the supervisor, if there is one.
func (n *Node) StopSupervisor() {
	content, err := os.ReadFile(n.Layout().PIDFile())
	if err != nil {
		return
	}
	client := supervisor.NewClient(n.Layout().Socket())
	defer client.Close()
	if err := client.Shutdown(context.Background()); err != nil {
		n.T.Errorf("stop the supervisor: %v", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		n.T.Fatal(err)
	}
	testkit.Eventually(n.T, testkit.Patience, "the supervisor has ended", func() bool { return !testkit.Runs(pid) })
}
