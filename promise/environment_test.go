// SPDX-License-Identifier: GPL-3.0-or-later

package promise

import (
	"strings"
	"testing"
)

// Promises don't see variables of the agent's environment that could mislead
// Python. PROM-6, PROM-32.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	for name, interpreter := range map[string]string{"slapos.core": testPython, "runtime": barePython} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPartition(t)
			p.options.Interpreter = interpreter
			p.options.Environ = append(p.options.Environ, "PYTHONPATH=/no/such", "PYTHONSTARTUP=/no/such", "TMPDIR=/no/such", "SEEN=yes")
			names := []string{"PYTHONPATH", "PYTHONSTARTUP", "TMPDIR", "LANG", "PYTHONNOUSERSITE", "SEEN"}
			p.plugin("plugin.py", "def sense(self):\n    import os\n    self.logger.info(' '.join(os.environ.get(name, '') for name in '"+
				strings.Join(names, " ")+"'.split()))")
			p.executable("executable", "echo \"$"+strings.Join(names, " $")+"\"")
			for _, result := range p.mustRun(Forced).Promises {
				if got := strings.TrimSpace(result.Message); got != "true yes" {
					t.Errorf("%s saw %q", result.Name, result.Message)
				}
			}
		})
	}
}

// The cache says what a plugin doesn't do in a mode: no Python starts to find
// that out again. PROM-22, PROM-23.
func TestDisabledChecksAreRemembered(t *testing.T) {
	t.Parallel()
	for mode, disable := range map[Mode]string{Forced: "setTestLess", Anomaly: "setAnomalyLess"} {
		p := newPartition(t)
		p.plugin("check.py", "def __init__(self, config):\n    GenericPromise.__init__(self, config)\n    self."+disable+"()\n"+
			"def sense(self):\n    self.logger.error('sensed')")
		if report := p.mustRun(mode); report.Checked != 1 || report.Failed != 0 {
			t.Errorf("%s, first: %+v", disable, report)
		}
		if !p.exists(cacheFolder+"/check") || p.exists(resultFolder+"/check.status.json") {
			t.Errorf("%s: no cache, or a result", disable)
		}
		p.options.Interpreter = "/no/such/python"
		if report := p.mustRun(mode); report.Checked != 0 || report.Skipped != 1 || report.Failed != 0 {
			t.Errorf("%s, again: %+v", disable, report)
		}
	}
}
