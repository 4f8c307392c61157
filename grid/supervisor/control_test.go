// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"slapos/slap/testkit"
)

const controlled = `
[program:web]
command=sleep 1000
startsecs=0
[program:off]
command=sleep 1000
autostart=false
startsecs=0
stdout_logfile=%(here)s/off.log
[program:bad]
command=/no/such/program
autostart=false
startretries=0
[program:dies]
command=sh -c 'exit 3'
autostart=false
startretries=0
[program:logs]
command=sh -c 'echo some output; echo some error >&2; exec sleep 1000'
startsecs=0
stdout_logfile=%(here)s/logs.log
stderr_logfile=%(here)s/logs.err
[program:slow]
command=sleep 1000
autostart=false
startsecs=1
[program:plain]
command=%(here)s/plain
autostart=false
[group:many]
programs=one,two
priority=7
[program:one]
command=sleep 1000
startsecs=0
autostart=false
[program:two]
command=sleep 1000
startsecs=0
autostart=false
`

// controlLines are what users type, in an order that makes sense.
var controlLines = []string{
	"status", "status all", "status web", "status web nope", "status many:*", "status none:*", "status off",
	"pid web off", "pid nope", "avail", "avail x", "version", "version x",
	"stop all", "start web logs", "start", "start off", "start off", "start nope", "start none:*", "start many:*", "start many:one many:two",
	"start bad", "start dies", "start plain", "start slow", "status many:*",
	"stop", "stop off", "stop off", "stop nope", "stop none:*", "stop many:*", "stop many:one",
	"restart", "restart many:*", "restart off", "restart nope", "restart none:*",
	"signal", "signal HUP", "signal USR9 web", "signal 0x web", "signal CONT web", "signal CONT off", "signal CONT nope", "signal CONT many:*", "signal CONT none:*",
	"tail", "tail logs", "tail logs stderr", "tail -4 logs", "tail logs other", "tail off", "tail nope", "tail -x logs", "tail -5", "tail a b c d",
	"maintail x", "maintail 5", "maintail a b",
	"clear", "clear logs", "clear nope", "tail logs",
	"reread", "reread x", "update", "update nope", "add web", "add nope", "remove web", "remove nope",
	"fg", "fg a b", "fg nope", "fg dies",
	"open x", "shutdown x", "reload x", "nonsense", "help", "help nope", "?",
	"stop many:one web logs", "start all", "status web many:*",
}

// masked hides what differs from run to run.
func masked(s *supervisorUnderTest, text string) string {
	text = strings.ReplaceAll(text, s.directory, "DIR")
	text = regexp.MustCompile(`pid \d+, uptime \d:\d\d:\d\d`).ReplaceAllString(text, "pid N, uptime T")
	text = regexp.MustCompile(`[A-Z][a-z]{2} \d\d \d\d:\d\d [AP]M`).ReplaceAllString(text, "DATE")
	return regexp.MustCompile(`(?m)^\d+$`).ReplaceAllString(text, "N")
}

func (s *supervisorUnderTest) pythonControl(words ...string) (string, int) {
	command := exec.CommandContext(s.ctx(), testkit.Directory(s.t)+"/bin/supervisorctl", append([]string{"-c", s.path("supervisord.conf")}, words...)...)
	out, _ := command.CombinedOutput()
	return masked(s, string(out)), command.ProcessState.ExitCode()
}

func (s *supervisorUnderTest) control(words ...string) (string, int) {
	var out bytes.Buffer
	exit, err := Control(s.ctx(), ControlOptions{
		ConfigFile: s.path("supervisord.conf"), Args: words, Stdin: strings.NewReader(""), Stdout: &out,
	})
	if err != nil {
		return err.Error(), exit
	}
	return masked(s, out.String()), exit
}

type controlResult struct {
	Text string
	Exit int
}

// pythonDriver runs each command line as Python's supervisorctl would, without
// starting an interpreter for each.
const pythonDriver = `
import io, json, sys
from supervisor.options import ClientOptions
from supervisor.supervisorctl import Controller
results = []
for line in json.load(sys.stdin):
  options = ClientOptions()
  options.realize(['-c', sys.argv[1]] + line.split())
  out = io.StringIO()
  controller = Controller(options, stdout=out)
  controller.onecmd(' '.join(options.args))
  results.append({'Text': out.getvalue(), 'Exit': controller.exitstatus})
json.dump(results, sys.stdout)
`

