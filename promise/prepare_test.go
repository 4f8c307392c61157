// SPDX-License-Identifier: GPL-3.0-or-later

package promise

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// beside is a plugin that always succeeds.
const beside = "def sense(self):\n    self.logger.info('fine')"

// If a promise can't be prepared, it fails and the next one runs, with the
// original and with us (PROM-26).
func TestNotPrepared(t *testing.T) {
	t.Parallel()
	prepared := func() *partition {
		p := newPartition(t)
		p.options.Parallel = 1
		p.plugin("aa.py", beside) // without a plugin, the original has no library to run with
		p.executable("check", "echo never")
		p.executable("next", "echo good")
		p.write(cacheFolder+"/check/inside", "", 0o644)
		p.give()
		return p
	}
	theirs := prepared()
	text, exit := theirs.original(Forced)
	if exit != 2 || !strings.HasPrefix(text, "Promise 'check' failed with output: Traceback") || !strings.Contains(text, "IsADirectoryError") {
		t.Errorf("the original: %d, %s", exit, text)
	}
	ours := prepared()
	report := ours.mustRun(Forced)
	const says = "Error: DIRECTORY/.slapgrid/promise/cache/check is a directory: remove it"
	message := strings.ReplaceAll(says, "DIRECTORY", ours.options.Directory)
	if report.Failed != 1 || report.Skipped != 0 || report.Err().Error() != "Promise 'check' failed with output: "+message {
		t.Errorf("%+v, %v", report, report.Err())
	}
	lines := strings.Split(strings.ReplaceAll(ours.log.String(), ours.options.Directory, "DIRECTORY"), "\n")
	// The plugin's own message may come at any time.
	const said = "level=INFO msg=fine logger=aa.py"
	before := len(lines)
	if lines = slices.DeleteFunc(lines, func(line string) bool { return line == said }); len(lines) != before-1 {
		t.Errorf("the plugin's line is not there once: %q", lines)
	}
	if want := []string{
		`level=INFO msg="Checking promise aa.py..." promise=aa.py`,
		`level=ERROR msg="` + says + `" promise=check`, `level=WARN msg="Promise check skipped." promise=check`,
		`level=INFO msg="Checking promise next..." promise=next`, `level=INFO msg=good promise=next logger=next`, "",
	}; !slices.Equal(lines, want) {
		t.Errorf("log %q", lines)
	}
	for _, p := range []*partition{theirs, ours} {
		if p.exists(resultFolder+"/check.status.json") || !p.exists(resultFolder+"/next.status.json") {
			t.Errorf("%s: results %v", p.options.Directory, p.state())
		}
	}
}

// The cache file decides (PROM-22): a check that is disabled, or not due with a
// good last result, is skipped; a bad last result fails; a file about another
// module doesn't count. Force runs checks that aren't due, but not disabled
// ones.
func TestDecided(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		mode            Mode
		tested, anomaly bool
		due             time.Duration
		gone            bool // the promise's file
		stored          string
		ran, failed     bool
	}{
		"due":                      {mode: Anomaly, tested: true, anomaly: true, due: -time.Hour, ran: true},
		"not due, good":            {mode: Anomaly, tested: true, anomaly: true, due: time.Hour, stored: "false"},
		"not due, bad":             {mode: Anomaly, tested: true, anomaly: true, due: time.Hour, stored: "true", failed: true},
		"not due, without result":  {mode: Anomaly, tested: true, anomaly: true, due: time.Hour},
		"not due, forced":          {mode: Forced, tested: true, anomaly: true, due: time.Hour, stored: "true", ran: true},
		"not due, another promise": {mode: Anomaly, tested: true, anomaly: true, due: time.Hour, gone: true, stored: "true", ran: true},
		"no anomaly":               {mode: Anomaly, tested: true, due: -time.Hour, stored: "true"},
		"no anomaly, forced":       {mode: Forced, tested: true, due: -time.Hour, stored: "true", ran: true},
		"no test":                  {mode: Forced, anomaly: true, due: -time.Hour, stored: "true"},
		"no test, anomaly":         {mode: Anomaly, anomaly: true, due: -time.Hour, stored: "true", ran: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			next := time.Now().Add(test.due).Unix()
			lives := func(live func(*partition)) (state map[string]string) {
				p := newPartition(t)
				p.plugin("aa.py", beside)
				p.executable("check", "echo now")
				module := p.path("etc/promise/check")
				if test.gone {
					module += "-gone"
				}
				cache, _ := json.Marshal(map[string]any{"is_tested": test.tested, "is_anomaly_detected": test.anomaly, "periodicity": 2,
					"next_run_after": next, "timestamp": next, "module_file": module, "module_file_mtime": 1})
				p.write(cacheFolder+"/check", string(cache), 0o644)
				if test.stored != "" {
					p.write(resultFolder+"/check.status.json", `{"title": "check", "name": "check", "path": "`+module+`", "execution-time": 0.1, "result": {"type": "Test Result", "failed": `+
						test.stored+`, "message": "before", "date": "2026-01-02T03:04:05+0000", "change-date": "2026-01-02T03:04:05+0000"}}`, 0o644)
				}
				for _, folder := range []string{stateFolder, cacheFolder, resultFolder, logFolder} {
					if err := os.MkdirAll(p.path(folder), 0o755); err != nil {
						t.Fatal(err)
					}
				}
				p.give()
				live(p)
				return p.state()
			}
			ours := lives(func(p *partition) {
				report := p.mustRun(test.mode)
				if ran := report.Checked == 2; ran != test.ran || report.Skipped != 2-report.Checked || (report.Failed == 1) != test.failed {
					t.Errorf("%+v\n%s", report, p.log.String())
				}
				if told := strings.Contains(p.log.String(), "Checking promise check..."); told != test.ran {
					t.Errorf("log %s", p.log.String())
				}
				if test.failed && !strings.Contains(p.log.String(), "level=ERROR msg=before") {
					t.Errorf("the stored message is not told: %s", p.log.String())
				}
			})
			theirs := lives(func(p *partition) {
				text, exit := p.original(test.mode)
				if (exit == 2) != test.failed || exit != 2 && strings.Contains(text, "Checking promise check...") != test.ran {
					t.Errorf("the original: %d, %s", exit, text)
				}
			})
			compare(t, name, theirs, ours)
		})
	}
}
