// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slapos/grid/supervisor/config"
	"slapos/slap/child"
	"slapos/slap/testkit"
)

// TestThreadsEnd ends a thousand threads of the supervisor, probably including
// the one that started the service. A service bound to the thread that started
// it (by a parent-death signal) would die. D-4.
func TestThreadsEnd(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "supervisord.conf")
	text := "[supervisord]\nlogfile=NONE\nchildlogdir=%(here)s\npidfile=%(here)s/pid\n[program:p]\ncommand=sleep 1000\nstartsecs=0\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan struct{})
	defer func() { cancel(); <-served }()
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(served)
		done <- Serve(ctx, Options{ConfigFile: path, Environ: os.Environ(), Ready: func() { close(ready) }})
	}()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	journal := &journal{running: map[int]entry{}}
	data, err := os.ReadFile(filepath.Join(directory, "pid.services"))
	if err != nil {
		t.Fatal(err)
	}
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	journal.boot = strings.TrimSpace(string(boot))
	journal.read(data)
	if len(journal.running) != 1 {
		t.Fatalf("journal %s", data)
	}
	var threads sync.WaitGroup
	for range 1000 {
		threads.Add(1)
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with us
			threads.Done()
		}()
	}
	threads.Wait()
	testkit.Watch(t, 50*time.Millisecond)
	for pid, e := range journal.running {
		if stat, err := readStat(pid); err != nil || stat.dead || stat.ticks != e.Ticks {
			t.Errorf("the service is %+v, %v", stat, err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for pid := range journal.running {
		if _, err := readStat(pid); err == nil {
			t.Errorf("process %d is left", pid)
		}
	}
}

// testOutput is an output of a daemon that runs nothing; all events wait in its
// group's pool.
func testOutput(c config.Stream) *output {
	d := &daemon{config: &config.Config{}, groups: map[string]*group{}, log: slog.New(slog.DiscardHandler)}
	d.mainLog = &mainLog{mu: new(sync.Mutex)}
	g := &group{d: d, config: &config.Group{Name: "g", Listener: &config.Listener{BufferSize: 100, Events: []string{"EVENT"}}}}
	g.pool = &pool{group: g}
	d.groups["g"] = g
	return &output{process: &process{d: d, group: g, config: &config.Program{Name: "p"}}, channel: "stdout", config: c}
}

func mustJSON(t *testing.T, value any) string {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(data) + "\n"
}

func TestCapture(t *testing.T) {
	const begin, end = "<!--XSUPERVISOR:BEGIN-->", "<!--XSUPERVISOR:END-->"
	for _, c := range []struct {
		text   string
		events []string // after the first line
		log    string
	}{
		{"plain", nil, "plain"},
		{"a" + begin + "b" + end + "c", []string{"b"}, "ac"},
		{begin + "1" + end + begin + "2" + end, []string{"1", "2"}, ""},
		{"a" + begin + "never ends", nil, "a"},
		{"<!--XSUPERVISOR:BEG", nil, "<!--XSUPERVISOR:BEG"},
		{begin + strings.Repeat("x", 50) + end, []string{strings.Repeat("x", 20)}, ""},
	} {
		for size := 1; size <= len(c.text); size++ {
			o := testOutput(config.Stream{CaptureMaxBytes: 20, Events: true})
			for start := 0; start < len(c.text); start += size {
				o.receive([]byte(c.text[start:min(start+size, len(c.text))]))
			}
			o.flush()
			var events []string
			log := ""
			for _, e := range o.process.group.pool.buffer {
				_, data, _ := strings.Cut(e.payload, "\n")
				if e.name == "PROCESS_LOG_STDOUT" {
					log += data
				} else {
					events = append(events, data)
				}
			}
			if log != c.log || !reflect.DeepEqual(events, c.events) {
				t.Errorf("%q in pieces of %d: %q, %q", c.text, size, log, events)
			}
		}
	}
}

// A log in somebody else's directory must belong to that user or to us, and
// have no other name.
func TestCheckFile(t *testing.T) {
	ours, theirs := uint32(os.Geteuid()), uint32(os.Geteuid()+1)
	for _, test := range []struct {
		name            string
		directory, file unix.Stat_t
		wanted          bool
	}{
		{"theirs", unix.Stat_t{Uid: theirs}, unix.Stat_t{Mode: unix.S_IFREG, Nlink: 1, Uid: theirs}, true},
		{"ours", unix.Stat_t{Uid: theirs}, unix.Stat_t{Mode: unix.S_IFREG, Nlink: 1, Uid: ours}, true},
		{"another's", unix.Stat_t{Uid: theirs}, unix.Stat_t{Mode: unix.S_IFREG, Nlink: 1, Uid: theirs + 1}, false},
		{"two names", unix.Stat_t{Uid: theirs}, unix.Stat_t{Mode: unix.S_IFREG, Nlink: 2, Uid: theirs}, false},
		{"pipe", unix.Stat_t{Uid: theirs}, unix.Stat_t{Mode: unix.S_IFIFO, Nlink: 1, Uid: theirs}, false},
	} {
		if err := checkFile("log", &test.directory, &test.file); (err == nil) != test.wanted {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// A log that is shown must not be a link in a directory that others can write to.
func TestOpenForReading(t *testing.T) {
	directory := t.TempDir()
	log, link := filepath.Join(directory, "log"), filepath.Join(directory, "link")
	if err := errors.Join(os.WriteFile(log, []byte("text"), 0o600), os.Symlink(log, link)); err != nil {
		t.Fatal(err)
	}
	for mode, wanted := range map[os.FileMode]bool{0o700: true, 0o777: false} {
		if err := os.Chmod(directory, mode); err != nil {
			t.Fatal(err)
		}
		for path, wanted := range map[string]bool{log: true, link: wanted} {
			file, err := openForReading(path)
			if (err == nil) != wanted {
				t.Errorf("%s in a directory of mode %v: %v", filepath.Base(path), mode, err)
			}
			if err == nil {
				file.Close()
			}
		}
	}
}

func TestStripANSI(t *testing.T) {
	for text, want := range map[string]string{
		"plain": "plain", "\x1b[31mred\x1b[0m!": "red!", "a\x1b[": "a", "\x1b[2J": "", "\x1bx": "\x1bx",
	} {
		if got := stripANSI([]byte(text)); string(got) != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestParseStat(t *testing.T) {
	line := "7 (a) b) (c) Z 1 7 3 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 697716 " + strings.Repeat("0 ", 29) + "256"
	got, err := parseStat([]byte(line))
	if want := (processStat{parent: 1, group: 7, session: 3, ticks: 697716, dead: true, exitCode: 256}); got != want || err != nil {
		t.Errorf("got %+v, %v", got, err)
	}
	own, err := readStat(os.Getpid())
	if err != nil || own.parent != os.Getppid() || own.dead {
		t.Errorf("our own: %+v, %v", own, err)
	}
	for _, bad := range []string{"", "7", "7 (a)", "7 (a) S x y z" + strings.Repeat(" 0", 30)} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

// TestJournal checks that the journal can be read back, even after a crash in
// the middle of a line, and that entries from before a reboot don't count.
func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "services")
	fail := func(err error) { t.Error(err) }
	j := openJournal(path, fail)
	program := &config.Program{Name: "p", ExitCodes: []int{0, 2}, Environment: map[string]string{"A": "é\n"}, User: -1}
	for pid := 1; pid <= 3; pid++ {
		e := entry{PID: pid, Ticks: 5, Since: time.Unix(1700000000, 5), Group: "g", Program: program, Pipes: [3]uint64{1, 2, 3}}
		j.running[pid] = e
		j.append(e)
	}
	j.ended(2)
	j.ended(99)
	want := j.running
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`{"ended":3`); err != nil {
		t.Fatal(err)
	}
	file.Close()
	again := openJournal(path, fail)
	for pid, e := range again.running {
		if !e.Since.Equal(want[pid].Since) || !reflect.DeepEqual(e.Program, program) || e.Pipes != want[pid].Pipes {
			t.Errorf("process %d: %+v", pid, e)
		}
	}
	if len(again.running) != 2 || len(want) != 2 {
		t.Errorf("running %v", again.running)
	}
	for range maximumLines + 10 {
		again.append(entry{Ended: 99})
	}
	if again.lines > 100 {
		t.Errorf("%d lines", again.lines)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := &journal{boot: "another", running: map[int]entry{}}
	other.read(data)
	if len(other.running) != 0 {
		t.Errorf("running since the last boot: %v", other.running)
	}
}

// TestJournalOfListeners checks that a node without services has no journal.
func TestJournalOfListeners(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j.services")
	if err := os.WriteFile(path, []byte(mustJSON(t, entry{Boot: "another"})), 0o600); err != nil {
		t.Fatal(err)
	}
	there := func() bool {
		_, err := os.Stat(path)
		return err == nil
	}
	j := openJournal(path, func(err error) { t.Error(err) })
	listener, service := entry{PID: 1, Listener: true, Program: &config.Program{}}, entry{PID: 2, Program: &config.Program{}}
	if j.running[1] = listener; there() {
		t.Error("the journal of another boot is still there")
	}
	if j.append(listener); there() {
		t.Error("a journal of listeners")
	}
	j.running[2] = service
	if j.append(service); !there() {
		t.Fatal("no journal of a service")
	}
	if again := openJournal(path, func(err error) { t.Error(err) }); len(again.running) != 2 {
		t.Errorf("running %v", again.running)
	}
	if j.remove(); there() {
		t.Error("the journal stays")
	}
}

// TestProgramsSurviveTheJournal checks that a program read from the journal
// equals the one read from the same configuration: otherwise every service
// would count as changed after a crash.
func TestProgramsSurviveTheJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c")
	text := "[supervisord]\n[program:a]\ncommand=a\nexitcodes=\n[program:b]\ncommand=b\nenvironment=A=\"1\"\numask=077\nstopsignal=USR1\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range c.Groups {
		j := &journal{boot: "b", running: map[int]entry{}}
		line := mustJSON(t, entry{Boot: "b"}) + mustJSON(t, entry{PID: 1, Program: g.Programs[0]})
		j.read([]byte(line))
		if got := j.running[1].Program; !reflect.DeepEqual(got, g.Programs[0]) {
			t.Errorf("got %#v, want %#v", got, g.Programs[0])
		}
	}
}

func TestUptime(t *testing.T) {
	for seconds, want := range map[int64]string{0: "0:00:00", 3661: "1:01:01", 86400: "1 day, 0:00:00", 200000: "2 days, 7:33:20"} {
		if got := uptime(seconds); got != want {
			t.Errorf("%d: %s", seconds, got)
		}
	}
}

func FuzzCall(f *testing.F) {
	f.Add("supervisor.readProcessStdoutLog", "p", 1<<62, 1<<62, true)
	f.Add("supervisor.tailProcessStderrLog", "a:b", -1, -1, false)
	f.Fuzz(func(t *testing.T, name, text string, a, b int, flag bool) {
		o := testOutput(config.Stream{})
		d := o.process.d
		d.options.ConfigFile = "/dev/null"
		d.state = supervisorRunning
		d.ending = make(chan struct{})
		for _, params := range [][]any{nil, {text}, {text, a}, {text, a, b}, {text, flag}, {flag}, {a, b}, {text, text}} {
			if name == "supervisor.reloadConfig" {
				continue
			}
			_, _ = d.call(t.Context(), name, params)
			d.state = supervisorRunning
			d.ending = make(chan struct{})
		}
	})
}

func FuzzReadJournal(f *testing.F) {
	f.Add([]byte("{\"boot\":\"b\"}\n{\"pid\":1,\"program\":{\"Name\":\"a\"}}\n{\"ended\":1}\n"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		j := &journal{boot: "b", running: map[int]entry{}}
		j.read(data)
		_, _ = parseStat(data)
		variables, _ := child.Variables(data)
		_ = parseMarks(variables)
		_ = runsAs(data, 0)
		_ = cleanMappings(data)
	})
}
