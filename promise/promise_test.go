// SPDX-License-Identifier: GPL-3.0-or-later

package promise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"slapos/slap/testkit"
)

// PROM-22, PROM-27.
func TestGolden(t *testing.T) {
	t.Parallel()
	p := newPartition(t)
	p.plugin("check.py", "def sense(self):\n    self.logger.info('fine')")
	p.executable("legacy", "echo broken; exit 1")
	report := p.mustRun(Forced)
	if report.Checked != 2 || report.Failed != 1 || report.Skipped != 0 || len(report.Promises) != 2 {
		t.Errorf("report %+v", report)
	}
	var failure *Error
	if err := report.Err(); !errors.As(err, &failure) || err.Error() != "Promise 'legacy' failed with output: broken" {
		t.Errorf("failure %v", err)
	}
	if first := report.Promises[0]; first.Name != "check.py" || first.Title != "check" || first.Failed || first.Message != "fine" || first.Duration <= 0 {
		t.Errorf("plugin %+v", first)
	}
	if got, want := strings.Split(p.log.String(), "\n"), []string{
		`level=INFO msg="Checking promise check.py..." promise=check.py`,
		`level=INFO msg="Checking promise legacy..." promise=legacy`,
		`level=ERROR msg=broken promise=legacy logger=legacy`,
		`level=ERROR msg=broken promise=legacy`,
	}; !slices.Equal(slices.DeleteFunc(got, func(line string) bool { return !strings.Contains(line, "promise=") }), want) {
		t.Errorf("log %q", got)
	}

	// Immediately again, in anomaly mode: nothing is due, no Python starts, and
	// the stored failure still counts.
	p.options.Interpreter = "/no/such/python"
	report = p.mustRun(Anomaly)
	if report.Checked != 0 || report.Skipped != 2 || report.Failed != 1 || report.Err() == nil {
		t.Errorf("report %+v", report)
	}
	if got, want := p.log.String(), "level=ERROR msg=broken promise=legacy\nlevel=INFO msg=\"2 promises didn't need to be checked.\"\n"; got != want {
		t.Errorf("log %q, want %q", got, want)
	}
	if text := report.String(); !strings.HasPrefix(text, "2 promises: 0 checked, 2 not due, 1 failed, in ") {
		t.Errorf("summary %q", text)
	}
}

type observed struct {
	sync.Mutex
	listed, ended []Result
}

func (o *observed) Listed(list []Result) { o.listed = list }

func (o *observed) Ended(result Result) {
	o.Lock()
	defer o.Unlock()
	o.ended = append(o.ended, result)
}

func TestObserver(t *testing.T) {
	t.Parallel()
	p := newPartition(t)
	p.plugin("check.py", "def sense(self):\n    self.logger.info('fine')")
	p.executable("legacy", "echo broken; exit 1")
	if report, err := Stored(p.options); err != nil || len(report.Promises) != 2 || !report.Promises[0].Date.IsZero() || p.exists(".slapgrid") {
		t.Errorf("before the first run: %+v, %v", report, err)
	}
	started := time.Now().Truncate(time.Second)
	o := &observed{}
	p.options.Observer = o
	report := p.mustRun(Forced)
	if len(o.listed) != 2 || o.listed[0].Skipped || len(o.ended) != 2 {
		t.Fatalf("listed %+v, ended %+v", o.listed, o.ended)
	}
	for _, result := range report.Promises {
		if !slices.Contains(o.ended, result) || result.Date.Before(started) || result.Duration <= 0 {
			t.Errorf("%+v is not in %+v", result, o.ended)
		}
	}
	stored, err := Stored(p.options)
	if err != nil || stored.Skipped != 2 || stored.Failed != 1 {
		t.Errorf("%+v, %v", stored, err)
	}
	for i, result := range stored.Promises {
		want := report.Promises[i]
		want.Skipped, want.Duration = true, max(want.Duration.Round(time.Millisecond), time.Millisecond)
		if result != want {
			t.Errorf("stored %+v, want %+v", result, want)
		}
	}
	o.ended = nil
	if p.mustRun(Anomaly); len(o.ended) != 0 || !slices.Equal(o.listed, stored.Promises) {
		t.Errorf("nothing due: listed %+v, ended %+v", o.listed, o.ended)
	}
}

