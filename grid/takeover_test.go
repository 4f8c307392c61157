package grid

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"slapos/grid/supervisor"
	"slapos/grid/testenv"
	"slapos/slap"
)

// TestPythonSupervisor runs the passes on a node where supervisord of Python is
// at work, as on one that was just switched over: it stays, and follows (D-5).
// Once it was killed, ours takes its services over.
func TestPythonSupervisor(t *testing.T) {
	n := newInstanceNode(t, "slappart0", "slappart1")
	if err := supervisor.WriteConfiguration(n.layout(), ""); err != nil {
		t.Fatal(err)
	}
	python := exec.Command(filepath.Join(filepath.Dir(testenv.Python(t)), "supervisord"), "-n", "-c", n.layout().ConfigFile())
	if err := python.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- python.Wait() }()
	t.Cleanup(func() { python.Process.Kill() })
	client := supervisor.NewClient(n.layout().Socket())
	defer client.Close()
	n.waitFor("Python's supervisor answers", func() bool {
		_, _, err := client.State(context.Background())
		return err == nil
	})
	n.deployWith(service("service", "web", "exec sleep 1000") + service("run", "job", "exec sleep 1000"))
	n.process(0)
	n.expectRunning("slappart0:job", "slappart0:web-on-watch", "slappart1:job", "slappart1:web-on-watch")
	before := n.processes()
	n.deployWith("rm etc/run/job")
	n.touch("slappart0")
	n.change("slappart1", func(p *slap.Partition) { p.RequestedState = slap.StateStopped })
	n.touch("slappart1")
	n.process(0)
	n.expectRunning("slappart0:web-on-watch")
	web := n.processes()["slappart0:web-on-watch"]
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
	n.expectRunning("slappart0:web-on-watch")
	if now := n.processes()["slappart0:web-on-watch"]; now.Pid != web.Pid {
		t.Errorf("the service was process %d, is %d", web.Pid, now.Pid)
	}
	if found := servicesOf(n, "slappart0"); len(found) != 1 {
		t.Errorf("processes %v", found)
	}
}
