// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"slapos/grid/pass"
	"slapos/grid/supervisor"
	"slapos/slap"
	"slapos/slap/testkit"
)

// An instanceNode is a node with a master, a supervisor of its own, and one
// release, whose buildout is a shell script.
type instanceNode struct {
	*softwareNode
}

func newInstanceNode(t *testing.T, partitions ...string) *instanceNode {
	t.Helper()
	n := &instanceNode{newSoftwareNode(t)}
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	n.options.Supervisor.Executable = executable
	n.options.Instance = InstanceOptions{MinFreeSpace: 1, MaximumPeriodicity: DefaultMaximumPeriodicity}
	t.Cleanup(n.stopSupervisor)
	if err := os.MkdirAll(n.path(testRelease, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	testkit.WriteFile(t, n.path(testRelease, "instance.cfg"), "[template]\n")
	n.deployWith("")
	for _, name := range []string{"", "bin", "bin/buildout", "instance.cfg"} {
		testkit.HandOver(t, n.path(testRelease, name))
	}
	for _, name := range partitions {
		if err := os.Mkdir(n.at(name), 0o750); err != nil {
			t.Fatal(err)
		}
		testkit.HandOver(t, n.at(name))
		n.allocate(name, slap.StateStarted)
	}
	return n
}

// deployWith makes the release's buildout run a command in the partition.
func (n *instanceNode) deployWith(command string) {
	n.t.Helper()
	n.script(n.path(testRelease, "bin", "buildout"), "echo deployed >> log\n"+command)
}

// service is a command that makes a service, or a runner, of the partition.
func service(kind, name, command string) string {
	return fmt.Sprintf("mkdir -p etc/%s; printf '#!/bin/sh\\n%s\\n' > etc/%[1]s/%[3]s; chmod 755 etc/%[1]s/%[3]s\n", kind, command, name)
}

func (n *instanceNode) at(parts ...string) string {
	return filepath.Join(append([]string{n.options.InstanceRoot}, parts...)...)
}

// allocate makes the master want an instance in a partition.
func (n *instanceNode) allocate(name string, state slap.State) *slap.Partition {
	p := &slap.Partition{
		Computer: testComputer, Reference: name, RequestedState: state, NeedModification: true,
		SoftwareRelease: &slap.SoftwareRelease{URL: testRelease, Computer: testComputer},
		Parameters:      slap.Dict{"timestamp": "1", "ip_list": []any{}, "slap_software_type": "test"}, ConnectionParameters: slap.Dict{},
	}
	n.master.set(func() {
		n.master.computer.Partitions = slices.DeleteFunc(n.master.computer.Partitions, func(old *slap.Partition) bool { return old.Reference == name })
		n.master.computer.Partitions = append(n.master.computer.Partitions, p)
	})
	return p
}

func (n *instanceNode) change(name string, change func(*slap.Partition)) {
	n.master.set(func() {
		for _, p := range n.master.computer.Partitions {
			if p.Reference == name {
				change(p)
			}
		}
	})
}

func (n *instanceNode) touch(name string) {
	n.change(name, func(p *slap.Partition) {
		p.Parameters["timestamp"] = p.Parameters["timestamp"].(string) + "1"
	})
}

func (n *instanceNode) process(wantExit int) pass.Result {
	n.t.Helper()
	result, err := InstancePass(n.t.Context(), n.options)
	if err != nil || result.ExitCode() != wantExit {
		n.t.Fatalf("exit code %d, want %d, error %v: %+v\n%s", result.ExitCode(), wantExit, err, result, n.log)
	}
	return result
}

func (n *instanceNode) layout() supervisor.Layout {
	return supervisor.Layout{InstanceRoot: n.options.InstanceRoot, Logger: n.options.Logger}
}

// processes describes what the supervisor has, but the watchdog.
func (n *instanceNode) processes() map[string]supervisor.ProcessInfo {
	n.t.Helper()
	client := supervisor.NewClient(n.layout().Socket())
	defer client.Close()
	infos, err := client.AllProcessInfo(context.Background())
	if err != nil {
		n.t.Fatal(err)
	}
	found := map[string]supervisor.ProcessInfo{}
	for _, info := range infos {
		if info.Group != "watchdog" {
			found[info.Group+":"+info.Name] = info
		}
	}
	return found
}

// running are the names of the processes that run.
func (n *instanceNode) running() []string {
	n.t.Helper()
	names := []string{}
	for name, info := range n.processes() {
		if info.Statename == "RUNNING" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (n *instanceNode) expectRunning(want ...string) {
	n.t.Helper()
	// Starting does not wait for the program.
	var got []string
	if !testkit.Await(n.t.Context(), testkit.Patience, func() bool { got = n.running(); return slices.Equal(got, want) }) {
		n.t.Errorf("running %q, want %q", got, want)
	}
}

func (n *instanceNode) stopSupervisor() {
	content, err := os.ReadFile(n.layout().PIDFile())
	if err != nil {
		return
	}
	client := supervisor.NewClient(n.layout().Socket())
	defer client.Close()
	if err := client.Shutdown(context.Background()); err != nil {
		n.t.Errorf("stop the supervisor: %v", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil || !testkit.Await(context.Background(), testkit.Patience, func() bool { return !testkit.Runs(pid) }) {
		n.t.Errorf("the supervisor, process %s, does not end: %v", content, err)
	}
}
