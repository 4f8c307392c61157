// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap/testkit"
)

func TestStartAndStop(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, `
[program:web]
command=sleep 1000
autostart=true
[program:idle]
command=sleep 1000
autostart=false
startsecs=0
`).start()
	web := s.untilState("web", "RUNNING")
	if web.Pid == 0 || web.Start == 0 || web.Group != "web" || !alive(web.Pid) {
		t.Errorf("web is %+v", web)
	}
	idle := s.info("idle")
	if idle.Statename != "STOPPED" || idle.Description != "Not started" || idle.Pid != 0 {
		t.Errorf("idle is %+v", idle)
	}
	must(t, s.client.StartProcessAndWait(s.ctx(), "idle"))
	if idle = s.info("idle"); idle.Statename != "RUNNING" {
		t.Errorf("idle is %+v", idle)
	}
	if err := s.client.StartProcessAndWait(s.ctx(), "idle"); !isFault(err, FaultAlreadyStarted) || err.Error() != "ALREADY_STARTED: idle" {
		t.Errorf("second start: %v", err)
	}
	must(t, s.client.StopProcess(s.ctx(), "idle"))
	if idle = s.info("idle"); idle.Statename != "STOPPED" || idle.Exitstatus != -1 || idle.Pid != 0 {
		t.Errorf("idle is %+v", idle)
	}
	if err := s.client.StopProcess(s.ctx(), "idle"); !isFault(err, FaultNotRunning) {
		t.Errorf("second stop: %v", err)
	}
	if err := s.client.StopProcess(s.ctx(), "nope"); !isFault(err, FaultBadName) || err.Error() != "BAD_NAME: nope" {
		t.Errorf("unknown process: %v", err)
	}
	if second, err := s.second(); err == nil || !strings.Contains(second, "another supervisor") {
		t.Errorf("a second supervisor: %v, %s", err, second)
	}
	if !alive(web.Pid) || s.info("web").Pid != web.Pid {
		t.Error("a second supervisor disturbed the first")
	}
	s.shutdown()
	if alive(web.Pid) || exists(s.path("sv.sock")) || exists(s.path("supervisord.pid")) || exists(s.path("supervisord.services")) {
		t.Error("something is left after shutdown")
	}
}

// second starts another supervisor for the same configuration.
func (s *supervisorUnderTest) second() (string, error) {
	command := exec.Command(testExecutable())
	command.Args = []string{"supervisord", "-c", s.path("supervisord.conf"), "--nodaemon"}
	out, err := command.CombinedOutput()
	return string(out), err
}

// TestStopSignals checks that a service is asked first, and killed with its
// whole group only when its time is over.
func TestStopSignals(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, `
[program:polite]
command=sh -c 'trap "sleep 1; echo bye; exit 3" TERM; echo up; while :; do sleep 0.1; done'
stopwaitsecs=60
stdout_logfile=%(here)s/polite.log
[program:interrupted]
command=sh -c 'trap "" TERM; trap "exit 4" INT; echo up; while :; do sleep 0.1; done'
stopsignal=INT
stdout_logfile=%(here)s/interrupted.log
[program:deaf]
command=sh -c 'trap "" TERM; echo up; sleep 1000 & wait; wait'
stopwaitsecs=1
stopasgroup=true
stdout_logfile=%(here)s/deaf.log
`).start()
	for _, name := range []string{"polite", "interrupted", "deaf"} {
		s.until(name+" is up", func() bool { return s.read(name+".log") == "up\n" })
	}
	must(t, s.client.StopProcess(s.ctx(), "polite"))
	if info := s.info("polite"); info.Exitstatus != 3 || s.read("polite.log") != "up\nbye\n" {
		t.Errorf("polite ended with %+v, %q", info, s.read("polite.log"))
	}
	must(t, s.client.StopProcess(s.ctx(), "interrupted"))
	if info := s.info("interrupted"); info.Exitstatus != 4 {
		t.Errorf("interrupted ended with %+v", info)
	}
	start := time.Now()
	must(t, s.client.StopProcess(s.ctx(), "deaf"))
	if took := time.Since(start); took < time.Second {
		t.Errorf("killed after %v", took)
	}
	if !strings.Contains(s.read("supervisord.log"), "killing 'deaf'") {
		t.Error("no word of the kill in the log")
	}
	if left := s.leftBehind(); len(left) > 0 {
		t.Errorf("processes %v of the group are left", left)
	}
}

