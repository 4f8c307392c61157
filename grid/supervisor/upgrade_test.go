// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"slapos/slap/testkit"
)

// install puts a program of a version where the supervisor under test runs from.
func (s *supervisorUnderTest) install(version string) {
	s.t.Helper()
	s.executable = s.path("bin/program")
	must(s.t, os.MkdirAll(s.path("bin"), 0o755))
	must(s.t, os.WriteFile(s.executable+".version", []byte(version), 0o644))
	must(s.t, os.RemoveAll(s.executable))
	if os.Link(testExecutable(), s.executable) != nil { // another file system
		data, err := os.ReadFile(testExecutable())
		must(s.t, err)
		must(s.t, os.WriteFile(s.executable, data, 0o755))
	}
}

// upgraded upgrades the supervisor to a version.
func (s *supervisorUnderTest) upgraded(version string) {
	s.t.Helper()
	s.install(version)
	done, err := s.client.Upgrade(s.ctx())
	if err != nil || done.PID != s.command.Process.Pid || done.Version != version || done.Executable != s.executable {
		s.t.Fatalf("upgrade to %s: %+v, %v", version, done, err)
	}
}

// talking is a command that writes numbered lines as fast as they are read, in
// bursts.
const talking = `bash -c 'i=0; while :; do i=$((i+1)); echo line $i%s; ((i %%%% 200)) || sleep 0.05; done'`

var upgradable = `
[program:talker]
command=` + fmt.Sprintf(talking, "") + `
startsecs=0
stdout_logfile=%(here)s/talker.log
stdout_logfile_maxbytes=0
redirect_stderr=true
[program:both]
command=` + fmt.Sprintf(talking, "; echo line $i >&2") + `
startsecs=0
stdout_logfile=%(here)s/both.log
stdout_logfile_maxbytes=1MB
stdout_logfile_backups=200
stderr_logfile=%(here)s/both.err
stderr_logfile_maxbytes=0
[program:starts]
command=sleep 1000
startsecs=3600
autostart=false
[program:starts-later]
command=sleep 1000
startsecs=3600
startretries=0
autostart=false
[program:starts-soon]
command=sleep 1000
startsecs=2
[program:fails]
command=sh -c '[ -e %(here)s/go ] || exit 1; exec sleep 1000'
startsecs=1
startretries=100000
[program:stays]
command=bash -c 'trap "" TERM; echo up; while :; do sleep 0.1; done'
stdout_logfile=%(here)s/stays.log
startsecs=0
stopwaitsecs=3600
[program:killed]
command=bash -c 'trap "" TERM; echo up; while :; do sleep 0.1; done'
stdout_logfile=%(here)s/killed.log
startsecs=0
stopwaitsecs=2
[program:ends]
command=bash -c 'sleep 0.$((RANDOM %% 4)); exit 7'
autostart=false
autorestart=false
startsecs=0
[program:reader]
command=cat
startsecs=0
stdout_logfile=%(here)s/reader.log
[eventlistener:listener]
command=PYTHON %(here)s/listener.py %(here)s/heard
events=REMOTE_COMMUNICATION
startsecs=0
`

// whole checks that logs hold the lines 1, 2, 3... and returns how many.
func (s *supervisorUnderTest) whole(names ...string) (last int) {
	s.t.Helper()
	for _, name := range names {
		file, err := os.Open(s.path(name))
		must(s.t, err)
		for scanner := bufio.NewScanner(file); scanner.Scan(); {
			if last++; scanner.Text() != "line "+strconv.Itoa(last) {
				s.t.Fatalf("%s: line %d is %q", name, last, scanner.Text())
			}
		}
		file.Close()
	}
	return last
}

