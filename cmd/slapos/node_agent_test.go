// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"slapos/grid/testenv"
	"slapos/slap"
	"slapos/slap/testkit"
)

// agentNode is a node with a master and an agent, each a process.
type agentNode struct {
	*testing.T
	root, configuration, url, program string
	client                            *slap.Client
}

const agentRelease = "http://example.com/software.cfg"

// newAgentNode makes a node whose release is installed and deploys a service, and starts
// its master.
func newAgentNode(t *testing.T, master func(n *agentNode) *exec.Cmd) *agentNode {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	root := testenv.Directory(t)
	n := &agentNode{T: t, root: root, configuration: root + "/slapos.cfg", url: fmt.Sprintf("http://127.0.0.1:%d", port), program: root + "/slapos"}
	if err := copyFile(testProgram(t), n.program); err != nil { // the tests' program is slapos under that name alone
		t.Fatal(err)
	}
	release := filepath.Join(root, "software", fmt.Sprintf("%x", md5.Sum([]byte(agentRelease))))
	for _, directory := range []string{release + "/bin", root + "/instance/slappart0", root + "/instance/slappart1"} {
		if err := os.MkdirAll(directory, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"slappart0", "slappart1"} {
		if err := os.Chmod(root+"/instance/"+name, 0o750); err != nil {
			t.Fatal(err)
		}
		testkit.HandOver(t, root+"/instance/"+name)
	}
	testkit.WriteFile(t, release+"/instance.cfg", "[buildout]\n")
	testkit.WriteFile(t, release+"/.completed", "")
	testkit.WriteFile(t, release+"/bin/buildout", `#!/bin/sh
mkdir -p etc/service
echo deployed >>log
printf '#!/bin/sh\nexec sleep 1000\n' >etc/service/web.new
chmod 755 etc/service/web.new
mv etc/service/web.new etc/service/web
`)
	if err := os.Chmod(release+"/bin/buildout", 0o755); err != nil {
		t.Fatal(err)
	}
	testkit.WriteFile(t, n.configuration, fmt.Sprintf(`[slapos]
software_root = %[1]s/software
instance_root = %[1]s/instance
master_url = %[2]s
computer_id = local
root_check = false
instance_min_free_space = 0
agent_poll_periodicity = 1
agent_collect_periodicity = 0
pidfile_software = %[1]s/software.pid
pidfile_instance = %[1]s/instance.pid
pidfile_report = %[1]s/report.pid
[slapproxy]
host = 127.0.0.1
port = %[3]d
database_uri = %[1]s/proxy.db
`, root, n.url, port))
	n.start("master.log", master(n))
	if n.client, err = slap.NewClient(slap.ClientConfig{MasterURL: n.url}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.client.Close() })
	n.until("the master answers", func() bool {
		return n.client.Supply(t.Context(), agentRelease, "local", slap.StateAvailable) == nil
	})
	partitions := []any{}
	for i := range 2 {
		partitions = append(partitions, slap.Dict{
			"reference": fmt.Sprint("slappart", i), "address_list": []any{slap.Dict{"addr": fmt.Sprint("10.0.0.", i+1), "netmask": "255.255.255.255"}},
			"tap": slap.Dict{"name": fmt.Sprint("tap", i)},
		})
	}
	if _, err := n.client.LoadComputerConfiguration(t.Context(), slap.Dict{
		"reference": "local", "address": "127.0.0.1", "netmask": "255.255.255.255", "partition_list": partitions,
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.stopSupervisor)
	return n
}

func (n *agentNode) until(what string, done func() bool) {
	n.Helper()
	testkit.Eventually(n.T, testkit.Patience, what, done, func() any {
		text, _ := os.ReadFile(n.root + "/agent.log")
		return string(text)
	})
}

// start runs a program until the end of the test, or until it is killed.
func (n *agentNode) start(log string, command *exec.Cmd) *exec.Cmd {
	n.Helper()
	file, err := os.OpenFile(filepath.Join(n.root, log), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		n.Fatal(err)
	}
	defer file.Close()
	command.Stdout, command.Stderr = file, file
	if err := command.Start(); err != nil {
		n.Fatal(err)
	}
	n.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
	})
	return command
}