func (s *supervisorUnderTest) pythonControlAll(lines []string) (results []controlResult) {
	input, err := json.Marshal(lines)
	must(s.t, err)
	command := exec.CommandContext(s.ctx(), testkit.Python(s.t), "-c", pythonDriver, s.path("supervisord.conf"))
	command.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		s.t.Fatalf("%v: %s", err, &stderr)
	}
	must(s.t, json.Unmarshal(out, &results))
	return results
}

// TestControlMatrix uses both clients with both servers: all four pairs must
// give the same answers and exit codes.
func TestControlMatrix(t *testing.T) {
	t.Parallel()
	pairs := []struct {
		name         string
		pythonServer bool
		pythonClient bool
		results      []controlResult
	}{
		{name: "Python drives Python", pythonServer: true, pythonClient: true},
		{name: "Python drives us", pythonClient: true},
		{name: "we drive Python", pythonServer: true},
		{name: "we drive ourselves"},
	}
	t.Cleanup(func() { // after all have run
		for _, pair := range pairs[1:] {
			for i, got := range pair.results {
				if want := pairs[0].results[i]; got != want {
					t.Errorf("%s: %s:\ngot  %d %q\nwant %d %q", pair.name, controlLines[i], got.Exit, got.Text, want.Exit, want.Text)
				}
			}
		}
	})
	for p := range pairs {
		c := &pairs[p]
		c.results = make([]controlResult, len(controlLines))
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSupervisor(t, controlled)
			s.python = c.pythonServer
			s.write("plain", "")
			must(t, os.Chmod(s.path("plain"), 0o644))
			s.start()
			s.untilState("logs", "RUNNING")
			s.until("logs has written", func() bool { return s.read("logs.log") != "" && s.read("logs.err") != "" })
			var got []controlResult
			if c.pythonClient {
				got = s.pythonControlAll(controlLines)
			} else {
				for _, line := range controlLines {
					text, exit := s.control(strings.Fields(line)...)
					got = append(got, controlResult{Text: text, Exit: exit})
				}
			}
			for i, line := range controlLines {
				got[i].Text = comparable(line, masked(s, got[i].Text))
				if line == "start all" {
					got[i].Exit = 0 // for the failure that Python's server happens to see last
				}
			}
			copy(c.results, got)
		})
	}
}

// comparable cuts a command's explanation after a complaint, since each program
// words it differently, and sorts what comes in any order.
func comparable(line, text string) string {
	lines := strings.SplitAfter(text, "\n")
	if strings.HasPrefix(text, "Error: ") || strings.HasPrefix(text, "ERROR: no process name") {
		return lines[0]
	}
	if strings.HasSuffix(line, "all") || strings.HasSuffix(line, ":*") {
		slices.Sort(lines)
	}
	return strings.Join(lines, "")
}

// TestControlUpdate has Python's client make our supervisor follow a change.
func TestControlUpdate(t *testing.T) {
	t.Parallel()
	for _, python := range []bool{true, false} {
		t.Run(fmt.Sprintf("python=%v", python), func(t *testing.T) {
			t.Parallel()
			s := newSupervisor(t, "")
			s.write("conf.d/a.conf", "[program:a]\ncommand=sleep 1\nautostart=false\n")
			s.write("conf.d/b.conf", "[program:b]\ncommand=sleep 1000\nstartsecs=0\n")
			s.start()
			run := s.control
			if python {
				run = s.pythonControl
			}
			b := s.untilState("b", "RUNNING")
			s.write("conf.d/a.conf", "[program:a]\ncommand=sleep 2\nautostart=false\n")
			s.write("conf.d/c.conf", "[program:c]\ncommand=sleep 1000\nstartsecs=0\n")
			must(t, os.Remove(s.path("conf.d/b.conf")))
			for _, c := range []struct {
				line, want string
				exit       int
			}{
				{"reread", "a: changed\nb: disappeared\nc: available\n", 0},
				{"remove b", "ERROR: process/group still running: b\n", 1},
				{"update c", "c: added process group\n", 0},
				{"update", "b: stopped\nb: removed process group\na: stopped\na: updated process group\n", 0},
				{"reread", "No config updates to processes\n", 0},
			} {
				if got, exit := run(strings.Fields(c.line)...); got != c.want || exit != c.exit {
					t.Errorf("%s: %d %q", c.line, exit, got)
				}
			}
			if alive(b.Pid) {
				t.Error("b is alive")
			}
			if got, exit := run("shutdown"); got != "Shut down\n" || exit != 0 {
				t.Errorf("shutdown: %d %q", exit, got)
			}
			s.waitExit()
			socket := "unix://DIR/sv.sock"
			for line, want := range map[string]string{
				"status": fmt.Sprintf("%s no such file\n4", socket), "start x": fmt.Sprintf("%s no such file\n7", socket),
				"shutdown": fmt.Sprintf("ERROR: %s no such file (already shut down?)\n1", socket),
			} {
				if got, exit := run(strings.Fields(line)...); fmt.Sprintf("%s%d", got, exit) != want {
					t.Errorf("%s after shutdown: %d %q", line, exit, got)
				}
			}
		})
	}
}

