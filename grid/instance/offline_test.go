// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"errors"
	"net/http"
	"testing"

	"slapos/grid/supervisor"
	"slapos/slap"
	"slapos/slap/testkit"
)

func TestInstancePassOffline(t *testing.T) {
	n := newInstanceNode(t, "slappart0", "slappart1")
	n.deployWith(service("service", "web", "exec sleep 1000"))
	n.process(0)
	client := supervisor.NewClient(n.layout().Socket())
	defer client.Close()
	if err := client.StopAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	testkit.WriteFile(t, n.at("slappart1", ".requested_state"), "stopped")
	n.master.set(func() { n.master.status["getFullComputerInformation"] = http.StatusServiceUnavailable })
	n.process(3)
	n.expectRunning("slappart0:web-on-watch")
	if testkit.Exists(n.at("slappart1", ".requested_state")) {
		t.Error("the state of old is left")
	}

	// The master goes away in the middle of the pass.
	n.master.set(func() {
		delete(n.master.status, "getFullComputerInformation")
		n.master.status["startedComputerPartition"] = http.StatusInternalServerError
	})
	n.touch("slappart0")
	n.touch("slappart1")
	n.master.take()
	n.process(3)
	n.master.expect(t, false, "getFullComputerInformation", "startedComputerPartition slappart0")
	n.expectRunning("slappart0:web-on-watch")

	n.master.Close()
	n.process(3)
	if _, err := PromisePass(t.Context(), n.options); !errors.Is(err, slap.ErrConnection) {
		t.Errorf("promises without a master: %v", err)
	}
}

func TestInstancePassUnknownComputer(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	n.master.set(func() { n.master.status["getFullComputerInformation"] = http.StatusNotFound })
	if _, err := InstancePass(t.Context(), n.options); !errors.Is(err, slap.ErrNotFound) {
		t.Errorf("error %v", err)
	}
}
