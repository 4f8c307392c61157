// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"os"
	"testing"

	"slapos/slap/testkit"
)

func TestInstanceLogRotation(t *testing.T) {
	testkit.NoLeaks(t) // the log is closed
	n := newInstanceNode(t, "slappart0")
	log := n.At("slappart0", ".slapgrid/log/instance.log")
	n.process(0)
	if err := os.Truncate(log, maxInstanceLog); err != nil {
		t.Fatal(err)
	}
	n.Touch("slappart0")
	n.process(0)
	if info, err := os.Stat(log + ".1"); err != nil || info.Size() != maxInstanceLog {
		t.Errorf("old log: %v, %v", info, err)
	}
	if info, err := os.Stat(log); err != nil || info.Size() > 1<<20 {
		t.Errorf("new log: %v, %v", info, err)
	}
}
