// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"slapos/grid/firewall"
	"slapos/grid/supervisor"
	"slapos/grid/testenv"
	"slapos/slap"
	"slapos/slap/testkit"
)

// TestPythonSupervisor runs the passes on a node with a running supervisord of
// Python, as on one that has just switched: it stays, and follows (D-5). Once
// it is killed, ours takes over its services.
func TestPythonSupervisor(t *testing.T) {
	n := newInstanceNode(t, "slappart0", "slappart1")
	if err := supervisor.WriteConfiguration(n.Layout(), ""); err != nil {
		t.Fatal(err)
	}
	python := exec.Command(filepath.Join(filepath.Dir(testkit.Python(t)), "supervisord"), "-n", "-c", n.Layout().ConfigFile())
	python.Env = append(os.Environ(), "TMPDIR="+t.TempDir()) // for the logs of programs that name none
	if err := python.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- python.Wait() }()
	t.Cleanup(func() { python.Process.Kill() })
	client := supervisor.NewClient(n.Layout().Socket())
	defer client.Close()
	n.waitFor("Python's supervisor answers", func() bool {
		_, _, err := client.State(context.Background())
		return err == nil
	})
	n.DeployWith(testenv.Service("service", "web", "exec sleep 1000") + testenv.Service("run", "job", "exec sleep 1000"))
	n.process(0)
	n.ExpectRunning("slappart0:job", "slappart0:web-on-watch", "slappart1:job", "slappart1:web-on-watch")
	before := n.Processes()
	n.DeployWith("rm etc/run/job")
	n.Touch("slappart0")
	n.Change("slappart1", func(p *slap.Partition) { p.RequestedState = slap.StateStopped })
	n.Touch("slappart1")
	n.process(0)
	n.ExpectRunning("slappart0:web-on-watch")
	web := n.Processes()["slappart0:web-on-watch"]
	if web.Pid == before["slappart0:web-on-watch"].Pid {
		t.Error("the changed group was not started again")
	}
	if pid, err := client.Call(context.Background(), "supervisor.getPID"); err != nil || pid != python.Process.Pid {
		t.Errorf("the supervisor is %v, was %d: %v", pid, python.Process.Pid, err)
	}

	python.Process.Kill()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("Python's supervisor can't be killed")
	}
	client.Close()
	n.process(0)
	n.ExpectRunning("slappart0:web-on-watch")
	if now := n.Processes()["slappart0:web-on-watch"]; now.Pid != web.Pid {
		t.Errorf("the service was process %d, is %d", web.Pid, now.Pid)
	}
	if found := servicesOf(n, "slappart0"); len(found) != 1 {
		t.Errorf("processes %v", found)
	}
}

// TestSystemDaemons has the supervisor run the firewall's daemons while the
// configuration names them (GRID-78).
func TestSystemDaemons(t *testing.T) {
	n := newInstanceNode(t)
	n.options.Firewall = &firewall.Options{
		Executable: "/usr/sbin/firewalld --nofork", DBusExecutable: "/usr/bin/dbus-daemon --nofork", LogFile: "/var/log/fire%.log", DBusLogFile: "/var/log/dbus.log", Testing: true,
	}
	files := map[string]string{"firewall.conf": "", "dbus.conf": ""}
	write := func() {
		t.Helper()
		n.Supervisor.Daemons = n.options.Firewall.Daemons()
		p := newPass(n.passOptions())
		defer p.close()
		if err := p.supervision.WriteConfiguration(t.Context()); err != nil {
			t.Fatal(err)
		}
		for name := range files {
			content, _ := os.ReadFile(filepath.Join(n.Layout().ConfigDir(), name))
			files[name] = string(content)
		}
	}
	if write(); files["firewall.conf"] != "" || files["dbus.conf"] != "" {
		t.Errorf("written for a test: %v", files)
	}
	n.options.Firewall.Testing = false
	write()
	for name, want := range map[string]string{
		"firewall.conf": "[program:firewall]\ndirectory=/opt/slapos\ncommand=/usr/sbin/firewalld --nofork\nprocess_name=firewall\npriority=5\nautostart=true\n",
		"dbus.conf":     "[program:dbus]\ndirectory=/opt/slapos\ncommand=/usr/bin/dbus-daemon --nofork\nprocess_name=dbus\npriority=1\nautostart=true\n",
	} {
		if !strings.HasPrefix(files[name], want) {
			t.Errorf("%s is\n%s", name, files[name])
		}
	}
	if !strings.Contains(files["firewall.conf"], "\nstdout_logfile=/var/log/fire%%%%.log\n") || !strings.Contains(files["dbus.conf"], "\nstderr_logfile=/var/log/dbus.log\n") {
		t.Errorf("logs of %v", files)
	}
	n.options.Firewall.DBusExecutable = ""
	if write(); files["firewall.conf"] == "" || files["dbus.conf"] != "" {
		t.Errorf("one without a command: %v", files)
	}
	n.options.Firewall = nil
	if write(); files["firewall.conf"] != "" {
		t.Errorf("without a firewall: %v", files)
	}
}

// TestRequestsRefused has a partition make requests that the master rejects:
// that is no reason to work offline.
func TestRequestsRefused(t *testing.T) {
	n := newInstanceNode(t, "slappart0", "slappart1")
	n.DeployWith(`echo reference > .slapos-request-transaction-$(basename $PWD)`)
	n.Master.Set(func() {
		n.Master.Refuse = func(call testenv.Call) int {
			if call.Path == "updateComputerPartitionRelatedInstanceList" && call.Form.Get("computer_partition_id") == "slappart0" {
				return 500
			}
			return 0
		}
	})
	result := n.process(1)
	if result.Offline || len(result.Failed) != 1 || result.Failed[0].Item != "slappart0" || !testkit.Exists(n.At("slappart1", timestampFile)) {
		t.Errorf("result %+v", result)
	}
}
