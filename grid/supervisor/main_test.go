// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap/testkit"
)

// TestMain makes the test binary a supervisor when it is started under that
// name, as the program slapos does.
func TestMain(m *testing.M) {
	if os.Args[0] != "supervisord" {
		// The tests mostly wait.
		if err := flag.Set("test.parallel", "8"); err != nil {
			panic(err)
		}
		testkit.Main(m)
	}
	if err := supervisord(); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(2)
	}
	os.Exit(0)
}

// supervisord accepts -c FILE [--nodaemon | --ready-fd=3].
func supervisord() error {
	ctx := context.Background()
	options := ServeOptions{ConfigFile: os.Args[2], Environ: os.Environ()}
	last := os.Args[len(os.Args)-1]
	options.Version = testVersion()
	options.Image = Image{Executable: testExecutable(), Arguments: []string{"supervisord", "-c", os.Args[2], "--nodaemon"}}
	for _, argument := range os.Args {
		if text, found := strings.CutPrefix(argument, TakeoverOption+"="); found {
			options.Takeover, _ = strconv.Atoi(text)
			last = "--nodaemon"
		}
		if argument == RehearsalOption {
			return Rehearse(os.NewFile(uintptr(options.Takeover), "state"), options.Version, os.Stdout)
		}
	}
	if options.Takeover > 0 && options.Version == "forgetful" { // see TestUpgradeWithoutState
		options.Takeover = forgotten()
	}
	switch last {
	case "--nodaemon":
		options.Stdout = os.Stdout
		return Serve(ctx, options)
	case "--ready-fd=3":
		keepLogs()
		pipe := os.NewFile(3, "ready")
		options.Ready = func() { Report(pipe, nil) }
		err := Serve(ctx, options)
		if err != nil {
			Report(pipe, err)
		}
		return err
	}
	return Detach(ctx, testExecutable(), append(os.Args, "--ready-fd=3"), os.Environ())
}

// testVersion is in a file beside the binary, if there is one.
func testVersion() string {
	data, err := os.ReadFile(testExecutable() + ".version")
	if err != nil {
		return "test"
	}
	return strings.TrimSpace(string(data))
}

// keepLogs removes unnamed logs with the test: whoever launches the supervisor
// may not pass TMPDIR.
func keepLogs() {
	if os.Getenv("TMPDIR") == "" {
		os.Setenv("TMPDIR", filepath.Dir(os.Args[2]))
	}
}

func testExecutable() string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return path
}

// supervisorUnderTest is a supervisor with a configuration of its own in a test.
type supervisorUnderTest struct {
	t          *testing.T
	directory  string
	python     bool     // of Python instead of ours
	executable string   // "": this test binary
	ignoring   bool     // started by something that ignores signals
	stdout     *os.File // of its own; nil: output
	client     *Client
	command    *exec.Cmd
	exited     chan error
	output     bytes.Buffer
}

const testHeader = `[supervisord]
logfile=%(here)s/supervisord.log
pidfile=%(here)s/supervisord.pid
childlogdir=%(here)s
[unix_http_server]
file=%(here)s/sv.sock
[supervisorctl]
serverurl=unix://%(here)s/sv.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[include]
files=conf.d/*.conf
`

// newSupervisor writes a configuration; start starts the supervisor.
func newSupervisor(t *testing.T, text string) *supervisorUnderTest {
	t.Helper()
	directory, err := os.MkdirTemp("", "sv") // short: a socket's path is limited
	if err != nil {
		t.Fatal(err)
	}
	s := &supervisorUnderTest{t: t, directory: directory, client: NewClient(directory + "/sv.sock")}
	if err := os.Mkdir(s.path("conf.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.write("supervisord.conf", testHeader+text)
	t.Cleanup(s.cleanUp)
	return s
}

func (s *supervisorUnderTest) path(name string) string { return filepath.Join(s.directory, name) }

func (s *supervisorUnderTest) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o755); err != nil {
		s.t.Fatal(err)
	}
}

func (s *supervisorUnderTest) read(name string) string {
	data, err := os.ReadFile(s.path(name))
	if err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	return string(data)
}

