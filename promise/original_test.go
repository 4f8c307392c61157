// SPDX-License-Identifier: GPL-3.0-or-later

package promise

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"slapos/slap/testkit"
)

// plugins by name; a text without "def" is a whole file.
var plugins = map[string]string{
	"good.py":     "def sense(self):\n    self.logger.info('all is well')",
	"failing.py":  "def sense(self):\n    self.logger.error('broken')",
	"lines.py":    "def sense(self):\n    self.logger.info('one\\n  two\\n\\nthree  ')\n    self.logger.error(' - four')",
	"long.py":     "def sense(self):\n    self.logger.error('x' * 6000 + 'end')",
	"unicode.py":  "def sense(self):\n    self.logger.error(u'd\\xe9j\\xe0 vu \\u20ac \\U0001f600')",
	"raises.py":   "def sense(self):\n    raise ValueError('no sense')",
	"none.py":     "def sense(self):\n    pass\ndef test(self):\n    pass\ndef anomaly(self):\n    pass",
	"throws.py":   "def sense(self):\n    pass\ndef test(self):\n    raise KeyError('k')\ndef anomaly(self):\n    raise KeyError('a')",
	"silent.py":   "def sense(self):\n    pass",
	"critical.py": "def sense(self):\n    self.logger.critical('on fire')",
	"testless.py": "def __init__(self, config):\n    GenericPromise.__init__(self, config)\n    self.setTestLess()\n" +
		"def sense(self):\n    self.logger.error('sensed')",
	"anomalyless.py": "def __init__(self, config):\n    GenericPromise.__init__(self, config)\n    self.setAnomalyLess()\n" +
		"def sense(self):\n    self.logger.error('sensed')",
	"neither.py": "def __init__(self, config):\n    GenericPromise.__init__(self, config)\n    self.setAnomalyLess()\n    self.setTestLess()\n" +
		"def sense(self):\n    self.logger.error('sensed')",
	"period.py": "def __init__(self, config):\n    GenericPromise.__init__(self, config)\n    self.setPeriodicity(minute=61.5)\n" +
		"def sense(self):\n    self.logger.info('now and then')",
	"twice.py": "def sense(self):\n    self.logger.error('bad')\n" +
		"def test(self):\n    return self._test(result_count=3, failure_amount=2)\n" +
		"def anomaly(self):\n    return self._anomaly(result_count=3, failure_amount=3)",
	"own_result.py": "def sense(self):\n    pass\ndef test(self):\n    return TestResult(problem=True, message='own words')\n" +
		"def anomaly(self):\n    return TestResult(problem=True, message=None)",
	"history.py": "def sense(self):\n    self.logger.info('one')\n    self.logger.error('two')\n    self.logger.warning('three')\n" +
		"def test(self):\n    last = self.getLastPromiseResultList(result_count=2)\n" +
		"    bad = self.getLastPromiseResultList(result_count=2, only_failure=True, latest_minute=5)\n" +
		"    return TestResult(message='%r' % [[sorted((k, v) for k, v in line.items() if k != 'date') for line in run] for run in last + bad])",
	"names.py": "def sense(self):\n    self.logger.info('%s', [self.getTitle(), self.getName(), self.getPeriodicity(),\n" +
		"        self.getLogFile()[-9:], self.getLogFolder()[-4:], self.getPromiseFile()[-9:], self.isTested(), self.isAnomalyDetected(),\n" +
		"        self.getConfig('partition-id'), self.getConfig('computer-id'), self.getConfig('partition-cert'), self.getConfig('debug'),\n" +
		"        self.getConfig('name'), self.getConfig('promise-timeout'), self.getConfig('no', 'yes')])",
	"quits.py":       "def sense(self):\n    sys.exit(0)",
	"no_class.py":    "",
	"no_iface.py":    "import sys\nsys.path[0:0] = []\nfrom slapos.grid.promise.generic import GenericPromise\nclass RunPromise(GenericPromise):\n  def sense(self): pass\n",
	"no_base.py":     "import sys\nsys.path[0:0] = []\nfrom zope.interface import implementer\nfrom slapos.grid.promise import interface\n@implementer(interface.IPromise)\nclass RunPromise(object):\n  pass\n",
	"no_syntax.py":   "def",
	"1digit.py":      "def sense(self):\n    pass",
	"abstract.py":    "other = 1",
	"bad_period.py":  "def __init__(self, config):\n    GenericPromise.__init__(self, config)\n    self.setPeriodicity(0)\ndef sense(self):\n    pass",
	"with.dot.py":    "def sense(self):\n    pass",
	"json.py":        "",
	"__init__.py":    "",
	"__init__old.py": "def sense(self):\n    pass",
	"README.txt":     "no plugin",
}

