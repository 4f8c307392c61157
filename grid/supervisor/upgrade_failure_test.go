// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap/testkit"
)

const talker = `
[program:talker]
command=bash -c 'i=0; while :; do i=$((i+1)); echo line $i; ((i %% 50)) || sleep 0.02; done'
startsecs=0
stdout_logfile=%(here)s/talker.log
stdout_logfile_maxbytes=0
redirect_stderr=true
`

// during calls act at a random moment of an upgrade, and returns when it has ended.
func (s *supervisorUnderTest) during(random testkit.Random, act func()) {
	ended := make(chan struct{})
	client := NewClient(s.path("sv.sock"))
	defer client.Close()
	ctx, cancel := context.WithTimeout(s.ctx(), testkit.Patience)
	defer cancel()
	moment := time.NewTimer(time.Duration(random.IntN(int(400 * time.Millisecond))))
	go func() {
		defer close(ended)
		_, _ = client.Upgrade(ctx) // act may end it
	}()
	select {
	case <-moment.C:
	case <-ended:
	}
	act()
	<-ended
}

// TestUpgradeKilled kills the supervisor at random moments of an upgrade: the
// next one adopts the services (GRID-109, D-5).
func TestUpgradeKilled(t *testing.T) {
	t.Parallel()
	random := testkit.NewRandom(t)
	s := newSupervisor(t, talker)
	s.install("0")
	s.start()
	pid := s.untilState("talker", "RUNNING").Pid
	for range testkit.Rounds(5) {
		s.during(random, s.kill)
		s.start()
		if now := s.untilState("talker", "RUNNING"); now.Pid != pid {
			t.Fatalf("talker was process %d, is %+v", pid, now)
		}
		before := s.whole("talker.log")
		s.until("the log goes on", func() bool { return strings.Count(s.read("talker.log"), "\n") > before })
	}
	must(t, s.client.StopProcess(s.ctx(), "talker"))
	s.whole("talker.log")
	s.shutdown()
}

// TestUpgradeSignalled sends SIGTERM at random moments of an upgrade: it ends
// the supervisor and its services, whichever image gets it. Only in the moment
// in which the new one starts it is like SIGKILL: services live on, and are
// adopted.
func TestUpgradeSignalled(t *testing.T) {
	t.Parallel()
	random := testkit.NewRandom(t)
	s := newSupervisor(t, talker)
	s.install("0")
	clean := 0
	for range testkit.Rounds(5) {
		s.start()
		pid := s.untilState("talker", "RUNNING").Pid
		s.during(random, func() { must(t, s.command.Process.Signal(unix.SIGTERM)) })
		err := <-s.exited
		s.client.Close()
		switch {
		case err == nil && !alive(pid):
			clean++
		case err == nil || !alive(pid) || err.Error() != "signal: terminated":
			t.Fatalf("the supervisor ended with %v, the service runs: %v", err, alive(pid))
		default:
			s.start()
			if now := s.info("talker").Pid; now != pid {
				t.Fatalf("talker was process %d, is %d", pid, now)
			}
			s.shutdown()
		}
		s.command = nil
	}
	t.Logf("%d ends in order", clean)
}

// TestUpgradeRefused offers programs that can't or mustn't take over: the
// supervisor goes on as the one it is.
func TestUpgradeRefused(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, talker)
	s.install("0")
	s.start()
	pid := s.untilState("talker", "RUNNING").Pid
	offer := func(text string, mode os.FileMode) {
		must(t, os.RemoveAll(s.executable))
		must(t, os.WriteFile(s.executable, []byte(text), mode))
		must(t, os.Chmod(s.executable, mode))
	}
	copied := func(name string) { // not by us: a child started meanwhile would hold it open
		must(t, os.RemoveAll(s.executable))
		if out, err := exec.Command("cp", testkit.Program(t, name, "coreutils"), s.executable).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	cases := []struct {
		name, want string
		change     func()
	}{
		{"missing", "no such file", func() { must(t, os.RemoveAll(s.executable)) }},
		{"no program", "is not a program", func() { offer("text", 0o644) }},
		{"not executable", "can't take over: ", func() { offer("text", 0o755) }},
		{"writable by others", "can be written by others", func() { offer("#!/bin/sh\n", 0o757) }},
		{"a link", "is not a program", func() {
			must(t, os.RemoveAll(s.executable))
			must(t, os.Symlink(testExecutable(), s.executable))
		}},
		{"a script", "can't take over", func() { offer("#!/bin/sh\n", 0o755) }},
		{"older", "older than", func() { copied("true") }},
		{"without the option", "invalid option", func() { copied("cat") }},
	}
	if isRoot() {
		cases = append(cases, struct {
			name, want string
			change     func()
		}{"another user's", "belongs to user 1", func() {
			offer("#!/bin/sh\n", 0o755)
			must(t, os.Chown(s.executable, 1, 1))
		}})
	}
	for _, c := range cases {
		c.change()
		if done, err := s.client.Upgrade(s.ctx()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %+v, %v", c.name, done, err)
		}
	}
	must(t, os.Chmod(s.path("bin"), 0o777))
	s.install("1")
	if _, err := s.client.Upgrade(s.ctx()); err == nil || !strings.Contains(err.Error(), "directory that others can write to") {
		t.Errorf("open directory: %v", err)
	}
	must(t, os.Chmod(s.path("bin"), 0o755))
	s.upgraded("1")
	if now := s.info("talker").Pid; now != pid {
		t.Errorf("talker was process %d, is %d", pid, now)
	}
	must(t, s.client.StopProcess(s.ctx(), "talker"))
	s.whole("talker.log")
}