// TestRestarts checks what happens to programs that end by themselves.
func TestRestarts(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, `
[program:crash]
command=sh -c 'date +%%s%%N; exit 1'
startretries=2
stdout_logfile=%(here)s/crash.log
[program:missing]
command=/no/such/program
startretries=0
[program:once]
command=sh -c 'exit 0'
startsecs=0
autorestart=unexpected
[program:failing]
command=sh -c 'exit 7'
startsecs=0
autorestart=false
[program:again]
command=sh -c 'echo start; sleep 1.2; exit 0'
startsecs=1
autorestart=true
stdout_logfile=%(here)s/again.log
[program:busy]
command=sh -c 'date +%%s%%N'
startsecs=0
autorestart=true
stdout_logfile=%(here)s/busy.log
[program:noexec]
command=%(here)s/noexec
startsecs=0
autorestart=false
stdout_logfile=%(here)s/noexec.log
redirect_stderr=true
`)
	s.write("noexec", "no interpreter line, no program\x00")
	s.start()
	if info := s.untilState("once", "EXITED"); info.Exitstatus != 0 || info.Spawnerr != "" {
		t.Errorf("once is %+v", info)
	}
	if info := s.untilState("failing", "EXITED"); info.Exitstatus != 7 || info.Spawnerr != "Bad exit code 7" {
		t.Errorf("failing is %+v", info)
	}
	if info := s.untilState("missing", "FATAL"); info.Description != "can't find command '/no/such/program'" {
		t.Errorf("missing is %+v", info)
	}
	if info := s.untilState("noexec", "EXITED"); info.Exitstatus != 127 || !strings.HasPrefix(s.read("noexec.log"), "supervisor: couldn't exec") {
		t.Errorf("noexec is %+v, %q", info, s.read("noexec.log"))
	}
	info := s.untilState("crash", "FATAL")
	starts := s.times("crash.log")
	if len(starts) != 3 || info.Spawnerr != "Exited too quickly (process log may have details)" {
		t.Fatalf("crash was started at %v: %+v", starts, info)
	}
	// The delays between starts are 1 s, then 2 s, minus the time that has passed.
	if first, second := starts[1].Sub(starts[0]), starts[2].Sub(starts[1]); first < 500*time.Millisecond || second < 1500*time.Millisecond {
		t.Errorf("crash was started again after %v and %v", first, second)
	}
	s.until("again started twice", func() bool { return strings.Count(s.read("again.log"), "start") > 1 })
	must(t, s.client.StopAll(s.ctx()))
	busy := s.times("busy.log")
	if took := busy[len(busy)-1].Sub(busy[0]); len(busy) > 3+2*int(took.Seconds()) {
		t.Errorf("busy was started %d times in %v", len(busy), took)
	}
	testkit.Watch(t, 1500*time.Millisecond)
	if after := s.times("busy.log"); len(after) != len(busy) {
		t.Error("busy was started after it was stopped")
	}
}

// times returns the times that a program has written, in nanoseconds since 1970.
func (s *supervisorUnderTest) times(name string) []time.Time {
	s.t.Helper()
	var times []time.Time
	for line := range strings.Lines(s.read(name)) {
		number, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
		if err != nil {
			s.t.Fatal(err)
		}
		times = append(times, time.Unix(0, number))
	}
	return times
}