// TestControlTail follows logs with both clients, through a rotation.
func TestControlTail(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, `
[program:p]
command=sh -c 'i=0; while :; do i=$((i+1)); echo "line $i of many that make the log full soon"; sleep 0.01; done'
startsecs=0
stdout_logfile=%(here)s/p.log
stdout_logfile_maxbytes=2000
stdout_logfile_backups=2
`).start()
	s.until("the log was rotated", func() bool { return exists(s.path("p.log.2")) })
	for _, python := range []bool{true, false} {
		out := &watchedBuffer{enough: make(chan struct{}), want: 200}
		ctx, cancel := context.WithCancel(s.ctx())
		done := make(chan error, 1)
		if python {
			command := exec.CommandContext(ctx, testkit.Directory(t)+"/bin/supervisorctl", "-c", s.path("supervisord.conf"), "tail", "-f", "p")
			command.Stdout = out
			go func() { done <- command.Run() }()
		} else {
			go func() {
				_, err := Control(ctx, ControlOptions{ConfigFile: s.path("supervisord.conf"), Args: []string{"tail", "-f", "p"}, Stdout: out, Stdin: strings.NewReader("")})
				done <- err
			}()
		}
		<-out.enough
		cancel()
		<-done
		lines := strings.Split(out.String(), "\n")
		if lines[0] != "==> Press Ctrl-C to exit <==" {
			t.Errorf("python=%v: first line %q", python, lines[0])
		}
		number := 0
		for _, line := range lines[2 : len(lines)-2] {
			next := 0
			if _, err := fmt.Sscanf(line, "line %d of many that make the log full soon", &next); err != nil || number != 0 && next != number+1 {
				t.Fatalf("python=%v: line %q after number %d", python, line, number)
			}
			number = next
		}
	}
}

// TestControlPrompt types commands at the prompt, without a terminal.
func TestControlPrompt(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, "[program:p]\ncommand=cat\nautostart=false\nstartsecs=0\nstdout_logfile=%(here)s/p.log\n").start()
	var out bytes.Buffer
	exit, err := Control(s.ctx(), ControlOptions{
		ServerURL: "unix://" + s.path("sv.sock"), Stdout: &out,
		Stdin: strings.NewReader("start p\n\nshutdown\nn\nfg p\nhello\n"),
	})
	must(t, err)
	s.until("p has read", func() bool { return s.read("p.log") == "hello\n" })
	want := "p                                STOPPED   Not started\nsupervisor> p: started\nsupervisor> supervisor> " +
		"Really shut the remote supervisord process down y/N? supervisor> ==> Press Ctrl-C to exit <=="
	if exit != 0 || !strings.HasPrefix(out.String(), want) || !strings.HasSuffix(out.String(), "Exiting foreground\nsupervisor> \n") {
		t.Errorf("exit %d\n%s", exit, out.String())
	}
	if _, err := Control(s.ctx(), ControlOptions{ServerURL: "ftp://x", Stdout: &out}); err == nil {
		t.Error("a strange address was taken")
	}
}

// TestForegroundEnds checks that lines typed after a foreground process has
// ended go to the prompt, and that none is lost.
func TestForegroundEnds(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, "[program:p]\ncommand=cat\nstartsecs=0\n").start()
	var buffer bytes.Buffer
	out := &lockedWriter{out: &buffer}
	text := func() string {
		out.mu.Lock()
		defer out.mu.Unlock()
		return buffer.String()
	}
	input, typing := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := Control(s.ctx(), ControlOptions{ServerURL: "unix://" + s.path("sv.sock"), Stdout: out, Stdin: input})
		ended <- err
	}()
	_, _ = io.WriteString(typing, "fg p\n")
	s.until("p is in the foreground", func() bool { return strings.Contains(text(), "Ctrl-C to exit") })
	must(t, s.client.StopProcess(s.ctx(), "p"))
	_, _ = io.WriteString(typing, "x\nversion\nversion\nversion\n")
	typing.Close()
	must(t, <-ended)
	after := text()
	_, after, killed := strings.Cut(after, "Exiting foreground\n")
	if got := strings.Count(after, "4."); !killed || got != 3 {
		t.Errorf("%d answers to version:\n%s", got, text())
	}
}

