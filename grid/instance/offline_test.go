// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"errors"
	"net/http"
	"testing"

	"slapos/grid/supervisor"
	"slapos/grid/testenv"
	"slapos/slap"
	"slapos/slap/testkit"
)

func TestPassOffline(t *testing.T) {
	n := newInstanceNode(t, "slappart0", "slappart1")
	n.DeployWith(testenv.Service("service", "web", "exec sleep 1000"))
	n.process(0)
	client := supervisor.NewClient(n.Layout().Socket())
	defer client.Close()
	if err := client.StopAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	testkit.WriteFile(t, n.At("slappart1", ".requested_state"), "stopped")
	n.Master.Set(func() { n.Master.Status["getFullComputerInformation"] = http.StatusServiceUnavailable })
	n.process(3)
	n.ExpectRunning("slappart0:web-on-watch")
	if testkit.Exists(n.At("slappart1", ".requested_state")) {
		t.Error("the state of old is left")
	}

	// The master disappears in the middle of the pass.
	n.Master.Set(func() {
		delete(n.Master.Status, "getFullComputerInformation")
		n.Master.Status["startedComputerPartition"] = http.StatusInternalServerError
	})
	n.Touch("slappart0")
	n.Touch("slappart1")
	n.Master.Take()
	n.process(3)
	n.Master.Expect(t, "getFullComputerInformation", "startedComputerPartition slappart0")
	n.ExpectRunning("slappart0:web-on-watch")

	n.Master.Close()
	n.process(3)
	if _, err := n.promises(); !errors.Is(err, slap.ErrConnection) {
		t.Errorf("promises without a master: %v", err)
	}
}

func TestPassUnknownComputer(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	n.Master.Set(func() { n.Master.Status["getFullComputerInformation"] = http.StatusNotFound })
	if _, err := n.pass(t.Context()); !errors.Is(err, slap.ErrNotFound) {
		t.Errorf("error %v", err)
	}
}
