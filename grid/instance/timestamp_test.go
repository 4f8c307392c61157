// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"slapos/grid/testenv"
	"slapos/slap"
	"slapos/slap/testkit"
)

func TestPassTimestamp(t *testing.T) {
	deployed := func(n *instanceNode) int { return strings.Count(testkit.ReadFile(n.T, n.At("slappart0", "log")), "\n") }
	for name, test := range map[string]struct {
		between func(*instanceNode)
		want    int // number of deployments after the second pass
		lost    bool
	}{
		"unchanged": {func(*instanceNode) {}, 1, false},
		"changed":   {func(n *instanceNode) { n.Touch("slappart0") }, 2, false},
		"older": {func(n *instanceNode) {
			n.Change("slappart0", func(p *slap.Partition) { p.Parameters["timestamp"] = "0.5" })
		}, 2, false},
		"none": {func(n *instanceNode) {
			n.Change("slappart0", func(p *slap.Partition) { delete(p.Parameters, "timestamp") })
		}, 2, false},
		"forced":      {func(n *instanceNode) { n.Pass.Force = true }, 2, false},
		"force-stop":  {func(n *instanceNode) { n.options.ForceStop = true }, 2, false},
		"always":      {func(n *instanceNode) { n.options.MaximumPeriodicity = 0 }, 2, false},
		"period over": {func(n *instanceNode) { n.Pass.Now = func() time.Time { return time.Now().Add(25 * time.Hour) } }, 2, false},
		"period over, stopped": {func(n *instanceNode) {
			n.Change("slappart0", func(p *slap.Partition) { p.RequestedState = slap.StateStopped })
			n.Pass.Now = func() time.Time { return time.Now().Add(25 * time.Hour) }
		}, 2, false},
		"period over and failed": {func(n *instanceNode) {
			n.Pass.Now = func() time.Time { return time.Now().Add(25 * time.Hour) }
			n.DeployWith("exit 1")
		}, 2, true},
		"period not over": {func(n *instanceNode) { n.Pass.Now = func() time.Time { return time.Now().Add(23 * time.Hour) } }, 1, false},
		"no period": {func(n *instanceNode) {
			n.options.MaximumPeriodicity = -1
			n.Pass.Now = func() time.Time { return time.Now().Add(1e4 * time.Hour) }
		}, 1, false},
		"period of release": {func(n *instanceNode) { testkit.WriteFile(n.T, n.Path(testenv.Release, "periodicity"), "0\n") }, 2, false},
		"unreadable period": {func(n *instanceNode) {
			testkit.WriteFile(n.T, n.Path(testenv.Release, "periodicity"), "often")
			n.options.MaximumPeriodicity = 0
		}, 2, false},
		"changed and failed": {func(n *instanceNode) { n.Touch("slappart0"); n.DeployWith("exit 1") }, 2, true},
		"forced and failed":  {func(n *instanceNode) { n.Pass.Force = true; n.DeployWith("exit 1") }, 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			n := newInstanceNode(t, "slappart0")
			n.process(0)
			test.between(n)
			if _, err := n.pass(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := deployed(n); got != test.want {
				t.Errorf("deployed %d times, want %d\n%s", got, test.want, n.Log)
			}
			if lost := !testkit.Exists(n.At("slappart0", ".timestamp")); lost != test.lost {
				t.Errorf("timestamp lost: %v, want %v", lost, test.lost)
			}
			if name == "unreadable period" && testkit.Exists(n.Path(testenv.Release, "periodicity")) {
				t.Error("the file that holds no number is left")
			}
		})
	}
}

// A partition's user, who knows the master's timestamp, can't make the agent
// believe that the partition is processed (GRID-97).
func TestPassTimestampOfUser(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	n.process(0)
	n.Change("slappart0", func(p *slap.Partition) { p.RequestedState = slap.StateStopped })
	n.Touch("slappart0")
	testkit.WriteFile(t, n.At("slappart0", timestampFile), "11")
	n.process(0)
	if deployed := strings.Count(testkit.ReadFile(t, n.At("slappart0", "log")), "\n"); deployed != 2 {
		t.Errorf("deployed %d times, want 2", deployed)
	}
	if got := testkit.ReadFile(t, n.At("slappart0", timestampFile)); got != "11" {
		t.Errorf("the timestamp is %q, not the one that the test forges", got)
	}
}

// A partition that the original or a former version processed last isn't
// processed again: its timestamp counts while this agent has no note. Once this
// agent has begun, it no longer does, even if the processing never ended
// (GRID-97).
func TestPassTimestampOfOriginal(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	n.process(0)
	note := filepath.Join(n.Pass.InstanceRoot, "var/agent/slappart0.timestamp")
	deployed := func(want int) {
		t.Helper()
		if got := strings.Count(testkit.ReadFile(t, n.At("slappart0", "log")), "\n"); got != want {
			t.Errorf("deployed %d times, want %d", got, want)
		}
	}
	if err := os.Remove(note); err != nil {
		t.Fatal(err)
	}
	n.process(0)
	deployed(1)
	n.Touch("slappart0")
	n.process(0)
	deployed(2)
	// As in a partition whose first processing failed, and whose user writes
	// the file of a success.
	if err := os.Truncate(note, 0); err != nil {
		t.Fatal(err)
	}
	n.process(0)
	deployed(3)
}