var executables = map[string]string{
	"legacy":     "echo broken; exit 1",
	"well":       "echo; echo ' all is well '; echo",
	"mute":       "",
	"mute-bad":   "exit 3",
	"check.sh":   "pwd -P >&2; echo out",
	"latin":      `printf 'caf\303\251 - %s\n' "$HOME$LANG"; exit 1`,
	"looks-like": "echo '2020-01-01 00:00:00 - ERROR - 1577836800-123 - not mine'",
	"carriage":   `printf 'a\r\nb\rc\n'`,
}

func (p *partition) fill() {
	// In a fixed order: the directory order of some file systems depends on it.
	for _, name := range slices.Sorted(maps.Keys(plugins)) {
		text := plugins[name]
		if strings.HasPrefix(text, "import") {
			text = strings.Replace(text, "[]", p.libraryList(), 1)
		}
		switch {
		case name == "extra":
		case strings.Contains(text, "def ") && !strings.HasPrefix(text, "import"):
			p.plugin(name, text)
		default:
			p.write("etc/plugin/"+name, text, 0o644)
		}
	}
	base := p.pluginText("def sense(self):\n    self.logger.info(self.getConfig('my-key'))")
	p.write("etc/plugin/extra.py", base+"extra_config_dict = {'my-key': 'my value', 'periodicity': 7}\n", 0o644)
	p.write("etc/plugin/extra_list.py", base+"extra_config_dict = ['my-key']\n", 0o644)
	p.write("etc/plugin/extra_taken.py", base+"extra_config_dict = {'master-url': 'x'}\n", 0o644)
	p.write("etc/plugin/old_generator.py", "# made by buildout\nimport json\n"+base+"extra_config_dict = json.loads('{\"my-key\": \"from json\"}')\n", 0o644)
	for _, name := range slices.Sorted(maps.Keys(executables)) {
		p.executable(name, executables[name])
	}
	p.write("etc/promise/no-program", "text", 0o755)
	p.write("etc/promise/no-shebang", "#!/no/such/interpreter\n", 0o755)
	p.write("etc/promise/not-executable", "#!/bin/sh\n", 0o644)
	if err := os.Mkdir(p.path("etc/promise/folder"), 0o755); err != nil {
		p.t.Fatal(err)
	}
	for _, name := range p.without {
		if err := os.Remove(p.path("etc/plugin/" + name)); err != nil {
			p.t.Fatal(err)
		}
	}
	p.dropPathless()
	p.give()
}

// dropPathless removes plugins that come first in their directory and don't say
// where libraries are: the original then runs nothing.
func (p *partition) dropPathless() {
	for {
		folder, err := os.Open(p.path("etc/plugin"))
		if err != nil {
			p.t.Fatal(err)
		}
		names, err := folder.Readdirnames(-1)
		folder.Close()
		if err != nil {
			p.t.Fatal(err)
		}
		first := slices.IndexFunc(names, func(name string) bool {
			return strings.HasSuffix(name, ".py") && !strings.HasPrefix(name, "__init__")
		})
		if strings.Contains(p.read("etc/plugin/"+names[first]), "sys.path[0:0]") {
			return
		}
		if err := os.Remove(p.path("etc/plugin/" + names[first])); err != nil {
			p.t.Fatal(err)
		}
	}
}

// The files and messages of a run.
type episode struct {
	state map[string]string
	text  string
	bangs []string
}

// episodes are the compared runs; nothing is due in the third.
var episodes = []Mode{Forced, Anomaly, Anomaly, Forced, Anomaly}

// live fills a partition and calls run once for each episode.
func (p *partition) live(modes []Mode, run func(Mode) string) []episode {
	p.fill()
	m := newMaster(p.t)
	p.options.MasterURL, p.options.Bang = m.url, m.bang
	var lived []episode
	for step, mode := range modes {
		if mode == Anomaly && step != 2 {
			p.expire()
		}
		text := strings.TrimSpace(run(mode))
		ended := time.Now()
		lived = append(lived, episode{state: p.state(), text: text, bangs: m.taken()})
		p.dropBroken()
		// Two runs that begin in the same second may draw the same number, 1 of
		// 900, and then count as one run in their logs (PROM-16).
		second := ended.Truncate(time.Second).Add(time.Second)
		testkit.Eventually(p.t, testkit.Patience, "the next second begins", func() bool { return !time.Now().Before(second) })
	}
	return lived
}

// A variant is a Python that our runs use, with its additions to sys.path.
type variant struct {
	name, interpreter, python string
	libraries, without        []string
	modes                     []Mode // nil: episodes
}