// PROM-20, PROM-21.
func TestNoPromises(t *testing.T) {
	t.Parallel()
	p := newPartition(t)
	if err := os.RemoveAll(p.path("etc")); err != nil {
		t.Fatal(err)
	}
	if report := p.mustRun(Forced); len(report.Promises) != 0 || report.Err() != nil {
		t.Errorf("report %+v", report)
	}
	info, err := os.Stat(p.path(resultFolder))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	if _, err := Run(t.Context(), Options{Directory: "relative"}); err == nil {
		t.Error("a relative directory: want an error")
	}
	if _, err := Run(t.Context(), Options{Directory: "/no/such/partition"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	if os.Geteuid() == 0 {
		if _, err := Run(t.Context(), Options{Directory: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "too dangerous") {
			t.Errorf("root's directory: %v", err)
		}
	}
}

// PROM-24, PROM-25, PROM-31.
func TestTimeout(t *testing.T) {
	t.Parallel()
	p := newPartition(t)
	p.options.Timeout = time.Second
	sleep := "def sense(self):\n    import time, signal\n    %s\n    self.logger.info('x')\n    time.sleep(%d)"
	p.plugin("sleeps.py", fmt.Sprintf(sleep, "pass", 30))
	p.plugin("deaf.py", fmt.Sprintf(sleep, "signal.signal(signal.SIGTERM, signal.SIG_IGN)", 30))
	p.executable("sleeps-too", "sleep 30")
	p.executable("deaf-too", "trap '' TERM; sleep 30; sleep 30")
	p.executable("polite", "trap 'echo interrupted; exit 0' TERM; sleep 30 & wait")
	report := p.mustRun(Forced)
	for _, result := range report.Promises {
		if !result.Failed || result.Message != "Error: Promise timed out after 1 seconds" || result.Duration < time.Second {
			t.Errorf("%+v", result)
		}
		if text := p.read(resultFolder + "/" + result.Title + ".status.json"); !strings.Contains(text, `"execution-time": 1.0, "result": {"type": "Test Result", "failed": true`) {
			t.Errorf("result %s", text)
		}
	}
	if log := p.read(logFolder + "/polite.log"); !strings.Contains(log, " - INFO - ") || !strings.Contains(log, " - interrupted\n") {
		t.Errorf("log of polite: %q", log)
	}

	// An anomaly is a repeated failure.
	if err := os.RemoveAll(p.path(stateFolder)); err != nil {
		t.Fatal(err)
	}
	for _, isSecond := range []bool{false, true} {
		p.expire()
		for _, result := range p.mustRun(Anomaly).Promises {
			if result.Failed != isSecond || !strings.HasPrefix(result.Message, "Error: Promise timed out") {
				t.Errorf("second %v: %+v", isSecond, result)
			}
		}
	}
	if text := p.read(resultFolder + "/deaf.status.json"); !strings.Contains(text, `"type": "Anomaly Result", "failed": true`) {
		t.Errorf("result %s", text)
	}
}

// PROM-4, PROM-9. D-2: without any Python, plugins fail and say how to get one;
// others run.
func TestInterpreters(t *testing.T) {
	t.Parallel()
	wrapper := func(p *partition) string {
		p.write("bin/python", "#!/bin/sh\nexec "+testPython+" \"$@\"\n", 0o755)
		return p.path("bin/python")
	}
	for _, test := range []struct {
		name        string
		interpreter func(p *partition) string
		python      string
		failure     string // of the plugin
		err         string
	}{
		{name: "shell wrapper", interpreter: wrapper},
		{name: "none", failure: "no python interpreter for plugin promises of slappart0: install python3, or name one with [slapos] python"},
		{name: "configured", python: barePython},
		{name: "missing", interpreter: func(*partition) string { return "/no/such/python" }, err: "/no/such/python"},
		{name: "no python", interpreter: func(*partition) string { return "/bin/false" }, err: "/bin/false can't run plugins: it ended without a word"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newPartition(t)
			p.plugin("check.py", "def sense(self):\n    self.logger.info('fine')")
			p.executable("legacy", "echo good")
			p.options.Interpreter, p.options.Python = "", test.python
			if test.interpreter != nil {
				p.options.Interpreter = test.interpreter(p)
			}
			report, err := p.run(Forced)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %v", err)
				}
			} else if err != nil {
				t.Fatal(err)
			} else if got := report.Promises[0]; got.Failed != (test.failure != "") || test.failure != "" && got.Message != test.failure {
				t.Errorf("plugin %+v", got)
			}
			if last := report.Promises[len(report.Promises)-1]; last.Name != "legacy" || last.Failed || last.Message != "good" {
				t.Errorf("executable %+v", last)
			}
		})
	}
}