// start runs the supervisor until it answers.
func (s *supervisorUnderTest) start() *supervisorUnderTest {
	s.t.Helper()
	if s.python {
		s.command = exec.Command(testkit.Directory(s.t)+"/bin/supervisord", "-n", "-c", s.path("supervisord.conf"))
	} else {
		s.command = exec.Command(cmp.Or(s.executable, testExecutable()))
		s.command.Args = []string{"supervisord", "-c", s.path("supervisord.conf"), "--nodaemon"}
	}
	if s.ignoring {
		// As nohup and a shell's background jobs do, and more.
		script := `trap "" HUP INT QUIT PIPE ALRM USR1 USR2 TSTP TTIN TTOU; exec -a supervisord "$0" "$@"`
		s.command = exec.Command("bash", append([]string{"-c", script, s.command.Path}, s.command.Args[1:]...)...)
	}
	s.command.Stdout, s.command.Stderr = &s.output, &s.output
	if s.stdout != nil {
		s.command.Stdout = s.stdout
	}
	s.command.WaitDelay = time.Second
	if err := s.command.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.exited = make(chan error, 1)
	go func(c *exec.Cmd, exited chan error) { exited <- c.Wait() }(s.command, s.exited)
	s.until("the supervisor answers", func() bool {
		code, _, err := s.client.State(s.ctx())
		return err == nil && code == 1
	})
	return s
}

func (s *supervisorUnderTest) ctx() context.Context { return s.t.Context() }

// kill ends the supervisor without warning.
func (s *supervisorUnderTest) kill() {
	s.t.Helper()
	if err := s.command.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	<-s.exited
	s.command = nil
	s.client.Close()
}

// shutdown stops it and everything that it runs.
func (s *supervisorUnderTest) shutdown() {
	s.t.Helper()
	if err := s.client.Shutdown(s.ctx()); err != nil {
		s.t.Fatal(err)
	}
	s.waitExit()
}

func (s *supervisorUnderTest) waitExit() {
	s.t.Helper()
	select {
	case err := <-s.exited:
		if err != nil {
			s.t.Errorf("supervisor ended with %v: %s", err, &s.output)
		}
	case <-time.After(testkit.Patience):
		s.t.Fatal("the supervisor doesn't end")
	}
	s.command = nil
	s.client.Close()
}

func (s *supervisorUnderTest) cleanUp() {
	if s.t.Failed() {
		s.t.Logf("%s: log of the supervisor:\n%s", s.t.Name(), s.read("supervisord.log"))
	}
	if s.command != nil && s.command.Process != nil {
		ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
		defer cancel()
		_ = s.client.Shutdown(ctx)
		select {
		case <-s.exited:
		case <-ctx.Done():
			_ = s.command.Process.Kill()
		}
	}
	for _, pid := range s.leftBehind() {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	os.RemoveAll(s.directory)
}

// leftBehind finds processes that carry the marks of this supervisor.
func (s *supervisorUnderTest) leftBehind() (pids []int) {
	paths, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(data), "SUPERVISOR_SERVER_URL=unix://"+s.directory+"/sv.sock\x00") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// until waits for a condition that has no event.
func (s *supervisorUnderTest) until(what string, condition func() bool) {
	s.t.Helper()
	testkit.Eventually(s.t, testkit.Patience, what, condition)
}

func (s *supervisorUnderTest) info(name string) ProcessInfo {
	s.t.Helper()
	info, err := s.client.ProcessInfo(s.ctx(), name)
	if err != nil {
		s.t.Fatalf("info of %s: %v", name, err)
	}
	return info
}

func (s *supervisorUnderTest) untilState(name, state string) ProcessInfo {
	s.t.Helper()
	var info ProcessInfo
	s.until(name+" is "+state, func() bool {
		info = s.info(name)
		return info.Statename == state
	})
	return info
}

// alive reports whether a process runs; a zombie doesn't.
func alive(pid int) bool {
	return testkit.Runs(pid)
}

func isRoot() bool { return os.Geteuid() == 0 }

// must fails the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// update makes a supervisor follow its files, as supervisorctl does.
func update(t *testing.T, socket string) {
	t.Helper()
	var out bytes.Buffer
	exit, err := Control(t.Context(), ControlOptions{ServerURL: "unix://" + socket, Args: []string{"update"}, Stdin: strings.NewReader(""), Stdout: &out})
	if exit != 0 || err != nil {
		t.Fatalf("update: %d, %v: %s", exit, err, &out)
	}
}

// watchedBuffer signals when it holds enough.
type watchedBuffer struct {
	mu     sync.Mutex
	b      bytes.Buffer
	want   int // lines
	enough chan struct{}
}

func (w *watchedBuffer) Write(data []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := bytes.Count(w.b.Bytes(), []byte("\n"))
	w.b.Write(data)
	if before < w.want && bytes.Count(w.b.Bytes(), []byte("\n")) >= w.want {
		close(w.enough)
	}
	return len(data), nil
}

func (w *watchedBuffer) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// forgotten is an empty state.
func forgotten() int {
	fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		panic(err)
	}
	return fd
}
