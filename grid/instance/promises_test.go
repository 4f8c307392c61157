// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"slapos/grid/testenv"
	"slapos/slap"
	"slapos/slap/testkit"
)

// PROM-1, PROM-41, PROM-42.
func TestPassPromises(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	n.options.PromiseTimeout = 24 * time.Hour // a finished promise isn't waited for
	n.DeployWith(testenv.Service("promise", "check", "test -e ok || { echo not ok; exit 1; }"))
	result := n.process(2)
	if len(result.PromiseFailed) != 1 || len(result.Failed) != 0 {
		t.Errorf("result %+v", result)
	}
	calls := n.Master.Expect(t, "getFullComputerInformation", "softwareInstanceError slappart0")
	if got := calls[1].Form.Get("error_log"); got != "Promise 'check' failed with output: not ok" {
		t.Errorf("reported %q", got)
	}
	if testkit.Exists(n.At("slappart0", ".timestamp")) || testkit.Exists(n.At("slappart0", ".slapgrid-slappart0-error.log")) {
		t.Error("a timestamp, or an error file")
	}
	if n.Log.Index("  slappart0[test]: Promise 'check' failed with output: not ok") < 0 {
		t.Errorf("log\n%s", n.Log)
	}
	if log := testkit.ReadFile(t, n.At("slappart0", ".slapgrid/log/instance.log")); !strings.Contains(log, "Checking promise check...") {
		t.Errorf("instance.log\n%s", log)
	}
	testkit.WriteFile(t, n.At("slappart0", "ok"), "")
	n.process(0)
	n.Master.Take()

	if result, err := n.promises(); err != nil || result.ExitCode() != 0 {
		t.Errorf("result %+v, %v", result, err)
	}
	os.Remove(n.At("slappart0", "ok"))
	if result, err := n.promises(); err != nil || result.ExitCode() != 2 {
		t.Errorf("result %+v, %v", result, err)
	}
	n.Master.Expect(t, "getFullComputerInformation", "getFullComputerInformation")

	// Only partitions that should be started are checked (PROM-2).
	n.Change("slappart0", func(p *slap.Partition) { p.RequestedState = slap.StateStopped })
	if result, err := n.promises(); err != nil || result.ExitCode() != 0 {
		t.Errorf("stopped: result %+v, %v", result, err)
	}
}

// Plugins run with the Python of the release's buildout. PROM-4.
func TestPassPlugins(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	python := n.Path(testenv.Release, "bin", "python")
	n.Script(python, "RELEASE=its exec "+testkit.Python(t)+` "$@"`)
	const plugin = `
import os, sys
sys.path[0:0] = []
from zope.interface import implementer
from slapos.grid.promise import interface
from slapos.grid.promise.generic import GenericPromise
@implementer(interface.IPromise)
class RunPromise(GenericPromise):
    def sense(self):
        self.logger.info('run by %s Python', os.environ.get('RELEASE'))
`
	testkit.WriteFile(t, n.Path(testenv.Release, "check.py"), plugin)
	testkit.WriteFile(t, n.Path(testenv.Release, "bin", "buildout"), "#!"+python+"\nimport os, shutil\n"+
		"os.makedirs('etc/plugin')\nshutil.copy('"+n.Path(testenv.Release, "check.py")+"', 'etc/plugin')\n")
	n.process(0)
	if n.Log.Index("run by its Python") < 0 {
		t.Errorf("log\n%s", n.Log)
	}
}

// An up-to-date partition reports what the master doesn't know yet. PROM-1.
func TestPassAnomalies(t *testing.T) {
	for _, test := range []struct {
		status string // "-": none
		good   bool
		want   string
	}{
		{"-", true, "startedComputerPartition slappart0"},
		{"#error", true, "startedComputerPartition slappart0"},
		{"#access", true, ""},
		{"-", false, "softwareInstanceError slappart0"},
		{"#error", false, ""},
		{"#access", false, "softwareInstanceError slappart0"},
	} {
		t.Run(fmt.Sprint(test.status, test.good), func(t *testing.T) {
			n := newInstanceNode(t, "slappart0")
			n.process(0)
			n.Master.Take()
			if err := os.MkdirAll(n.At("slappart0", "etc", "promise"), 0o755); err != nil {
				t.Fatal(err)
			}
			exit := map[bool]string{true: "exit 0", false: "exit 1"}[test.good]
			n.Script(n.At("slappart0", "etc", "promise", "check"), exit)
			if !test.good {
				// A single bad run is not an anomaly.
				if _, err := n.promises(); err != nil {
					t.Fatal(err)
				}
				n.Master.Take()
			}
			n.Change("slappart0", func(p *slap.Partition) { p.AccessStatus, p.HasAccessStatus = test.status, test.status != "-" })
			n.process(0)
			want := []string{"getFullComputerInformation"}
			if test.want != "" {
				want = append(want, test.want)
			}
			n.Master.Expect(t, want...)
		})
	}
}
