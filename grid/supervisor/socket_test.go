// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// answersAgain waits until the supervisor answers new connections.
func (s *supervisorUnderTest) answersAgain() {
	s.t.Helper()
	s.client.Close()
	s.until("the supervisor answers on its socket", func() bool {
		code, _, err := s.client.State(s.ctx())
		return err == nil && code == 1
	})
}

// TestSocketRemoved removes the socket in several ways. It must come back by
// itself, with its mode, and no service may notice.
func TestSocketRemoved(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, "[program:web]\ncommand=sleep 1000\nstartsecs=0\n").start()
	web := s.untilState("web", "RUNNING")
	socket := s.path("sv.sock")
	before, err := os.Stat(socket)
	must(t, err)
	for _, c := range []struct {
		name    string
		disturb func()
	}{
		{"removed", func() { must(t, os.Remove(socket)) }},
		{"removed again", func() { must(t, os.Remove(socket)) }},
		{"renamed", func() { must(t, os.Rename(socket, s.path("other"))) }},
		{"replaced by a dead socket", func() {
			listener, err := net.Listen("unix", s.path("dead"))
			must(t, err)
			listener.(*net.UnixListener).SetUnlinkOnClose(false)
			must(t, listener.Close())
			must(t, os.Rename(s.path("dead"), socket))
		}},
	} {
		c.disturb()
		s.answersAgain()
		if now := s.info("web"); now.Pid != web.Pid || now.Start != web.Start {
			t.Errorf("%s: web was %+v, is %+v", c.name, web, now)
		}
		if after, err := os.Stat(socket); err != nil || after.Mode() != before.Mode() {
			t.Errorf("%s: mode %v, want %v", c.name, after.Mode(), before.Mode())
		}
	}
	s.shutdown()
	if exists(socket) {
		t.Error("the socket is left")
	}
}

// TestSocketObstructed puts something else in the socket's place: it stays, and
// the socket returns once it is gone.
func TestSocketObstructed(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, "[program:web]\ncommand=sleep 1000\nstartsecs=0\n").start()
	web := s.untilState("web", "RUNNING")
	socket := s.path("sv.sock")
	for name, obstruct := range map[string]func(path string) error{
		"file":      func(path string) error { return os.WriteFile(path, []byte("mine"), 0o644) },
		"directory": func(path string) error { return os.Mkdir(path, 0o755) },
		"link":      func(path string) error { return os.Symlink("/nowhere", path) },
	} {
		obstacle := s.path("obstacle-" + name)
		must(t, obstruct(obstacle))
		logged := strings.Count(s.read("supervisord.log"), "the path exists and is not a socket")
		if name == "directory" { // a rename can't replace the socket with a directory
			must(t, unix.Renameat2(unix.AT_FDCWD, obstacle, unix.AT_FDCWD, socket, unix.RENAME_EXCHANGE))
		} else {
			must(t, os.Rename(obstacle, socket))
		}
		s.until("the log mentions the "+name, func() bool {
			return strings.Count(s.read("supervisord.log"), "the path exists and is not a socket") > logged
		})
		if info, err := os.Lstat(socket); err != nil || info.Mode().Type() == os.ModeSocket {
			t.Errorf("%s: it was replaced: %v", name, err)
		}
		must(t, os.Remove(socket))
		s.answersAgain()
	}
	if now := s.info("web"); now.Pid != web.Pid {
		t.Errorf("web was %+v, is %+v", web, now)
	}
}

// TestSocketDirectory removes the socket's directory and its parent.
func TestSocketDirectory(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, "[program:web]\ncommand=sleep 1000\nstartsecs=0\n")
	text := strings.ReplaceAll(s.read("supervisord.conf"), "sv.sock", "a/b/sv.sock")
	s.write("supervisord.conf", text)
	must(t, os.MkdirAll(s.path("a/b"), 0o755))
	s.client = NewClient(s.path("a/b/sv.sock"))
	s.start()
	web := s.untilState("web", "RUNNING")
	for _, top := range []string{"a/b", "a"} {
		must(t, os.RemoveAll(s.path(top)))
		s.until("the loss is logged", func() bool {
			return strings.HasSuffix(strings.TrimSpace(s.read("supervisord.log")), "no such file or directory")
		})
		must(t, os.MkdirAll(s.path("a/b"), 0o755))
		s.answersAgain()
		must(t, os.Remove(s.path("a/b/sv.sock"))) // the new directory is watched, too
		s.answersAgain()
	}
	must(t, os.Rename(s.path("a"), s.path("moved")))
	must(t, os.MkdirAll(s.path("a/b"), 0o755))
	must(t, unix.Kill(s.command.Process.Pid, unix.SIGUSR2)) // a change further up, which the kernel doesn't report
	s.answersAgain()
	if now := s.info("web"); now.Pid != web.Pid {
		t.Errorf("web was %+v, is %+v", web, now)
	}
	must(t, s.client.StopProcess(s.ctx(), "web"))
	s.shutdown()
}

// TestSecondStart starts a second supervisor while the first one's socket is
// gone: the socket comes back, and no message says to stop anything.
func TestSecondStart(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, "[program:web]\ncommand=sleep 1000\nstartsecs=0\n").start()
	web := s.untilState("web", "RUNNING")
	must(t, unix.Kill(s.command.Process.Pid, unix.SIGSTOP)) // it can't notice before the start
	must(t, os.Remove(s.path("sv.sock")))
	must(t, unix.Kill(s.command.Process.Pid, unix.SIGCONT))
	said, err := s.second()
	want := "another supervisor (process " + filepath.Base(strings.TrimSpace(s.read("supervisord.pid"))) + ") already runs with " + s.path("supervisord.conf")
	if err == nil || strings.TrimSpace(said) != "Error: "+want {
		t.Errorf("%v: %q, want %q", err, said, want)
	}
	s.answersAgain()
	if now := s.info("web"); now.Pid != web.Pid {
		t.Errorf("web was %+v, is %+v", web, now)
	}
}