// TestUpgrade replaces the program of a supervisor under load again and again
// (GRID-109). Services, listeners, clients and those who wait notice nothing.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, strings.ReplaceAll(upgradable, "PYTHON", testkit.Python(t)))
	s.write("listener.py", listenerScript)
	s.install("0")
	s.start()
	pid := s.command.Process.Pid
	kept := []string{"talker", "both", "starts", "starts-soon", "stays", "reader", "listener"}
	must(t, s.client.StartProcess(s.ctx(), "starts"))
	s.until("those that ignore SIGTERM do", func() bool { return s.read("stays.log") == "up\n" && s.read("killed.log") == "up\n" })
	before := map[string]ProcessInfo{}
	for _, name := range kept {
		before[name] = s.info(name)
	}
	waits := s.callers()
	must(t, ignoreResult(s.client.Call(s.ctx(), "supervisor.stopProcess", "killed", false)))
	stopLoad := s.load(pid)
	tail := s.follow("talker")
	descriptors := 0
	rounds := testkit.Rounds(20)
	for round := 1; round <= rounds; round++ {
		must(t, s.client.StartProcess(s.ctx(), "ends"))
		s.upgraded(strconv.Itoa(round))
		for _, name := range kept {
			if now := s.info(name); now.Pid != before[name].Pid || now.Start != before[name].Start {
				t.Fatalf("round %d: %s was %+v, is %+v", round, name, before[name], now)
			}
		}
		if info := s.untilState("ends", "EXITED"); info.Exitstatus != 7 {
			t.Fatalf("round %d: exit status %d", round, info.Exitstatus)
		}
		if now := s.info("fails"); now.Statename != "BACKOFF" && now.Statename != "STARTING" {
			t.Fatalf("round %d: fails is %+v", round, now)
		}
		text := fmt.Sprintf("text %d\n", round)
		must(t, ignoreResult(s.client.Call(s.ctx(), "supervisor.sendProcessStdin", "reader", text)))
		must(t, ignoreResult(s.client.Call(s.ctx(), "supervisor.sendRemoteCommEvent", "round", strconv.Itoa(round))))
		if round == 1 {
			descriptors = openDescriptors(t, pid)
		}
	}
	stopLoad()
	tail()
	s.untilState("killed", "STOPPED")
	s.untilState("starts-soon", "RUNNING")
	s.write("go", "")
	s.untilState("fails", "RUNNING")
	s.until("the reader and the listener have got everything, once", func() bool {
		return strings.Count(s.read("reader.log"), "\n") == rounds && strings.Count(s.read("heard"), "\n") == rounds
	})
	s.until("no descriptor is left over", func() bool { return openDescriptors(t, pid) <= descriptors })
	waits()
	must(t, errors.Join(s.client.StopProcess(s.ctx(), "talker"), s.client.StopProcess(s.ctx(), "both")))
	var logs []string
	for n := 200; n > 0; n-- {
		if name := "both.log." + strconv.Itoa(n); exists(s.path(name)) {
			logs = append(logs, name)
		}
	}
	lines := []int{s.whole("talker.log"), s.whole("both.err"), s.whole(append(logs, "both.log")...)}
	t.Logf("%d upgrades, lines in logs: %v, in %d files", rounds, lines, len(logs)+3)
	if lines[0] < rounds || lines[2] < lines[1] {
		t.Errorf("lines in logs: %v", lines)
	}
	// What is started now has no signal blocked, and is a child.
	must(t, errors.Join(s.client.StopProcess(s.ctx(), "reader"), s.client.StartProcess(s.ctx(), "reader")))
	status := ""
	s.until("the reader has begun", func() bool {
		status = testkit.ReadFile(t, fmt.Sprintf("/proc/%d/status", s.info("reader").Pid))
		return !strings.HasPrefix(status, "Name:\texe\n")
	})
	if !strings.Contains(status, "SigBlk:\t0000000000000000") || !strings.Contains(status, fmt.Sprintf("PPid:\t%d\n", pid)) {
		t.Errorf("a new service: %s", status)
	}
	if added, changed, removed, err := s.client.ReloadConfig(s.ctx()); err != nil || len(added)+len(changed)+len(removed) > 0 {
		t.Errorf("reload: %v %v %v, %v", added, changed, removed, err)
	}
	s.shutdown()
	if left := s.leftBehind(); len(left) > 1 { // a process that a service started last ends by itself
		t.Errorf("left: %v", left)
	}
}

