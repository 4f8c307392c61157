// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"slapos/grid/pass"
	"slapos/grid/software"
	"slapos/grid/supervision"
	"slapos/grid/supervisor"
	"slapos/grid/testenv"
	"slapos/slap"
	"slapos/slap/testkit"
)

const killedMarker = "SLAPOS_TEST_KILLED"

// TestKilledAgent kills the agent at random moments of its passes, again and
// again, and sometimes the supervisor. Wherever the kill came, an undisturbed
// pass finishes the work: releases are complete, services run once, no two
// builds ever overlapped, nothing is left behind. SLAPOS_TEST_KILLS says how
// often to kill; default: 18.
func TestKilledAgent(t *testing.T) {
	if root := os.Getenv(killedMarker); root != "" {
		runKilledAgent(t, root)
		return
	}
	kills, _ := strconv.Atoi(os.Getenv("SLAPOS_TEST_KILLS"))
	if kills == 0 {
		kills = 18
	}
	n := newInstanceNode(t, "slappart0", "slappart1")
	base := n.Base()
	double := filepath.Join(base, "double")
	// A build holds a lock as long as any of its processes lives.
	alone := "exec 9>>lock; flock -n 9 || echo $PWD >> " + double + "; sleep 0.05 & wait; "
	n.BootstrapWith(alone + "true")
	n.BuildWith(alone + "true")
	// It must be complete, or a pass after one that was killed during its build
	// would bootstrap it again and replace the script of deployWith.
	testkit.WriteFile(t, n.Path(testenv.Release, ".completed"), "")
	testkit.WriteFile(t, double, "")
	os.Chmod(double, 0o666)
	agent := killedAgent{t: t, root: base}
	for round := 0; agent.kills < kills; round++ {
		url := fmt.Sprint("http://release/", round)
		n.Want(slap.StateAvailable, testenv.Release, url)
		state := []slap.State{slap.StateStarted, slap.StateStarted, slap.StateStopped}[round%3]
		// Replace the whole file: a shell may be about to read the old one.
		n.DeployWith(alone + `mkdir -p etc/service etc/run
for file in etc/service/web etc/run/job` + fmt.Sprint(round/3) + `; do
  printf '#!/bin/sh\nexec sleep 1000\n' > new; chmod 755 new; mv new $file
done`)
		n.Touch("slappart0")
		n.Change("slappart0", func(p *slap.Partition) { p.RequestedState = state })
		n.Master.Set(func() { n.Pass.MasterURL = n.Master.URL })
		unchanged := 0
		if round > 0 {
			unchanged = n.Processes()["slappart1:web-on-watch"].Pid
		}
		for range 3 {
			agent.runAndKill(n.Master.URL)
			if rand.N(4) == 0 {
				agent.killSupervisor(n)
			}
		}
		agent.run(n.Master.URL)
		n.checkConverged(url, state, unchanged)
		if got := testkit.ReadFile(t, double); got != "" {
			t.Errorf("builds ran at the same time in %s", got)
		}
		if t.Failed() {
			t.Fatalf("after round %d, %d kills\n%s", round, agent.kills, agent.output)
		}
	}
	t.Logf("killed %d times", agent.kills)
}

// checkConverged checks a node after an undisturbed pass. unchanged is the
// process of the partition that the master doesn't change, 0 at first.
func (n *instanceNode) checkConverged(url string, state slap.State, unchanged int) {
	n.T.Helper()
	if !testkit.Exists(n.Path(url, ".completed")) {
		n.T.Errorf("%s is not complete", url)
	}
	want := map[string]bool{"slappart1:web-on-watch": true}
	if state == slap.StateStarted {
		want["slappart0:web-on-watch"] = true
	}
	n.waitFor("services run", func() bool {
		for name := range want {
			if n.Processes()[name].Statename != "RUNNING" {
				return false
			}
		}
		return true
	})
	processes := n.Processes()
	if n.T.Failed() {
		n.T.Errorf("processes %+v", processes)
	}
	for name, info := range processes {
		if strings.HasPrefix(name, "slappart0:") && state != slap.StateStarted {
			n.T.Errorf("%s is known although the partition is stopped: %+v", name, info)
		}
	}
	if now := processes["slappart1:web-on-watch"].Pid; unchanged != 0 && now != unchanged {
		n.T.Errorf("the service of the unchanged partition was process %d, is %d", unchanged, now)
	}
	for _, partition := range []string{"slappart0", "slappart1"} {
		known := 0
		for name, info := range processes {
			if strings.HasPrefix(name, partition+":") && info.Statename == "RUNNING" {
				known++
			}
		}
		n.waitFor("as many processes as the supervisor knows", func() bool { return len(servicesOf(n, partition)) == known })
	}
	for _, name := range []string{"slappart0", "slappart1"} {
		if !testkit.Exists(n.At(name, timestampFile)) {
			n.T.Errorf("%s has no timestamp", name)
		}
	}
}

func (n *instanceNode) waitFor(what string, condition func() bool) {
	n.T.Helper()
	testkit.Eventually(n.T, testkit.Patience, what, condition)
}

