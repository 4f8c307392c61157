// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"slapos/manager"
	"slapos/slap"
	"slapos/slap/testkit"
)

// A testManager records its hooks, and fails where it is told to.
type testManager struct {
	manager.Manager
	mu      sync.Mutex
	calls   []string
	fail    string
	program string // of the group that partitions get
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

func (m *testManager) Software(_ context.Context, s *manager.Software) error {
	return m.hook("software " + s.URL)
}
func (m *testManager) SoftwareTearDown(_ context.Context, s *manager.Software) error {
	return m.hook("tear down " + s.URL)
}

// MGR-3, MGR-4.
func TestSoftwarePassManagers(t *testing.T) {
	n := newSoftwareNode(t)
	m := &testManager{}
	n.options.Managers = []manager.Manager{m}
	a, b := testRelease, "http://release/b.cfg"
	n.want(slap.StateAvailable, a, b)
	n.options.Only = []string{a}
	n.run(0)
	if want := []string{"software " + a, "tear down " + a, "software " + b, "tear down " + b}; !slices.Equal(m.calls, want) {
		t.Errorf("hooks %q, want %q", m.calls, want)
	}
	m.calls, m.fail, n.options.Only, n.options.Force = nil, "software "+a, nil, true
	n.master.take()
	n.run(1)
	if want := []string{"software " + a, "software " + b, "tear down " + b}; !slices.Equal(m.calls, want) {
		t.Errorf("hooks %q, want %q", m.calls, want)
	}
	// The release fails before anything else is done.
	n.master.expect(t, false, "getFullComputerInformation", "softwareReleaseError "+a, "buildingSoftwareRelease "+b, "availableSoftwareRelease "+b)
	// Those that are to be removed are told of, too.
	m.calls, m.fail, n.options.Force = nil, "", false
	n.want(slap.StateDestroyed, a)
	n.run(0)
	if want := []string{"software " + a, "tear down " + a}; !slices.Equal(m.calls, want) {
		t.Errorf("hooks for a destroyed release %q, want %q", m.calls, want)
	}
}

func (m *testManager) Instance(_ context.Context, p *manager.Partition) error {
	return m.hook("instance " + p.ID)
}

// InstanceTearDown keeps a group of its own in started partitions.
func (m *testManager) InstanceTearDown(ctx context.Context, p *manager.Partition) error {
	if err := m.hook("tear down " + p.ID); err != nil || m.program == "" {
		return err
	}
	program := manager.Program{Name: "helper", Command: m.program, UID: p.UID, GID: p.GID}
	if err := p.Supervisor.SetGroup(ctx, "extra", []manager.Program{program}); err != nil {
		return err
	}
	if fresh, err := p.Supervisor.NeverStarted(ctx, "extra", "helper"); err != nil || !fresh {
		return err
	}
	return p.Supervisor.Start(ctx, "extra", "helper")
}

// MGR-3, MGR-4.
func TestInstancePassManagers(t *testing.T) {
	n := newInstanceNode(t, "slappart0", "slappart1", "slappart2")
	m := &testManager{}
	n.options.Managers = []manager.Manager{m}
	n.process(0)
	n.deployWith("exit 1")
	n.touch("slappart1")
	n.change("slappart2", func(p *slap.Partition) { p.RequestedState = slap.StateDestroyed })
	n.touch("slappart2")
	m.calls = nil
	n.process(1)
	want := []string{"instance slappart0", "tear down slappart0", "instance slappart1", "tear down slappart1", "instance slappart2", "tear down slappart2"}
	if !slices.Equal(m.calls, want) {
		t.Errorf("hooks %q, want %q", m.calls, want)
	}
	n.deployWith("")
	m.calls, m.fail = nil, "tear down slappart1"
	n.process(1)
	if testkit.Exists(n.at("slappart1", ".timestamp")) {
		t.Error("a timestamp though the manager failed")
	}
	m.calls, m.fail = nil, "instance slappart1"
	n.deployWith("touch deployed")
	n.process(1)
	if slices.Contains(m.calls, "tear down slappart1") || testkit.Exists(n.at("slappart1", "deployed")) {
		t.Errorf("hooks %q, or it was deployed", m.calls)
	}
	// Neither promises nor a pass without master have any.
	m.calls, m.fail = nil, ""
	if _, err := PromisePass(t.Context(), n.options); err != nil {
		t.Error(err)
	}
	n.master.set(func() { n.master.status["getFullComputerInformation"] = http.StatusServiceUnavailable })
	n.process(3)
	if m.calls != nil {
		t.Errorf("hooks of promises and without master: %q", m.calls)
	}
}

// MGR-5.
func TestInstancePassManagerGroups(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	n.deployWith(service("service", "web", "exec sleep 1000"))
	m := &testManager{program: "/bin/sleep 1000"}
	n.options.Managers = []manager.Manager{m}
	n.process(0)
	n.expectRunning("slappart0-extra:helper", "slappart0:web-on-watch")
	helper := n.processes()["slappart0-extra:helper"].Pid
	n.touch("slappart0")
	n.process(0)
	n.expectRunning("slappart0-extra:helper", "slappart0:web-on-watch")
	if got := n.processes()["slappart0-extra:helper"].Pid; got != helper {
		t.Error("the manager's program was restarted")
	}
	// What no manager set is removed, even when promises fail.
	old := filepath.Join(n.layout().ConfigDir(), "slappart0-old.conf")
	testkit.WriteFile(t, old, "[program:slappart0-old]\ncommand=/bin/sleep 1000\nautostart=true\n")
	n.deployWith(service("promise", "check", "exit 1"))
	n.touch("slappart0")
	n.process(2)
	n.expectRunning("slappart0-extra:helper", "slappart0:web-on-watch")
	if testkit.Exists(old) {
		t.Error("a group of nobody is left")
	}
	n.deployWith("rm -rf etc/promise")
	n.process(0)
	m.program = ""
	n.process(0) // unchanged: nothing is written (MGR-33)
	n.expectRunning("slappart0-extra:helper", "slappart0:web-on-watch")
	n.touch("slappart0")
	n.process(0)
	n.expectRunning("slappart0:web-on-watch")
}
