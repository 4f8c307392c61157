// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"testing"

	"slapos/grid/testenv"
	"slapos/manager"
	"slapos/slap"
	"slapos/slap/testkit"
)

// A testManager records the calls of its hooks, and fails on demand.
type testManager struct {
	manager.Manager
	mu      sync.Mutex
	calls   []string
	fail    string
	program string // of the group that partitions get
	asRoot  bool   // who runs that
}

func (m *testManager) hook(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, name)
	if name == m.fail {
		return errors.New("manager failed")
	}
	return nil
}

func (m *testManager) Instance(_ context.Context, p *manager.Partition) error {
	return m.hook("instance " + p.ID)
}

// InstanceTearDown gives a group of its own to started partitions.
func (m *testManager) InstanceTearDown(ctx context.Context, p *manager.Partition) error {
	if err := m.hook("tear down " + p.ID); err != nil || m.program == "" {
		return err
	}
	program := manager.Program{Name: "helper", Command: m.program, UID: p.UID, GID: p.GID}
	if m.asRoot {
		program.UID, program.GID = 0, 0
	}
	if err := p.Supervisor.SetGroup(ctx, "extra", []manager.Program{program}); err != nil {
		return err
	}
	if fresh, err := p.Supervisor.NeverStarted(ctx, "extra", "helper"); err != nil || !fresh {
		return err
	}
	return p.Supervisor.Start(ctx, "extra", "helper")
}

// MGR-3, MGR-4.
func TestPassManagers(t *testing.T) {
	n := newInstanceNode(t, "slappart0", "slappart1", "slappart2")
	m := &testManager{}
	n.Pass.Managers = []manager.Manager{m}
	n.process(0)
	n.DeployWith("exit 1")
	n.Touch("slappart1")
	n.Change("slappart2", func(p *slap.Partition) { p.RequestedState = slap.StateDestroyed })
	n.Touch("slappart2")
	m.calls = nil
	n.process(1)
	want := []string{"instance slappart0", "tear down slappart0", "instance slappart1", "tear down slappart1", "instance slappart2", "tear down slappart2"}
	if !slices.Equal(m.calls, want) {
		t.Errorf("hooks %q, want %q", m.calls, want)
	}
	n.DeployWith("")
	m.calls, m.fail = nil, "tear down slappart1"
	n.process(1)
	if testkit.Exists(n.At("slappart1", ".timestamp")) {
		t.Error("a timestamp though the manager failed")
	}
	m.calls, m.fail = nil, "instance slappart1"
	n.DeployWith("touch deployed")
	n.process(1)
	if slices.Contains(m.calls, "tear down slappart1") || testkit.Exists(n.At("slappart1", "deployed")) {
		t.Errorf("hooks %q, or it was deployed", m.calls)
	}
	// Promises alone and a pass without the master call no hooks.
	m.calls, m.fail = nil, ""
	if _, err := n.promises(); err != nil {
		t.Error(err)
	}
	n.Master.Set(func() { n.Master.Status["getFullComputerInformation"] = http.StatusServiceUnavailable })
	n.process(3)
	if m.calls != nil {
		t.Errorf("hooks of promises and without master: %q", m.calls)
	}
}

// A manager's program of root has root's environment, as from slapos.core (MGR-32).
func TestPassManagerProgramOfRoot(t *testing.T) {
	testkit.Root(t)
	n := newInstanceNode(t, "slappart0")
	n.Pass.Managers = []manager.Manager{&testManager{program: "/bin/sleep 1000", asRoot: true}}
	n.process(0)
	root, err := user.LookupId("0")
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("user=0\ngroup=0\n.*environment=USER=\"%s\",LOGNAME=\"%[1]s\",HOME=\"%s\"\n", root.Username, root.HomeDir)
	if text := testkit.ReadFile(t, filepath.Join(n.Layout().ConfigDir(), "slappart0-extra.conf")); !regexp.MustCompile("(?s)" + want).MatchString(text) {
		t.Errorf("no %q in\n%s", want, text)
	}
}

// MGR-5.
func TestPassManagerGroups(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	n.DeployWith(testenv.Service("service", "web", "exec sleep 1000"))
	m := &testManager{program: "/bin/sleep 1000"}
	n.Pass.Managers = []manager.Manager{m}
	n.process(0)
	n.ExpectRunning("slappart0-extra:helper", "slappart0:web-on-watch")
	helper := n.Processes()["slappart0-extra:helper"].Pid
	n.Touch("slappart0")
	n.process(0)
	n.ExpectRunning("slappart0-extra:helper", "slappart0:web-on-watch")
	if got := n.Processes()["slappart0-extra:helper"].Pid; got != helper {
		t.Error("the manager's program was restarted")
	}
	// Groups that no manager set are removed, even when promises fail.
	old := filepath.Join(n.Layout().ConfigDir(), "slappart0-old.conf")
	testkit.WriteFile(t, old, "[program:slappart0-old]\ncommand=/bin/sleep 1000\nautostart=true\n")
	n.DeployWith(testenv.Service("promise", "check", "exit 1"))
	n.Touch("slappart0")
	n.process(2)
	n.ExpectRunning("slappart0-extra:helper", "slappart0:web-on-watch")
	if testkit.Exists(old) {
		t.Error("a group of nobody is left")
	}
	n.DeployWith("rm -rf etc/promise")
	n.process(0)
	m.program = ""
	n.process(0) // unchanged: nothing is written (MGR-33)
	n.ExpectRunning("slappart0-extra:helper", "slappart0:web-on-watch")
	n.Touch("slappart0")
	n.process(0)
	n.ExpectRunning("slappart0:web-on-watch")
}