// TestChildren looks at what a service inherits.
func TestChildren(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, `
[program:look]
command=sh -c 'umask; id -u; id -g; id -G; pwd; env | sort; ls /proc/self/fd | wc -l; cat /proc/$$/stat; readlink /proc/$$/fd/1 /proc/$$/fd/2; exec sleep 1000'
directory=/usr
environment=A="b,c"
redirect_stderr=true
startsecs=0
stdout_logfile=%(here)s/look.log
[program:masked]
command=sh -c 'umask; exec sleep 1000'
umask=077
stdout_logfile=%(here)s/masked.log
`)
	s.ignoring = true
	s.start()
	s.until("look has looked", func() bool { return strings.Count(s.read("look.log"), "pipe:") == 2 })
	lines := strings.Split(s.read("look.log"), "\n")
	if lines[0] != "0022" || lines[4] != "/usr" {
		t.Errorf("umask and directory %q", lines)
	}
	for _, want := range []string{
		"A=b,c", "SUPERVISOR_ENABLED=1", "SUPERVISOR_GROUP_NAME=look", "SUPERVISOR_PROCESS_NAME=look",
		"SUPERVISOR_SERVER_URL=unix://" + s.path("sv.sock"),
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no %s in %q", want, lines)
		}
	}
	info := s.info("look")
	stat := strings.Fields(lines[len(lines)-4])
	if pid := strconv.Itoa(info.Pid); stat[4] != pid || stat[5] == pid {
		t.Errorf("process group %s, session %s of process %s", stat[4], stat[5], pid)
	}
	if lines[len(lines)-3] != lines[len(lines)-2] {
		t.Errorf("error output isn't redirected: %q", lines)
	}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", info.Pid))
	must(t, err)
	if len(fds) != 3 {
		t.Errorf("descriptors %v", fds)
	}
	signals, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", info.Pid))
	must(t, err)
	for _, line := range []string{"SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000"} {
		if !strings.Contains(string(signals), line) {
			t.Errorf("no %q in\n%s", line, signals)
		}
	}
	s.until("masked has looked", func() bool { return s.read("masked.log") == "0077\n" })
	must(t, s.client.StopProcess(s.ctx(), "look"))
	must(t, s.client.StartProcess(s.ctx(), "look"))
	s.until("look looked again", func() bool { return strings.Count(s.read("look.log"), "0022\n") == 2 })
}

// TestReload checks that a reload touches only what changed.
func TestReload(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, "")
	program := func(name, argument string) {
		s.write("conf.d/"+name+".conf", fmt.Sprintf("[group:%s]\nprograms=%[1]s_p\n[program:%[1]s_p]\ncommand=sleep %s\nprocess_name=p\nstartsecs=0\n", name, argument))
	}
	program("same", "1000")
	program("changes", "1000")
	program("goes", "1000")
	s.start()
	same, changes, goes := s.info("same:p"), s.info("changes:p"), s.info("goes:p")
	reload := func(want string) {
		t.Helper()
		added, changed, removed, err := s.client.ReloadConfig(s.ctx())
		if got := fmt.Sprint(added, changed, removed); err != nil || got != want {
			t.Errorf("reload: %s, %v, want %s", got, err, want)
		}
	}
	reload("[] [] []")
	program("changes", "1001")
	program("comes", "1000")
	must(t, os.Remove(s.path("conf.d/goes.conf")))
	reload("[comes] [changes] [goes]")
	reload("[comes] [changes] [goes]")
	if s.info("goes:p").Pid != goes.Pid || s.info("changes:p").Pid != changes.Pid {
		t.Error("reading the configuration touched a process")
	}
	if err := s.client.RemoveGroup(s.ctx(), "goes"); !isFault(err, FaultStillRunning) {
		t.Errorf("removal of a running group: %v", err)
	}
	s.write("conf.d/bad.conf", "[program:a b]\ncommand=x\n")
	if _, _, _, err := s.client.ReloadConfig(s.ctx()); !isFault(err, FaultCantReread) || !strings.Contains(err.Error(), "bad.conf") {
		t.Errorf("bad configuration: %v", err)
	}
	must(t, os.Remove(s.path("conf.d/bad.conf")))
	update(t, s.path("sv.sock"))
	if now := s.info("same:p"); now.Pid != same.Pid || now.Start != same.Start {
		t.Errorf("the unchanged group was touched: %+v", now)
	}
	if now := s.info("changes:p"); now.Pid == changes.Pid || alive(changes.Pid) {
		t.Errorf("the changed group is %+v", now)
	}
	if alive(goes.Pid) {
		t.Error("the removed group is alive")
	}
	s.untilState("comes:p", "RUNNING")
	if _, err := s.client.ProcessInfo(s.ctx(), "goes:p"); !isFault(err, FaultBadName) {
		t.Errorf("the removed group: %v", err)
	}
	reload("[] [] []")
}