// TestUpgradeWithoutState has the new image lose the state: it adopts the
// services, as after a crash.
func TestUpgradeWithoutState(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, talker+"[program:gone]\ncommand=sleep 1000\nstartsecs=0\n")
	s.install("0")
	s.start()
	before, gone := s.untilState("talker", "RUNNING"), s.untilState("gone", "RUNNING")
	s.install("forgetful")
	if _, err := s.client.Upgrade(s.ctx()); err == nil {
		t.Error("nobody lost the call")
	}
	s.until("the new image answers", func() bool {
		info, err := s.client.ProcessInfo(s.ctx(), "talker")
		return err == nil && info.Pid == before.Pid
	})
	if now := s.info("talker"); now.Start != before.Start || now.Statename != "RUNNING" {
		t.Errorf("talker was %+v, is %+v", before, now)
	}
	must(t, unix.Kill(gone.Pid, unix.SIGKILL))
	s.until("the other service is started again", func() bool { now := s.info("gone").Pid; return now != 0 && now != gone.Pid })
	if exists(fmt.Sprintf("/proc/%d", gone.Pid)) {
		t.Error("a zombie is left")
	}
	must(t, s.client.StopProcess(s.ctx(), "talker"))
	s.whole("talker.log")
	s.shutdown()
}

// TestUpgradeIsItsUsers lets others use the socket: they may not upgrade.
func TestUpgradeIsItsUsers(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	s := newSupervisor(t, "[inet_http_server]\nport="+address+"\n")
	must(t, os.Chmod(s.directory, 0o755))
	s.write("supervisord.conf", strings.Replace(s.read("supervisord.conf"), "sv.sock\n", "sv.sock\nchmod=0777\n", 1))
	s.install("0")
	s.start()
	remote, err := newClient("http://"+address, "", "")
	must(t, err)
	defer remote.Close()
	if done, err := remote.Upgrade(s.ctx()); err == nil || !strings.Contains(err.Error(), "unix socket only") {
		t.Errorf("over TCP: %+v, %v", done, err)
	}
	both, err := s.client.Call(s.ctx(), "system.multicall", []any{map[string]any{"methodName": "slapos.upgrade", "params": []any{}}})
	if err != nil || !strings.Contains(fmt.Sprint(both), "a call of its own") {
		t.Errorf("among others: %v, %v", both, err)
	}
	if isRoot() {
		s.refuseAnotherUser()
	}
}

// refuseAnotherUser asks for an upgrade as another user.
func (s *supervisorUnderTest) refuseAnotherUser() {
	directory, err := os.Open(s.directory)
	must(s.t, err)
	defer directory.Close()
	client := NewClient(s.path("sv.sock"))
	defer client.Close()
	client.transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
		// The kernel tells whom the connecting thread acts for.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		const unchanged = ^uintptr(0)
		if _, _, err := unix.RawSyscall(unix.SYS_SETRESUID, unchanged, 1, unchanged); err != 0 {
			return nil, err
		}
		defer unix.RawSyscall(unix.SYS_SETRESUID, unchanged, 0, unchanged)
		return net.Dial("unix", fmt.Sprintf("/proc/self/fd/%d/sv.sock", directory.Fd()))
	}
	if version, err := client.Call(s.ctx(), "supervisor.getVersion"); err != nil || version != "3.0" {
		s.t.Errorf("another user: %v, %v", version, err)
	}
	if done, err := client.Upgrade(s.ctx()); err == nil || !strings.Contains(err.Error(), "user 1 may not upgrade") {
		s.t.Errorf("another user: %+v, %v", done, err)
	}
}

func freeAddress(t *testing.T) string {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	return listener.Addr().String()
}
