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

// answersAnew waits until the supervisor answers new connections.
func (s *supervisorUnderTest) answersAnew() {
	s.t.Helper()
	s.client.Close()
	s.until("the supervisor answers on its socket", func() bool {
		code, _, err := s.client.State(s.ctx())
		return err == nil && code == 1
	})
}

// TestSocketRemoved takes the socket away in several manners. It must come back
// by itself, with its mode, and no service may notice.
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
		s.answersAnew()
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
// the socket comes when it has gone.
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
		logged := strings.Count(s.read("supervisord.log"), "there is something that is no socket")
		if name == "directory" { // nothing can be renamed over
			must(t, unix.Renameat2(unix.AT_FDCWD, obstacle, unix.AT_FDCWD, socket, unix.RENAME_EXCHANGE))
		} else {
			must(t, os.Rename(obstacle, socket))
		}
		s.until("it is told of the "+name, func() bool {
			return strings.Count(s.read("supervisord.log"), "there is something that is no socket") > logged
		})
		if info, err := os.Lstat(socket); err != nil || info.Mode().Type() == os.ModeSocket {
			t.Errorf("%s: it was replaced: %v", name, err)
		}
		must(t, os.Remove(socket))
		s.answersAnew()
	}
	if now := s.info("web"); now.Pid != web.Pid {
		t.Errorf("web was %+v, is %+v", web, now)
	}
}

// TestSocketDirectory removes the directory of the socket, and the one above.
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
		s.until("the loss is told", func() bool {
			return strings.HasSuffix(strings.TrimSpace(s.read("supervisord.log")), "no such file or directory")
		})
		must(t, os.MkdirAll(s.path("a/b"), 0o755))
		s.answersAnew()
		must(t, os.Remove(s.path("a/b/sv.sock"))) // the new directory is watched, too
		s.answersAnew()
	}
	must(t, os.Rename(s.path("a"), s.path("moved")))
	must(t, os.MkdirAll(s.path("a/b"), 0o755))
	must(t, unix.Kill(s.command.Process.Pid, unix.SIGUSR2)) // what the kernel doesn't tell: a directory further up
	s.answersAnew()
	if now := s.info("web"); now.Pid != web.Pid {
		t.Errorf("web was %+v, is %+v", web, now)
	}
	must(t, s.client.StopProcess(s.ctx(), "web"))
	s.shutdown()
}

// TestSecondStart starts another supervisor over one whose socket it can't
// reach: the socket comes back, and nobody is told to end anything.
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
	s.answersAnew()
	if now := s.info("web"); now.Pid != web.Pid {
		t.Errorf("web was %+v, is %+v", web, now)
	}
}
