// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"os"
	"strings"
	"testing"
)

// TestInput sends more than a pipe holds, to a process that reads at once and
// to one that reads later: each gets all of it, in order. Text that is too long
// is refused, and none of it is sent.
func TestInput(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, `
[program:quick]
command=cat
startsecs=0
stdout_logfile=%(here)s/quick.log
stdout_logfile_maxbytes=0
[program:slow]
command=sh -c 'while ! [ -e %(here)s/go ]; do sleep 0.02; done; exec cat'
startsecs=0
stdout_logfile=%(here)s/slow.log
stdout_logfile_maxbytes=0
`).start()
	var want strings.Builder
	for i, size := range []int{1, 60_000, 65_536, 65_537, 70_000, 2_000_000} {
		text := strings.Repeat(string(rune('a'+i)), size-1) + "\n"
		want.WriteString(text)
		for _, name := range []string{"quick", "slow"} {
			s.untilState(name, "RUNNING")
			if value, err := s.client.Call(s.ctx(), "supervisor.sendProcessStdin", name, text); value != true || err != nil {
				t.Fatalf("%s, %d bytes: %v %v", name, size, value, err)
			}
		}
	}
	s.until("quick has read all", func() bool { return len(s.read("quick.log")) >= want.Len() })
	if s.read("quick.log") != want.String() {
		t.Error("quick read another text")
	}
	_, err := s.client.Call(s.ctx(), "supervisor.sendProcessStdin", "slow", strings.Repeat("z", 15<<20))
	if !isFault(err, FaultFailed) || !strings.Contains(err.Error(), "doesn't read its standard input") {
		t.Errorf("too much: %v", err)
	}
	s.write("go", "")
	s.until("slow has read all", func() bool { return len(s.read("slow.log")) >= want.Len() })
	if got := s.read("slow.log"); got != want.String() {
		t.Errorf("slow read %d bytes of %d, or others", len(got), want.Len())
	}
}

// TestInputEnds ends processes for which text waits: none of it reaches the
// next one.
func TestInputEnds(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, `
[program:deaf]
command=sh -c 'if [ -e %(here)s/again ]; then exec cat; fi; exec sleep 1000'
startsecs=0
stdout_logfile=%(here)s/deaf.log
`).start()
	deaf := s.untilState("deaf", "RUNNING")
	if _, err := s.client.Call(s.ctx(), "supervisor.sendProcessStdin", "deaf", strings.Repeat("old", 100_000)); err != nil {
		t.Fatal(err)
	}
	s.write("again", "")
	must(t, s.client.StopProcess(s.ctx(), "deaf"))
	must(t, s.client.StartProcess(s.ctx(), "deaf"))
	if _, err := s.client.Call(s.ctx(), "supervisor.sendProcessStdin", "deaf", "new\n"); err != nil {
		t.Fatal(err)
	}
	s.until("the new process has read", func() bool { return s.read("deaf.log") != "" })
	if got := s.read("deaf.log"); got != "new\n" || s.info("deaf").Pid == deaf.Pid {
		t.Errorf("it read %q", got)
	}
}

// TestClear empties logs: a removed one is recreated and written to, a replaced
// one is reopened, and a device or a stream of the supervisor is left alone.
func TestClear(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, `
[program:removed]
command=sh -c 'while :; do echo line; sleep 0.02; done'
startsecs=0
stdout_logfile=%(here)s/removed.log
stdout_logfile_maxbytes=0
[program:stream]
command=sh -c 'echo hello; exec sleep 1000'
startsecs=0
stdout_logfile=/dev/stdout
stdout_logfile_maxbytes=0
[program:link]
command=sh -c 'echo hello; exec sleep 1000'
startsecs=0
stdout_logfile=%(here)s/link.log
stdout_logfile_maxbytes=0
[program:null]
command=sh -c 'echo hello; exec sleep 1000'
startsecs=0
stdout_logfile=/dev/null
stdout_logfile_maxbytes=0
`)
	own, err := os.OpenFile(s.path("own.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	must(t, err)
	defer own.Close()
	must(t, os.Symlink("/proc/self/fd/1", s.path("link.log")))
	s.stdout = own
	s.start()
	s.until("streams are written to", func() bool { return strings.Count(s.read("own.log"), "hello\n") == 2 })
	s.until("removed writes", func() bool { return s.read("removed.log") != "" })
	must(t, os.Remove(s.path("removed.log")))
	if value, err := s.client.Call(s.ctx(), "supervisor.clearProcessLogs", "removed"); value != true || err != nil {
		t.Fatal(value, err)
	}
	s.until("output goes on in the new file", func() bool { return s.read("removed.log") != "" })
	must(t, os.Rename(s.path("removed.log"), s.path("old.log")))
	s.write("removed.log", "of another\n")
	if _, err := s.client.Call(s.ctx(), "supervisor.clearProcessLogs", "removed"); err != nil {
		t.Fatal(err)
	}
	s.until("output goes on in the file of the name", func() bool { return s.read("removed.log") != "" })
	if text := s.read("removed.log"); strings.Contains(text, "another") || s.read("old.log") == "" {
		t.Errorf("the wrong file was emptied: %q", text)
	}
	for _, name := range []string{"stream", "link", "null"} {
		if _, err := s.client.Call(s.ctx(), "supervisor.clearProcessLogs", name); !isFault(err, FaultFailed) {
			t.Errorf("%s was cleared: %v", name, err)
		}
	}
	if text := s.read("own.log"); strings.Count(text, "hello\n") != 2 {
		t.Errorf("the output of the supervisor is %q", text)
	}
}