// broken plugins leave no cache; the original waits a second for each.
var broken = []string{"1digit.py", "abstract.py", "bad_period.py", "extra_list.py", "extra_taken.py", "json.py", "no_base.py", "no_class.py", "no_iface.py", "no_syntax.py"}

// Our runs and the original's must leave the same files, with the promise
// classes of slapos.core and with the embedded runtime. PROM-3, PROM-6, PROM-8,
// PROM-11, PROM-12, PROM-13, PROM-14, PROM-16, PROM-20, PROM-23, PROM-25,
// PROM-30, PROM-33, PROM-40. D-3: plugins of the original run here unchanged.
func TestSameAsOriginal(t *testing.T) {
	t.Parallel()
	sound := slices.DeleteFunc(slices.Collect(maps.Keys(plugins)), func(name string) bool {
		return slices.Contains(broken, name) || !strings.HasSuffix(name, ".py") || strings.HasPrefix(name, "__init__")
	})
	t.Run("sound", func(t *testing.T) {
		t.Parallel()
		sameAsOriginal(t, broken, nil)
	})
	t.Run("broken", func(t *testing.T) {
		t.Parallel()
		sameAsOriginal(t, sound, []Mode{Forced})
	})
}

func sameAsOriginal(t *testing.T, without []string, modes []Mode) {
	variants := []variant{
		{name: "slapos.core", interpreter: testPython},
		{name: "runtime", interpreter: barePython},
		{name: "configured python", python: barePython},
	}
	theirs := make(chan []episode, 1)
	go func() {
		defer close(theirs)
		theirs <- liveTheirs(t, variant{without: without, modes: modes})
	}()
	ours := make([]chan []episode, len(variants))
	for i, v := range variants {
		v.without, v.modes = without, modes
		ours[i] = make(chan []episode, 1)
		go func() {
			defer close(ours[i])
			ours[i] <- liveOurs(t, v)
		}()
	}
	wanted := <-theirs
	all := make([][]episode, len(variants))
	for i := range variants {
		all[i] = <-ours[i]
	}
	for i, v := range variants {
		got := all[i]
		if len(got) == 0 || len(got) != len(wanted) {
			t.Fatalf("%s: %d runs, want %d", v.name, len(got), len(wanted))
		}
		for step := range got {
			if v.interpreter == "" { // which uses another environment
				for name := range got[step].state {
					if strings.Contains(name, "/latin") {
						got[step].state[name] = wanted[step].state[name]
					}
				}
			}
			compareEpisodes(t, fmt.Sprintf("%s, run %d", v.name, step), wanted[step], got[step])
		}
	}
}

func liveTheirs(t *testing.T, v variant) []episode {
	p := newPartition(t)
	p.libraries, p.without, p.python = v.libraries, v.without, v.interpreter
	return p.live(v.runs(), func(mode Mode) string {
		text, exit := p.original(mode)
		if exit != 2 {
			t.Errorf("the original exits with %d: %s", exit, text)
		}
		return text
	})
}

func (v variant) runs() []Mode {
	if v.modes == nil {
		return episodes
	}
	return v.modes
}

func liveOurs(t *testing.T, v variant) []episode {
	p := newPartition(t)
	p.libraries, p.without = v.libraries, v.without
	p.options.Interpreter, p.options.Python = v.interpreter, v.python
	p.options.Parallel = 1 // so that the first in order bangs
	return p.live(v.runs(), func(mode Mode) string {
		report, err := p.run(mode)
		if err != nil {
			t.Errorf("%s: %v\n%s", v.name, err, p.log.String())
		}
		return fmt.Sprint(report.Err())
	})
}

func compareEpisodes(t *testing.T, what string, wanted, got episode) {
	t.Helper()
	compare(t, what, wanted.state, got.state)
	if got.text != wanted.text {
		t.Errorf("%s: reported %v, want %q", what, got.text, wanted.text)
	}
	if !slices.Equal(wanted.bangs, got.bangs) {
		t.Errorf("%s: bangs %q, want %q", what, got.bangs, wanted.bangs)
	}
}

// dropBroken removes the plugins that can't be loaded: the original waits a
// second for each.
func (p *partition) dropBroken() {
	for name := range plugins {
		if !p.exists(cacheFolder + "/" + strings.TrimSuffix(name, ".py")) {
			os.Remove(p.path("etc/plugin/" + name))
		}
	}
}