func (n *agentNode) agent() *exec.Cmd {
	n.Helper()
	return n.start("agent.log", exec.Command(n.program, "node", "agent", "--cfg", n.configuration))
}

func (n *agentNode) stopSupervisor() {
	if _, err := os.Stat(n.root + "/instance/var/run/supervisord.pid"); err == nil {
		_ = exec.Command(n.program, "node", "supervisorctl", "--cfg", n.configuration, "shutdown").Run()
		n.until("the supervisor has ended", func() bool {
			_, err := os.Stat(n.root + "/instance/var/run/supervisord.pid")
			return err != nil
		})
	}
}

func (n *agentNode) request(title string, state slap.State, parameter string) {
	n.Helper()
	_, err := n.client.Request(n.Context(), slap.Request{
		SoftwareRelease: agentRelease, Reference: title, State: state, Parameters: slap.Dict{"n": parameter}, SoftwareType: slap.DefaultSoftwareType,
	})
	if err != nil {
		n.Fatal(err)
	}
}

// status is what slapos node status --json prints.
func (n *agentNode) status() (told nodeStatus) {
	n.Helper()
	output, _ := exec.Command(n.program, "node", "status", "--json", "--cfg", n.configuration).Output() // 4 without a supervisor
	if err := json.NewDecoder(bytes.NewReader(output)).Decode(&told); err != nil {
		n.Fatalf("%s: %v", output, err)
	}
	return told
}

func (n *agentNode) running() (names []string) {
	for _, service := range n.status().Services {
		if service.State == "RUNNING" && service.Partition != "watchdog" {
			names = append(names, service.Partition)
		}
	}
	return names
}

// A master of slapos.core is polled (AGENT-2).
func TestAgentOtherMaster(t *testing.T) {
	t.Parallel()
	python := testkit.Python(t)
	n := newAgentNode(t, func(n *agentNode) *exec.Cmd {
		return exec.Command(python, "-W", "ignore", filepath.Join(filepath.Dir(python), "slapos"), "proxy", "start", "--cfg", n.configuration)
	})
	n.agent()
	n.request("first", slap.StateStarted, "")
	n.until("it runs", func() bool { return len(n.running()) == 1 })
	if told := n.status(); told.Agent == nil || told.Agent.Master.Mode != "poll" || told.Agent.Master.Every != 1 {
		t.Errorf("%+v", told.Agent)
	}
	n.request("first", slap.StateStopped, "")
	n.until("it is stopped", func() bool { return len(n.running()) == 0 })
	n.request("first", slap.StateDestroyed, "")
	n.until("it is destroyed", func() bool {
		entries, err := os.ReadDir(n.root + "/instance/slappart0")
		return err == nil && len(entries) == 0
	})
}

// An agent that is killed at any moment goes on when it is started again, and leaves no
// service behind.
func TestAgentKilled(t *testing.T) {
	t.Parallel()
	n := newAgentNode(t, func(n *agentNode) *exec.Cmd {
		return exec.Command(n.program, "proxy", "start", "--cfg", n.configuration)
	})
	for round := range testkit.Rounds(12) {
		agent := n.agent()
		state := []slap.State{slap.StateStarted, slap.StateStarted, slap.StateStopped, slap.StateDestroyed}[round%4]
		n.request("first", state, fmt.Sprint(round))
		testkit.Watch(t, time.Duration(rand.IntN(400))*time.Millisecond)
		_ = agent.Process.Kill()
		_ = agent.Wait()
	}
	n.request("first", slap.StateStarted, "end")
	n.request("second", slap.StateStarted, "end")
	n.agent()
	n.until("both run", func() bool { return len(n.running()) == 2 })
	n.request("first", slap.StateDestroyed, "")
	n.request("second", slap.StateDestroyed, "")
	n.until("both are destroyed", func() bool {
		for _, name := range []string{"slappart0", "slappart1"} {
			if entries, err := os.ReadDir(n.root + "/instance/" + name); err != nil || len(entries) > 0 {
				return false
			}
		}
		return len(n.running()) == 0
	})
	if log := testkit.ReadFile(t, n.root+"/agent.log"); strings.Contains(log, "goroutine") || strings.Contains(log, "panic") {
		t.Error(log)
	}
}