// TestPriorities checks the order of starts and stops.
func TestPriorities(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, `
[program:second]
command=sh -c 'trap "exit 0" TERM; while :; do sleep 0.1; done'
priority=2
[program:first]
command=sh -c 'trap "sleep 0.3; exit 0" TERM; while :; do sleep 0.1; done'
priority=1
[program:third]
command=sh -c 'trap "sleep 0.6; exit 0" TERM; while :; do sleep 0.1; done'
priority=3
`).start()
	for _, name := range []string{"first", "second", "third"} {
		s.untilState(name, "RUNNING")
	}
	s.shutdown()
	order := func(pattern string) (names []string) {
		for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(s.read("supervisord.log"), -1) {
			names = append(names, match[1])
		}
		return names
	}
	if got := order(`spawned: '(\w+)'`); !slices.Equal(got, []string{"first", "second", "third"}) {
		t.Errorf("started %v", got)
	}
	if got := order(`stopped: (\w+)`); !slices.Equal(got, []string{"third", "second", "first"}) {
		t.Errorf("stopped %v", got)
	}
}

// TestSignals checks the signals to the supervisor itself.
func TestSignals(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, "[program:p]\ncommand=sh -c 'while :; do echo line; sleep 0.05; done'\nstdout_logfile=%(here)s/p.log\nstartsecs=0\n").start()
	first := s.untilState("p", "RUNNING")
	s.until("p writes", func() bool { return s.read("p.log") != "" })
	must(t, os.Rename(s.path("p.log"), s.path("p.old")))
	must(t, os.Rename(s.path("supervisord.log"), s.path("supervisord.old")))
	must(t, s.command.Process.Signal(unix.SIGUSR2))
	s.until("logs are open again", func() bool { return s.read("p.log") != "" && exists(s.path("supervisord.log")) })
	must(t, s.command.Process.Signal(unix.SIGHUP))
	s.until("p is another process", func() bool {
		info, err := s.client.ProcessInfo(s.ctx(), "p")
		return err == nil && info.Pid != 0 && info.Pid != first.Pid
	})
	if alive(first.Pid) {
		t.Error("the restart left a process")
	}
	must(t, s.command.Process.Signal(unix.SIGTERM))
	s.waitExit()
}

// TestIdle checks that an idle supervisor with services doesn't wake up.
func TestIdle(t *testing.T) {
	var text strings.Builder
	for i := range 50 {
		fmt.Fprintf(&text, "[program:p%d]\ncommand=sleep 1000\nstartsecs=0\nstdout_logfile=NONE\nstderr_logfile=NONE\n", i)
	}
	s := newSupervisor(t, text.String()).start()
	s.untilState("p49", "RUNNING")
	s.client.Close()
	switches := func() (total int) {
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", s.command.Process.Pid))
		must(t, err)
		for _, task := range tasks {
			data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/status", s.command.Process.Pid, task.Name()))
			must(t, err)
			for _, match := range regexp.MustCompile(`voluntary_ctxt_switches:\s+(\d+)`).FindAllStringSubmatch(string(data), -1) {
				n, _ := strconv.Atoi(match[1])
				total += n
			}
		}
		return total
	}
	s.until("it is quiet for a moment", func() bool {
		before := switches()
		testkit.Watch(t, time.Second)
		return switches() == before
	})
	before := switches()
	testkit.Watch(t, 3*time.Second)
	if woke := switches() - before; woke > 3 {
		t.Errorf("woke up %d times in 3 seconds", woke)
	}
}

// TestBrokenOutput closes the pipe to which the supervisor's log is copied, as
// happens when a parent supervisor dies.
func TestBrokenOutput(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, "[program:p]\ncommand=sleep 1000\nstartsecs=0\n")
	read, write, err := os.Pipe()
	must(t, err)
	command := exec.Command(testExecutable())
	command.Args = []string{"supervisord", "-c", s.path("supervisord.conf"), "--nodaemon"}
	command.Stdout, command.Stderr = write, write
	must(t, command.Start())
	write.Close()
	s.command, s.exited = command, make(chan error, 1)
	go func() { s.exited <- command.Wait() }()
	s.until("the supervisor answers", func() bool {
		_, _, err := s.client.State(s.ctx())
		return err == nil
	})
	read.Close()
	for range 3 {
		must(t, s.client.StopProcess(s.ctx(), "p"))
		must(t, s.client.StartProcessAndWait(s.ctx(), "p"))
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.info("p").Pid))
	must(t, err)
	if !strings.Contains(string(data), "SigIgn:\t0000000000000000") {
		t.Error("the program ignores signals")
	}
}
