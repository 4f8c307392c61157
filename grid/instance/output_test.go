// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"slapos/slap"
	"slapos/slap/testkit"
)

// A buildout's output is in the log while the buildout still runs.
func TestOutputInRealTime(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	gate := filepath.Join(n.Base(), "gate")
	if err := unix.Mkfifo(gate, 0o644); err != nil {
		t.Fatal(err)
	}
	open := func() {
		if err := os.WriteFile(gate, []byte("go on\n"), 0o644); err != nil {
			t.Error(err)
		}
	}
	const built = "http://release/b.cfg"
	n.Want(slap.StateAvailable, built)
	n.BuildWith("echo building; read line <" + gate)
	testkit.Once(t, "the build's line is in the log", func() bool { return n.Log.Index("building") >= 0 }, open)
	n.build(0)
	n.DeployWith("echo deploying; read line <" + gate)
	testkit.Once(t, "the deployment's line is in both logs", func() bool {
		content, _ := os.ReadFile(n.At("slappart0", ".slapgrid/log/instance.log"))
		return n.Log.Index("deploying") >= 0 && strings.Contains(string(content), " deploying\n")
	}, open)
	n.process(0)
}
