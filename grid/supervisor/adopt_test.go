// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const adoptable = `
[program:talker]
command=sh -c 'i=0; while :; do i=$((i+1)); echo line $i; sleep 0.02; done'
startsecs=0
stdout_logfile=%(here)s/talker.log
redirect_stderr=true
[program:manual]
command=sleep 1000
autostart=false
autorestart=false
startsecs=0
[program:ends]
command=sh -c 'while [ -e %(here)s/run ]; do sleep 0.02; done; exit 5'
autostart=false
autorestart=false
startsecs=0
[program:comes]
command=sh -c 'while [ -e %(here)s/run ]; do sleep 0.02; done'
startsecs=0
[program:reader]
command=sh -c 'while read line; do echo "read $line"; done; echo over'
startsecs=0
stdout_logfile=%(here)s/reader.log
`

// numbers reads the lines of talker, which must be whole and leave no gap.
func (s *supervisorUnderTest) numbers() (last int) {
	s.t.Helper()
	lines := strings.Split(s.read("talker.log"), "\n")
	for i, line := range lines[:len(lines)-1] {
		if line != "line "+strconv.Itoa(i+1) {
			s.t.Fatalf("line %d of the log is %q", i+1, line)
		}
	}
	return len(lines) - 1
}

// TestAdoption kills the supervisor. Its services must go on, and the next
// supervisor must adopt them without starting anything twice (D-5).
func TestAdoption(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, adoptable)
	s.write("run", "")
	s.start()
	must(t, s.client.StartProcess(s.ctx(), "manual"))
	must(t, s.client.StartProcess(s.ctx(), "ends"))
	before := map[string]ProcessInfo{}
	for _, name := range []string{"talker", "manual", "ends", "comes", "reader"} {
		before[name] = s.untilState(name, "RUNNING")
	}
	s.until("talker talks", func() bool { return s.numbers() > 3 })
	s.kill()
	lines := s.numbers()
	must(t, os.Remove(s.path("run")))
	s.until("two services end", func() bool { return !alive(before["ends"].Pid) && !alive(before["comes"].Pid) })
	for _, name := range []string{"talker", "manual", "reader"} {
		if !alive(before[name].Pid) {
			t.Errorf("%s died with the supervisor", name)
		}
	}
	s.write("run", "")
	s.start()
	for _, name := range []string{"talker", "manual", "reader"} {
		now := s.info(name)
		if now.Pid != before[name].Pid || now.Statename != "RUNNING" || now.Start != before[name].Start {
			t.Errorf("%s was %+v, is %+v", name, before[name], now)
		}
	}
	if ends := s.info("ends"); ends.Statename != "EXITED" || ends.Pid != 0 {
		t.Errorf("ends is %+v", ends)
	}
	if comes := s.info("comes"); comes.Pid == before["comes"].Pid || comes.Statename != "RUNNING" {
		t.Errorf("comes is %+v", comes)
	}
	if left := s.leftBehind(); len(left) < 4 {
		t.Errorf("services %v", left)
	}
	s.until("the log goes on", func() bool { return s.numbers() > lines+10 })
	if _, err := s.client.Call(s.ctx(), "supervisor.sendProcessStdin", "reader", "hello\n"); err != nil {
		t.Error(err)
	}
	s.until("reader has read", func() bool { return s.read("reader.log") == "read hello\n" })
	must(t, s.client.StopProcess(s.ctx(), "talker"))
	if info := s.info("talker"); info.Statename != "STOPPED" || alive(before["talker"].Pid) {
		t.Errorf("talker is %+v after stop", info)
	}
	must(t, s.client.StartProcess(s.ctx(), "talker"))
	must(t, unix.Kill(before["manual"].Pid, unix.SIGKILL))
	if info := s.untilState("manual", "EXITED"); info.Exitstatus != -1 {
		t.Errorf("manual ended with %+v", info)
	}
	// Once more: the journal holds adopted processes, too.
	talker := s.untilState("talker", "RUNNING")
	s.kill()
	s.start()
	if now := s.info("talker"); now.Pid != talker.Pid {
		t.Errorf("talker was %+v, is %+v", talker, now)
	}
	if now := s.info("reader"); now.Pid != before["reader"].Pid {
		t.Errorf("reader was %+v, is %+v", before["reader"], now)
	}
	s.shutdown()
	// A process that a service itself started last ends by itself.
	s.until("nothing is left", func() bool { return len(s.leftBehind()) == 0 })
}

// TestAdoptionWithoutJournal finds services only by their environment, as after
// a crash between start and journal entry.
func TestAdoptionWithoutJournal(t *testing.T) {
	t.Parallel()
	testMarked(t, false)
}

// TestAdoptionFromPython adopts what a killed supervisord of Python left running.
func TestAdoptionFromPython(t *testing.T) {
	t.Parallel()
	testMarked(t, true)
}

func testMarked(t *testing.T, python bool) {
	s := newSupervisor(t, `