func ignoreResult(_ any, err error) error { return err }

// callers makes calls that wait through all upgrades. The returned function ends
// the processes they wait for, and checks the answers.
func (s *supervisorUnderTest) callers() (finish func()) {
	stop, start := make(chan error, 1), make(chan error, 1)
	client := NewClient(s.path("sv.sock"))
	go func() { stop <- client.StopProcess(s.ctx(), "stays") }()
	go func() { start <- client.StartGroupAndWait(s.ctx(), "starts-later") }()
	s.untilState("stays", "STOPPING")
	s.untilState("starts-later", "STARTING")
	return func() {
		select {
		case err := <-stop:
			s.t.Errorf("the stop answered early: %v", err)
		case err := <-start:
			s.t.Errorf("the start answered early: %v", err)
		default:
		}
		must(s.t, unix.Kill(s.info("stays").Pid, unix.SIGKILL))
		must(s.t, unix.Kill(s.info("starts-later").Pid, unix.SIGKILL))
		if err := <-stop; err != nil {
			s.t.Errorf("the stop answers %v", err)
		}
		if err := <-start; !isFault(err, FaultSpawnError) {
			s.t.Errorf("the start answers %v", err)
		}
		client.Close()
	}
}

// load asks the supervisor from several clients, by old and new connections.
// Each call must be answered.
func (s *supervisorUnderTest) load(pid int) (stop func()) {
	ctx, cancel := context.WithCancel(s.ctx())
	var clients sync.WaitGroup
	for n := range 4 {
		clients.Go(func() {
			client := NewClient(s.path("sv.sock"))
			defer client.Close()
			for ctx.Err() == nil {
				got, err := client.Call(s.ctx(), "supervisor.getPID")
				if err == nil && got == pid {
					_, err = client.AllProcessInfo(s.ctx())
				}
				if err != nil || got != pid {
					s.t.Errorf("client %d: %v, %v", n, got, err)
					return
				}
				if n%2 == 0 {
					client.Close()
				}
			}
		})
	}
	return func() { cancel(); clients.Wait() }
}

// follow follows a log over HTTP; the returned function checks that no line was
// lost or doubled.
func (s *supervisorUnderTest) follow(name string) (check func()) {
	ctx, cancel := context.WithCancel(s.ctx())
	client := NewClient(s.path("sv.sock"))
	response, err := client.do(ctx, http.MethodGet, "/logtail/"+name, nil)
	must(s.t, err)
	if response.StatusCode != http.StatusOK {
		s.t.Fatal(response.Status)
	}
	read := make(chan error, 1)
	go func() {
		scanner := bufio.NewScanner(response.Body)
		scanner.Scan() // perhaps half a line
		for last := 0; scanner.Scan(); {
			number, err := strconv.Atoi(strings.TrimPrefix(scanner.Text(), "line "))
			if err != nil || last > 0 && number != last+1 {
				read <- fmt.Errorf("after line %d follows %q, %v", last, scanner.Text(), err)
				return
			}
			last = number
		}
		read <- scanner.Err()
	}()
	return func() {
		select {
		case err := <-read:
			s.t.Errorf("following the log ended: %v", err)
		default:
		}
		cancel()
		if err := <-read; !errors.Is(err, context.Canceled) && !errors.Is(err, io.ErrUnexpectedEOF) {
			s.t.Errorf("following the log: %v", err)
		}
	}
}

func openDescriptors(t *testing.T, pid int) int {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "fd"))
	must(t, err)
	return len(entries)
}