// An executable needs no Python, and may share its title. PROM-5, PROM-31,
// PROM-32.
func TestExecutables(t *testing.T) {
	t.Parallel()
	p := newPartition(t)
	p.options.Interpreter, p.options.Python = "", ""
	p.options.Environ = append(p.options.Environ, "SEEN=yes")
	p.executable("check.sh", "echo first $SEEN $LANG; exit 1")
	p.executable("check.py", "echo second")
	p.write("etc/promise/plain", "#!/bin/sh\n", 0o644)
	for i := range 4 {
		p.expire()
		report := p.mustRun(Anomaly)
		first := report.Promises[slices.IndexFunc(report.Promises, func(r Result) bool { return r.Name == "check.sh" })]
		if len(report.Promises) != 2 || first.Message != "first yes C" {
			t.Errorf("%+v", report)
		}
		if report.Failed != 0 { // both share a log, which never has three failures in a row
			t.Errorf("run %d: %+v", i, report)
		}
	}
	if err := os.Remove(p.path("etc/promise/check.py")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(p.path(logFolder + "/check.log")); err != nil {
		t.Fatal(err)
	}
	for i, wanted := range []bool{false, false, true} {
		p.expire()
		if report := p.mustRun(Anomaly); (report.Failed == 1) != wanted {
			t.Errorf("failing run %d: %+v", i, report)
		}
	}
	text := p.read(resultFolder + "/check.status.json")
	if !strings.Contains(text, `"name": "check.sh"`) || !strings.Contains(text, `"type": "Test Result", "failed": true`) {
		t.Errorf("result %s", text)
	}
}

// Runs of the same second with the same number are different runs.
func TestTransactionsDiffer(t *testing.T) {
	t.Parallel()
	p := newPartition(t)
	p.options.Interpreter, p.options.Python = "", ""
	p.options.Random = func() int { return 999 }
	p.executable("check.sh", "exit 1")
	for i, wanted := range []bool{false, false, true} {
		p.expire()
		if report := p.mustRun(Anomaly); (report.Failed == 1) != wanted {
			t.Errorf("failing run %d: %+v", i, report)
		}
	}
}

// Promises run in parallel, but are logged in order. Each waits until all have
// begun. PROM-20.
func TestParallel(t *testing.T) {
	t.Parallel()
	p := newPartition(t)
	p.options.Parallel, p.options.Timeout = 6, testkit.Patience
	p.write("begun/README", "", 0o644)
	for i := range 6 {
		p.executable(fmt.Sprintf("check-%d", i), "cd "+p.path("begun")+"; : >check-$$; until [ $(ls | wc -l) = 13 ]; do sleep 0.05; done")
		p.plugin(fmt.Sprintf("plugin_%d.py", i), "def sense(self):\n    import os, time\n    begun = '"+p.path("begun")+"/'\n"+
			"    open(begun + self.getTitle(), 'w').close()\n    while len(os.listdir(begun)) < 13: time.sleep(.05)")
	}
	report := p.mustRun(Forced)
	if report.Checked != 12 || report.Failed != 0 {
		t.Errorf("%+v", report)
	}
	var logged []string
	for _, line := range strings.Split(p.log.String(), "\n") {
		if strings.Contains(line, "Checking promise") {
			logged = append(logged, line[strings.LastIndexByte(line, '=')+1:])
		}
	}
	var wanted []string
	for _, result := range report.Promises {
		wanted = append(wanted, result.Name)
	}
	if !slices.Equal(logged, wanted) {
		t.Errorf("logged %q, want %q", logged, wanted)
	}
}

func TestContextEnds(t *testing.T) {
	t.Parallel()
	p := newPartition(t)
	p.plugin("check.py", "def sense(self):\n    import time\n    open('started', 'w')\n    time.sleep(60)")
	p.executable("legacy", "sleep 60")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	testkit.Once(t, "the plugin has started", func() bool { return p.exists("started") }, cancel)
	report, err := Run(ctx, p.options)
	if !errors.Is(err, context.Canceled) || len(report.Promises) != 0 {
		t.Errorf("%+v, %v", report, err)
	}
	if p.exists(resultFolder + "/check.status.json") {
		t.Error("a promise that was interrupted has a result")
	}
}

// PROM-20, PROM-28.
func TestCleanUp(t *testing.T) {
	t.Parallel()
	p := newPartition(t)
	p.executable("legacy", "exit 0")
	left := []string{"legacy.timestamp", "legacy.periodicity", "promise_stats.json", "promise_status.json", "global.json", "public.json", "history/legacy.history.json"}
	for _, name := range append(left, "other.timestamp") {
		p.write(stateFolder+"/"+name, "{}", 0o644)
	}
	p.write("etc/plugin/gone.pyc", "", 0o644)
	p.write(resultFolder+"/gone.status.json", "{}", 0o600)
	p.write("etc/plugin/__init__.pyc", "", 0o644)
	p.write("etc/plugin/__init__.py", "", 0o644)
	p.mustRun(Forced)
	for _, name := range append(left, "history") {
		if p.exists(stateFolder + "/" + name) {
			t.Errorf("%s is left", name)
		}
	}
	if !p.exists(stateFolder+"/other.timestamp") || !p.exists(resultFolder+"/gone.status.json") || p.exists("etc/plugin/gone.pyc") || !p.exists("etc/plugin/__init__.pyc") {
		t.Error("the wrong files are removed")
	}
}

// Another release of slapos.core runs everything with its own launcher. PROM-6:
// as the partition's user, in its directory, with all its input; PROM-7.
func TestLauncher(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"1.10.0", "1.21.1", "1.27.0", "2.0"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			p := newPartition(t)
			p.options.Interpreter = barePython
			p.write("lib/slapos/__init__.py", "", 0o644)
			p.write("lib/slapos/version.py", "version = '"+version+"'\n", 0o644)
			p.write("lib/slapos/grid/__init__.py", "", 0o644)
			p.write("lib/slapos/grid/promise/__init__.py", fakeLauncher, 0o644)
			p.write("etc/plugin/check.py", "import sys\nsys.path[0:0] = [\n  '"+p.path("lib")+"',\n  '/other',\n  ]\n", 0o644)
			p.executable("legacy", "exit 9")
			p.write(stateFolder+"/global.json", "{}", 0o644)
			report := p.mustRun(Forced)
			if report.Checked != 2 || report.Failed != 1 || report.Err().Error() != "Promise 'legacy' failed with output: bad" {
				t.Errorf("%+v", report)
			}
			if !p.exists(stateFolder + "/global.json") {
				t.Error("the statistics of an old slapos.core were removed")
			}
			if log := p.log.String(); !strings.Contains(log, "launched "+p.options.Directory) || strings.Contains(log, "Checking") {
				t.Errorf("log %s", log)
			}
		})
	}
}