[program:talker]
command=sh -c 'trap "" PIPE; i=0; while :; do i=$((i+1)); echo line $i 2>/dev/null; sleep 0.02; done'
startsecs=0
stdout_logfile=%(here)s/talker.log
redirect_stderr=true
[program:parent]
command=sh -c 'setsid sleep 1000 & sleep 1001 & exec sleep 1002'
startsecs=0
`)
	s.python = python
	s.start()
	before := map[string]ProcessInfo{}
	for _, name := range []string{"talker", "parent"} {
		before[name] = s.untilState(name, "RUNNING")
	}
	s.until("talker talks", func() bool { return strings.Count(s.read("talker.log"), "\n") > 3 })
	s.kill()
	if err := os.Remove(s.path("supervisord.services")); err != nil && !python {
		t.Error(err)
	}
	s.python = false
	s.start()
	for _, name := range []string{"talker", "parent"} {
		now := s.info(name)
		if now.Pid != before[name].Pid || now.Statename != "RUNNING" || now.Start < before[name].Start-1 || now.Start > before[name].Start+1 {
			t.Errorf("%s was %+v, is %+v", name, before[name], now)
		}
	}
	lines := strings.Count(s.read("talker.log"), "\n")
	s.until("the log goes on", func() bool { return strings.Count(s.read("talker.log"), "\n") > lines+10 })
}

// TestAdoptionOfChanges changes the configuration while no supervisor runs. The
// next one must show the same differences as the killed one would have.
func TestAdoptionOfChanges(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, "")
	program := func(name, argument string) {
		s.write("conf.d/"+name+".conf", fmt.Sprintf("[program:%s]\ncommand=sleep %s\nstartsecs=0\n", name, argument))
	}
	program("same", "1000")
	program("changes", "1000")
	program("goes", "1000")
	s.start()
	before := map[string]ProcessInfo{}
	for _, name := range []string{"same", "changes", "goes"} {
		before[name] = s.untilState(name, "RUNNING")
	}
	s.kill()
	program("changes", "1001")
	must(t, os.Remove(s.path("conf.d/goes.conf")))
	s.start()
	for name, info := range before {
		if now := s.info(name); now.Pid != info.Pid {
			t.Errorf("%s was %+v, is %+v", name, info, now)
		}
	}
	added, changed, removed, err := s.client.ReloadConfig(s.ctx())
	if got := fmt.Sprint(added, changed, removed); got != "[] [changes] [goes]" || err != nil {
		t.Errorf("reload: %s, %v", got, err)
	}
	update(t, s.path("sv.sock"))
	if alive(before["goes"].Pid) || alive(before["changes"].Pid) || !alive(before["same"].Pid) {
		t.Error("the update stopped the wrong services")
	}
}

// TestAdoptionDistrust checks that only a process of the program's user that
// can be the service is taken for it.
func TestAdoptionDistrust(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, "[program:p]\ncommand=sleep 1000\nautostart=false\nstartsecs=0\n")
	marks := []string{
		"SUPERVISOR_SERVER_URL=unix://" + s.path("sv.sock"), "SUPERVISOR_GROUP_NAME=p", "SUPERVISOR_PROCESS_NAME=p",
	}
	attributes := map[string]*syscall.SysProcAttr{
		"no group leader": {},
		"session leader":  {Setsid: true},
	}
	if isRoot() {
		attributes["another user"] = &syscall.SysProcAttr{Setpgid: true, Credential: &syscall.Credential{Uid: 1, Gid: 1}}
	}
	for _, sys := range attributes {
		process, err := os.StartProcess("/bin/sleep", []string{"sleep", "1000"}, &os.ProcAttr{Env: marks, Sys: sys})
		must(t, err)
		defer func() { _, _ = process.Wait() }()
		defer func() { _ = process.Kill() }()
	}
	s.write("supervisord.pid", "999999\n") // left by a killed supervisor
	s.start()
	if info := s.info("p"); info.Statename != "STOPPED" || info.Pid != 0 {
		t.Errorf("p is %+v", info)
	}
}

// TestRunningPython checks that a running supervisord of Python is not
// replaced, even if its socket is gone.
func TestRunningPython(t *testing.T) {
	s := newSupervisor(t, "[program:p]\ncommand=sleep 1000\nstartsecs=0\n")
	s.python = true
	s.start()
	info := s.untilState("p", "RUNNING")
	for _, hidden := range []bool{false, true} {
		if hidden {
			must(t, os.Rename(s.path("sv.sock"), s.path("hidden")))
		}
		if out, err := s.second(); err == nil {
			t.Errorf("a second supervisor started: %s", out)
		}
		if !alive(info.Pid) || !alive(s.command.Process.Pid) || !exists(s.path("supervisord.pid")) {
			t.Fatal("the first was disturbed")
		}
	}
	must(t, os.Rename(s.path("hidden"), s.path("sv.sock")))
}
