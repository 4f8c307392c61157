// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap/testkit"
)

// newNode makes an instance root with a configuration; its supervisor stops at
// the end of the test.
func newNode(t *testing.T) (Layout, *bytes.Buffer) {
	t.Helper()
	root, err := os.MkdirTemp("", "sv")
	must(t, err)
	log := new(bytes.Buffer)
	l := Layout{InstanceRoot: root, Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	must(t, WriteConfiguration(l, ""))
	t.Cleanup(func() {
		client := NewClient(l.Socket())
		defer client.Close()
		ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
		defer cancel()
		if client.Shutdown(ctx) == nil {
			testkit.Await(ctx, testkit.Patience, func() bool { return !exists(l.PIDFile()) })
		}
		if t.Failed() {
			data, _ := os.ReadFile(l.path("var", "log", "supervisord.log"))
			t.Logf("log of the supervisor:\n%s", data)
		}
		os.RemoveAll(root)
	})
	return l, log
}

func launch(t *testing.T, l Layout) error {
	t.Helper()
	return Launch(t.Context(), l, LaunchOptions{Executable: testExecutable(), Logger: l.Logger, shutdownPause: 500 * time.Millisecond})
}

func readPID(t *testing.T, l Layout) int {
	t.Helper()
	data, err := os.ReadFile(l.PIDFile())
	must(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	must(t, err)
	return pid
}

func TestLaunch(t *testing.T) {
	t.Parallel()
	l, log := newNode(t)
	must(t, launch(t, l))
	pid := readPID(t, l)
	client := NewClient(l.Socket())
	defer client.Close()
	if value, err := client.Call(t.Context(), "supervisor.getPID"); value != pid || err != nil {
		t.Errorf("process %v, %v", value, err)
	}
	environ, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if len(environ) != 0 || err != nil {
		t.Errorf("environment %q, %v", environ, err)
	}
	line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if !bytes.Contains(line, []byte("supervisord")) || err != nil { // CLI-106
		t.Errorf("command line %q, %v", line, err)
	}
	if session, err := unix.Getsid(pid); session != pid || err != nil {
		t.Errorf("session %d, %v", session, err)
	}
	if info, err := client.ProcessInfo(t.Context(), "watchdog"); err != nil || info.Statename == "RUNNING" {
		t.Errorf("watchdog is %+v, %v", info, err)
	}
	// The next run knows the watchdog's command (GRID-75).
	must(t, WriteConfiguration(l, "/bin/sh -c 'exec sleep 1000'"))
	testkit.Eventually(t, testkit.Patience, "the watchdog has a process", func() bool {
		must(t, launch(t, l))
		info, err := client.ProcessInfo(t.Context(), "watchdog")
		must(t, err)
		return info.Pid != 0
	})
	// A running watchdog is left alone.
	running, err := client.ProcessInfo(t.Context(), "watchdog")
	must(t, err)
	must(t, launch(t, l))
	if info, err := client.ProcessInfo(t.Context(), "watchdog"); err != nil || info.Pid != running.Pid {
		t.Errorf("watchdog is %+v, was %+v, %v", info, running, err)
	}
	if readPID(t, l) != pid || strings.Count(log.String(), "Launching supervisord") != 1 || !strings.Contains(log.String(), "Supervisord already running.") {
		t.Errorf("launched again: %s", log)
	}
}

// TestLaunchTogether starts the supervisor from several runs at once.
func TestLaunchTogether(t *testing.T) {
	t.Parallel()
	pgrep := testkit.Program(t, "pgrep", "procps")
	l, _ := newNode(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := Launch(t.Context(), Layout{InstanceRoot: l.InstanceRoot}, LaunchOptions{Executable: testExecutable(), Logger: slog.New(slog.DiscardHandler)}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if lines, err := exec.Command(pgrep, "-f", "^supervisord -c "+l.ConfigFile()).Output(); strings.Count(string(lines), "\n") != 1 {
		t.Errorf("supervisors %q, %v", lines, err)
	}
}

func TestLaunchFailure(t *testing.T) {
	t.Parallel()
	l, _ := newNode(t)
	must(t, os.WriteFile(filepath.Join(l.ConfigDir(), "x.conf"), []byte("[program:a b]\ncommand=x\n"), 0o600))
	err := launch(t, l)
	if err == nil || !strings.HasPrefix(err.Error(), "Failed to launch supervisord:\n") || !strings.Contains(err.Error(), "x.conf") {
		t.Errorf("error %v", err)
	}
	if exists(l.PIDFile()) || exists(l.Socket()) {
		t.Error("something is left")
	}
	must(t, os.Remove(l.ConfigFile()))
	if err := launch(t, l); err == nil || !strings.Contains(err.Error(), l.ConfigFile()+" is missing: slapos node supervisord") {
		t.Errorf("without a configuration: %v", err)
	}
}

// TestLaunchWaits checks that Launch waits for a supervisor that is shutting
// down, and replaces a stale socket.
func TestLaunchWaits(t *testing.T) {
	t.Parallel()
	l, log := newNode(t)
	must(t, os.WriteFile(filepath.Join(l.ConfigDir(), "slow.conf"),
		[]byte("[program:slow]\ncommand=sh -c 'trap \"\" TERM; echo up; sleep 1000'\nstartsecs=0\nstopwaitsecs=1\nkillasgroup=true\nstdout_logfile=%(here)s/slow.log\n"), 0o600))
	must(t, launch(t, l))
	first := readPID(t, l)
	testkit.Eventually(t, testkit.Patience, "slow is up", func() bool {
		data, _ := os.ReadFile(filepath.Join(l.ConfigDir(), "slow.log"))
		return len(data) > 0
	})
	client := NewClient(l.Socket())
	defer client.Close()
	must(t, client.Shutdown(t.Context()))
	if _, _, err := client.State(t.Context()); !isFault(err, FaultShutdownState) {
		t.Errorf("state while shutting down: %v", err)
	}
	must(t, launch(t, l))
	if second := readPID(t, l); second == first || !strings.Contains(log.String(), "in shutdown procedure") {
		t.Errorf("supervisor %d after %d: %s", second, first, log)
	}
	pid := readPID(t, l)
	must(t, unix.Kill(pid, unix.SIGKILL))
	testkit.Eventually(t, testkit.Patience, "the killed supervisor is dead", func() bool { return !alive(pid) })
	must(t, launch(t, l))
}

// TestStopSecond keeps the supervisor on the old socket (GRID-71).
func TestStopSecond(t *testing.T) {
	t.Parallel()
	l, log := newNode(t)
	must(t, launch(t, l))
	second := readPID(t, l)
	python := newSupervisor(t, "")
	python.python = true
	python.start()
	must(t, os.Symlink(python.path("sv.sock"), filepath.Join(l.InstanceRoot, "supervisord.socket")))
	must(t, launch(t, l))
	testkit.Eventually(t, testkit.Patience, "the second supervisor has ended", func() bool { return !alive(second) })
	if !strings.Contains(log.String(), "We have two supervisord running") {
		t.Error(log)
	}
	must(t, os.Remove(filepath.Join(l.InstanceRoot, "supervisord.socket")))
}

// TestPartitionLife takes a partition through its life with the calls that the
// agent makes.
func TestPartitionLife(t *testing.T) {
	t.Parallel()
	l, _ := newNode(t)
	must(t, launch(t, l))
	client := NewClient(l.Socket())
	defer client.Close()
	group := makePartition(t, l, "slappart0", []string{"runner"}, []string{"service"})
	for i := range group.Programs {
		group.Programs[i].UID, group.Programs[i].GID = os.Geteuid(), os.Getegid()
	}
	changed, err := l.WriteGroup("slappart0", group)
	if !changed || err != nil {
		t.Fatal(changed, err)
	}
	update(t, l.Socket())
	must(t, client.StartGroup(t.Context(), "slappart0"))
	service, err := client.ProcessInfo(t.Context(), "slappart0:service-on-watch")
	if err != nil || service.Statename != "RUNNING" {
		t.Fatalf("service is %+v, %v", service, err)
	}
	if _, err := client.ProcessInfo(t.Context(), "slappart0:runner"); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(filepath.Join(group.Directory, ".slappart0_service.log")); err != nil || info.Mode() != 0o644 {
		t.Errorf("log %v, %v", info, err)
	}
	removed, err := l.RemoveGroup("slappart0")
	if !removed || err != nil {
		t.Fatal(removed, err)
	}
	update(t, l.Socket())
	if err := client.StartGroup(t.Context(), "slappart0"); !isFault(err, FaultBadName) {
		t.Errorf("start of a removed group: %v", err)
	}
	if alive(service.Pid) {
		t.Error("the service runs")
	}
	infos, err := client.AllProcessInfo(t.Context())
	if len(infos) != 1 || infos[0].Name != "watchdog" || err != nil {
		t.Errorf("processes %v, %v", infos, err)
	}
}

// TestOriginalAgent checks that the original's agent finds our supervisor,
// repairs its watchdog and makes it follow a change (D-5). GRID-76.
func TestOriginalAgent(t *testing.T) {
	t.Parallel()
	l, _ := newNode(t)
	must(t, launch(t, l))
	pid := readPID(t, l)
	group := makePartition(t, l, "slappart0", []string{"runner"}, []string{"service"})
	for i := range group.Programs {
		group.Programs[i].UID, group.Programs[i].GID = os.Geteuid(), os.Getegid()
	}
	script := `
import logging, os, sys, time
logging.basicConfig(level=logging.DEBUG)
from slapos.grid import svcbackend
root, action = sys.argv[1:]
logger = logging.getLogger()
socket = svcbackend._getSupervisordSocketPath(root, logger)
if action == 'launch':
  with svcbackend.getSupervisorRPC(socket) as supervisor:
    while supervisor.getProcessInfo('watchdog')['statename'] != 'FATAL':
      time.sleep(.05)
  svcbackend.launchSupervisord(root, logger)
  with svcbackend.getSupervisorRPC(socket) as supervisor:
    info = supervisor.getProcessInfo('watchdog')
    assert info['statename'] in ('STARTING', 'RUNNING'), info
else:
  with svcbackend.getSupervisorRPC(socket) as supervisor:
    added, changed, removed = supervisor.reloadConfig()[0]
    assert (added, changed, removed) == (['slappart0'], [], []), (added, changed, removed)
    supervisor.addProcessGroup('slappart0')
    supervisor.startProcessGroup('slappart0', False)
    for info in supervisor.getAllProcessInfo():
      assert info['group'] == 'watchdog' or info['statename'] == 'RUNNING', info
`
	agent := func(action string) {
		t.Helper()
		out, err := exec.Command(testkit.Python(t), "-c", script, l.InstanceRoot, action).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", action, err, out)
		}
	}
	must(t, WriteConfiguration(l, "/bin/sh -c 'exec sleep 1000'"))
	agent("launch")
	_, err := l.WriteGroup("slappart0", group)
	must(t, err)
	agent("start")
	if readPID(t, l) != pid {
		t.Error("another supervisor was started")
	}
}