func compare(t *testing.T, what string, theirs, ours map[string]string) {
	t.Helper()
	names := []string{}
	for name := range theirs {
		names = append(names, name)
	}
	for name := range ours {
		if _, ok := theirs[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if theirs[name] != ours[name] {
			t.Errorf("%s: %s\ntheirs: %q\nours:   %q", what, name, theirs[name], ours[name])
		}
	}
}

// One anomaly in a run bangs, whichever comes first, and none that must not.
// PROM-15.
func TestBang(t *testing.T) {
	t.Parallel()
	failing := "def sense(self):\n    self.logger.error('bad')"
	for _, test := range []struct {
		name, extra string
		mode        Mode
		bangs       int
	}{
		{"anomaly", "", Anomaly, 1},
		{"test", "", Forced, 0},
		{"not allowed", "extra_config_dict = {'bang-on-failure': 'false'}\n", Anomaly, 0},
		{"allowed", "extra_config_dict = {'bang-on-failure': 'True'}\n", Anomaly, 1},
	} {
		for _, interpreter := range []string{testPython, barePython} {
			t.Run(test.name+" "+interpreter[1:], func(t *testing.T) {
				t.Parallel()
				p, m := newPartition(t), newMaster(t)
				p.options.Interpreter, p.options.MasterURL, p.options.Bang = interpreter, m.url, m.bang
				p.executable("legacy", "exit 1")
				names := []string{"one", "two", "three"}
				for _, name := range names {
					p.write("etc/plugin/"+name+".py", p.pluginText(failing)+test.extra, 0o644)
				}
				report := p.mustRun(test.mode)
				if want := 3 + map[Mode]int{Forced: 1}[test.mode]; report.Failed != want {
					t.Errorf("%d failures, want %d", report.Failed, want)
				}
				bangs := m.taken()
				if len(bangs) != test.bangs {
					t.Fatalf("bangs %q, want %d", bangs, test.bangs)
				}
				logged := 0
				for _, name := range names {
					logged += strings.Count(p.read(logFolder+"/"+name+".log"), "INFO")
					if test.bangs == 1 && bangs[0] == "Promise "+name+" is failing" {
						logged += 10
					}
				}
				if logged != 11*test.bangs {
					t.Errorf("logged %d", logged)
				}
			})
		}
	}
}

// Plugins must not notice that parts of slapos.core are loaded lazily. PROM-10.
func TestDeferredLibrary(t *testing.T) {
	t.Parallel()
	p := newPartition(t)
	body := `
def sense(self):
    assert slapos.util.loads(dumps({'a': 1})) == {'a': 1}
    assert slapos.util.__file__.endswith('util.py') and mkdir_p.__name__
    assert slapos.slap.slap().initializeConnection and slapos.slap.ComputerPartition
    assert issubclass(PromiseError, Exception) and PromiseLauncher.run
    assert slapos.slap.slap is slap and slapos.slap.exception.NotFoundError
    try:
        slapos.util.no_such_name
    except AttributeError:
        self.logger.info('%s %s', requests.__name__, psutil.__name__)`
	for _, name := range []string{"one.py", "two.py"} {
		p.write("etc/plugin/"+name, `import slapos.util, slapos.slap, slapos.slap.exception, slapos.grid.promise.generic
import requests, psutil
from slapos.slap import slap
from slapos.util import dumps, mkdir_p
from slapos.grid.promise import PromiseLauncher, PromiseError
`+p.pluginText(body), 0o644)
	}
	for _, result := range p.mustRun(Forced).Promises {
		if result.Failed || result.Message != "requests psutil" {
			t.Errorf("%+v\n%s", result, p.log.String())
		}
	}
}

// A plugin may import the promise classes from the package instead of its
// module; that doesn't import the whole package. PROM-10.
func TestClassesOfPackage(t *testing.T) {
	t.Parallel()
	for _, interpreter := range []string{testPython, barePython} {
		p := newPartition(t)
		p.options.Interpreter = interpreter
		p.write("etc/plugin/one.py", p.pluginText(`
def sense(self):
    pass
def test(self):
    assert 'multiprocessing' not in sys.modules
    return TestResult(problem=PROMISE_STATE_FOLDER_NAME == '', message='tested')`)+
			"\nfrom slapos.grid.promise import PROMISE_STATE_FOLDER_NAME, TestResult\n", 0o644)
		text := strings.Replace(p.pluginText("def sense(self):\n    self.logger.info('tested')"), "grid.promise.generic import", "grid.promise import", 1)
		p.write("etc/plugin/two.py", text, 0o644)
		for _, result := range p.mustRun(Forced).Promises {
			if result.Failed || result.Message != "tested" {
				t.Errorf("%s: %+v\n%s", interpreter, result, p.log.String())
			}
		}
	}
}