// A signal ends the prompt, although nothing was typed.
func TestPromptInterrupted(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, "").start()
	input, typing := io.Pipe()
	defer typing.Close()
	ctx, cancel := context.WithCancel(s.ctx())
	ended := make(chan error, 1)
	go func() {
		_, err := Control(ctx, ControlOptions{ServerURL: "unix://" + s.path("sv.sock"), Stdout: io.Discard, Stdin: input})
		ended <- err
	}()
	_, _ = io.WriteString(typing, "version\n")
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestForegroundLongLine types a line that is longer than one request to the
// supervisor may be, and one that a process doesn't read.
func TestForegroundLongLine(t *testing.T) {
	t.Parallel()
	line := "a" + strings.Repeat("é", 10<<20)
	s := newSupervisor(t, fmt.Sprintf("[program:reads]\ncommand=sh -c 'head -c %d | sha256sum > new; mv new sum; exec sleep 1000'\ndirectory=%%(here)s\nstartsecs=0\n", len(line)+1)+
		"[program:sleeps]\ncommand=sleep 1000\nstartsecs=0\n").start()
	fg := func(name, input string) string {
		t.Helper()
		var out bytes.Buffer
		_, err := Control(s.ctx(), ControlOptions{ServerURL: "unix://" + s.path("sv.sock"), Stdout: &out, Args: []string{"fg", name}, Stdin: strings.NewReader(input)})
		must(t, err)
		return out.String()
	}
	if got := fg("reads", line+"\n"); got != "==> Press Ctrl-C to exit <==\nExiting foreground\n" {
		t.Errorf("%.300q", got)
	}
	s.until("the line was read", func() bool { return testkit.Exists(s.path("sum")) })
	if got, want := s.read("sum"), fmt.Sprintf("%x  -\n", sha256.Sum256([]byte(line+"\n"))); got != want {
		t.Errorf("the sum of what was read is %q, want %q", got, want)
	}
	if got := fg("sleeps", line+"\n"); !strings.Contains(got, "the process doesn't read its standard input: ") || strings.Count(got, "\n") != 3 {
		t.Errorf("%.300q", got)
	}
}

// Pieces end between characters and add up to the text.
func TestFirstPiece(t *testing.T) {
	t.Parallel()
	for shift := range 4 {
		text := strings.Repeat("x", shift) + strings.Repeat("\U0001F600", maximumPiece/2)
		var pieces strings.Builder
		for rest := text; rest != ""; {
			piece := firstPiece(rest)
			if len(piece) > maximumPiece || !utf8.ValidString(piece) {
				t.Fatalf("a piece of %d bytes", len(piece))
			}
			pieces.WriteString(piece)
			rest = rest[len(piece):]
		}
		if pieces.String() != text {
			t.Errorf("shift %d: the pieces are not the text", shift)
		}
	}
	if piece := firstPiece(strings.Repeat("\x80", 2*maximumPiece)); len(piece) == 0 {
		t.Error("nothing is cut off")
	}
}

func TestComplete(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, controlled).start()
	c := &control{ctx: s.ctx(), client: s.client}
	for line, want := range map[string]string{
		"":            "23",
		"st":          "start  status  stop ",
		"help re":     "reload  remove  reread  restart ",
		"start m":     "many:*  many:one  many:two ",
		"start web o": "off ",
		"update m":    "many ",
	} {
		head, words, _ := c.complete(line, len(line))
		got := strings.Join(words, " ")
		if line == "" {
			got = fmt.Sprint(len(words))
		}
		if got != want || !strings.HasPrefix(line, head) {
			t.Errorf("%q: %q %q", line, head, got)
		}
	}
}

// What has no log can't be followed.
func TestFollowUnknown(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, "").start()
	var out bytes.Buffer
	exit, err := Control(s.ctx(), ControlOptions{
		ServerURL: "unix://" + s.path("sv.sock"), Stdout: &out, Args: []string{"tail", "-f", "nobody"}, Stdin: strings.NewReader(""),
	})
	if err != nil || exit != 1 || !strings.HasSuffix(out.String(), "error: no process of this name, or it has no log: status shows the names\n") {
		t.Errorf("exit code %d, %v: %s", exit, err, &out)
	}
}