// slapos.core 1.4.0 has no plugins: the runtime stands in.
func TestReleaseWithoutPlugins(t *testing.T) {
	t.Parallel()
	p := newPartition(t)
	p.options.Interpreter = barePython
	p.libraries = []string{p.path("lib")}
	p.write("lib/slapos/__init__.py", "", 0o644)
	p.write("lib/slapos/version.py", "version = '1.4.0'\n", 0o644)
	p.write("lib/slapos/grid/__init__.py", "", 0o644)
	p.plugin("check.py", "def sense(self):\n    self.logger.info('fine')")
	if report := p.mustRun(Forced); report.Failed != 0 || report.Promises[0].Message != "fine" {
		t.Errorf("%+v\n%s", report, p.log.String())
	}
	if !strings.Contains(p.log.String(), "slapos.core 1.4.0 of the Software Release can not be used") {
		t.Errorf("log %s", p.log.String())
	}
}

const fakeLauncher = `
import json, os, time

class PromiseError(Exception):
    pass

class PromiseLauncher(object):
    def __init__(self, config=None, logger=None, dry_run=False):
        self.config, self.logger = config, logger

    def run(self):
        c = self.config
        self.logger.info('launched %s', c['partition-folder'])
        assert c['force'] and not c['check-anomaly'] and c['promise-timeout'] == 20
        assert (c['partition-id'], c['computer-id'], c['master-url']) == ('slappart0', 'COMP-1', 'http://127.0.0.1:9/')
        assert os.getcwd() == c['partition-folder'] and os.path.isdir(os.path.dirname(c['log-folder']))
        assert not c['partition-cert'] and not c['partition-key'] and os.getuid() == os.stat('etc').st_uid
        for folder in c['promise-folder'], c['legacy-promise-folder']:
            for name in os.listdir(folder):
                title = os.path.splitext(name)[0]
                path = os.path.join(c['partition-folder'], '.slapgrid/promise/result', title + '.status.json')
                with open(path, 'w') as f:
                    json.dump({'title': title, 'name': name, 'path': path, 'execution-time': 1, 'result': {
                        'type': 'Test Result', 'failed': name == 'legacy', 'message': 'bad',
                        'date': time.strftime('%Y-%m-%dT%H:%M:%S+0000', time.gmtime())}}, f)
        raise PromiseError("Promise 'legacy' failed with output: bad")
`

func TestKilledDriver(t *testing.T) {
	t.Parallel()
	p := newPartition(t)
	p.options.Parallel = 1
	p.plugin("check.py", "def sense(self):\n    import os, signal\n    os.kill(os.getppid(), signal.SIGKILL)")
	p.executable("legacy", "echo good")
	report := p.mustRun(Forced)
	if report.Failed != 1 || report.Promises[0].Message != "Error: No output returned by the promise" {
		t.Errorf("%+v", report)
	}
}