// servicesOf finds the living processes that the node's supervisors started for
// a partition, known to the current one or not.
func servicesOf(n *instanceNode, partition string) (pids []int) {
	paths, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range paths {
		environ, err := os.ReadFile(path)
		variables := "\x00" + string(environ)
		if err == nil && strings.Contains(variables, "\x00SUPERVISOR_SERVER_URL=unix://"+n.Layout().Socket()+"\x00") &&
			strings.Contains(variables, "\x00SUPERVISOR_GROUP_NAME="+partition+"\x00") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// A killedAgent runs both passes in its own process.
type killedAgent struct {
	t      *testing.T
	root   string
	kills  int
	output string
}

// start starts the passes, which send each line of their log to lines.
func (a *killedAgent) start(master string, line func()) (*exec.Cmd, chan error) {
	a.t.Helper()
	command := exec.Command("/proc/self/exe", "-test.run=^TestKilledAgent$", "-test.v")
	command.Env = append(os.Environ(), killedMarker+"="+a.root, "SLAPOS_TEST_MASTER="+master, "TMPDIR="+testenv.Directory(a.t))
	read, write, err := os.Pipe()
	if err != nil {
		a.t.Fatal(err)
	}
	command.Stdout, command.Stderr = write, write
	if err := command.Start(); err != nil {
		a.t.Fatal(err)
	}
	write.Close()
	ended := make(chan error, 1)
	go func() {
		var output strings.Builder
		for lines := bufio.NewScanner(read); lines.Scan(); {
			output.WriteString(lines.Text() + "\n")
			line()
		}
		read.Close()
		err := command.Wait()
		a.output = output.String()
		ended <- err
	}()
	return command, ended
}

// runAndKill kills the agent after a random time or log line.
func (a *killedAgent) runAndKill(master string) {
	a.t.Helper()
	var lines atomic.Int64
	reached := make(chan struct{}, 1)
	at := int64(10 + rand.N(110))
	command, ended := a.start(master, func() {
		if lines.Add(1) == at {
			reached <- struct{}{}
		}
	})
	timer := time.NewTimer(time.Duration(50+rand.N(1500)) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-reached:
	case err := <-ended:
		if err != nil {
			a.t.Fatalf("the agent failed: %v\n%s", err, a.output)
		}
		return
	}
	if command.Process.Kill() == nil {
		a.kills++
	}
	<-ended
}

func (a *killedAgent) run(master string) {
	a.t.Helper()
	if _, ended := a.start(master, func() {}); <-ended != nil {
		a.t.Fatalf("the agent failed\n%s", a.output)
	}
}

// killSupervisor kills the supervisor but not its services.
func (a *killedAgent) killSupervisor(n *instanceNode) {
	content, err := os.ReadFile(n.Layout().PIDFile())
	if err != nil {
		return
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err == nil && pid > 1 && syscall.Kill(pid, syscall.SIGKILL) == nil {
		a.kills++
	}
}

// runKilledAgent is the program of that agent.
func runKilledAgent(t *testing.T, root string) {
	master := os.Getenv("SLAPOS_TEST_MASTER")
	client, err := slap.NewClient(slap.ClientConfig{MasterURL: master})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	node := pass.Node{
		ComputerID: testenv.Computer, MasterURL: master, Master: client,
		SoftwareRoot: filepath.Join(root, "software"), InstanceRoot: filepath.Join(root, "instance"),
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})), Jobs: 2,
		Environment: []string{"PATH=" + os.Getenv("PATH")},
		Python:      filepath.Join(root, "python"), Buildout: filepath.Join(root, "bootstrap"),
	}
	supervisor := supervision.Options{Executable: executable}
	result, err := software.Pass(context.Background(), software.Options{Node: node, Supervisor: supervisor, MinFreeSpace: 1})
	if err != nil || result.ExitCode() != 0 {
		t.Fatal(result, err)
	}
	result, err = Pass(context.Background(), Options{Node: node, Supervisor: supervisor, MinFreeSpace: 1, MaximumPeriodicity: -1})
	if err != nil || result.ExitCode() != 0 {
		t.Fatal(result, err)
	}
}

// TestServicesComeBack stops the supervisor of a node, as a reboot does, then
// kills it. An unchanged partition gets its services back, once; what was
// stopped by hand stays stopped.
func TestServicesComeBack(t *testing.T) {
	n := newInstanceNode(t, "slappart0", "slappart1")
	n.DeployWith(testenv.Service("service", "web", "exec sleep 1000"))
	n.process(0)
	n.StopSupervisor()
	n.process(0)
	n.ExpectRunning("slappart0:web-on-watch", "slappart1:web-on-watch")
	client := supervisor.NewClient(n.Layout().Socket())
	defer client.Close()
	if err := client.StopProcess(t.Context(), "slappart1:web-on-watch"); err != nil {
		t.Fatal(err)
	}
	before := n.Processes()["slappart0:web-on-watch"].Pid
	(&killedAgent{t: t}).killSupervisor(n)
	n.process(0)
	n.process(0)
	n.waitFor("the services run once", func() bool {
		return len(servicesOf(n, "slappart0")) == 1 && len(servicesOf(n, "slappart1")) == 1
	})
	if now := n.Processes()["slappart0:web-on-watch"].Pid; now != before {
		t.Errorf("a service that outlived the supervisor was process %d, is %d", before, now)
	}
	if err := client.StopProcess(t.Context(), "slappart1:web-on-watch"); err != nil {
		t.Fatal(err)
	}
	n.process(0)
	n.ExpectRunning("slappart0:web-on-watch")
}
