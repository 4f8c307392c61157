// SPDX-License-Identifier: GPL-3.0-or-later

package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap/confined"
	"slapos/slap/testkit"
)

func shell(script string) *Command {
	return &Command{Path: "/bin/sh", Args: []string{"-c", script}, Env: os.Environ(), KeepOutput: 1 << 20}
}

// GRID-14.
func TestRunOutcome(t *testing.T) {
	tests := []struct {
		name, script, output string
		exit                 int
		signal               syscall.Signal
	}{
		{"good", "echo one; echo two >&2", "one\ntwo\n", 0, 0},
		{"status", "echo bad; exit 3", "bad\n", 3, 0},
		{"signal", "kill -9 $$", "", -1, unix.SIGKILL},
		{"no stdin", "cat; echo end", "end\n", 0, 0},
		{"binary", `printf 'a\377\376b\303\251\n'`, "a\ufffd\ufffdb\u00e9\n", 0, 0},
		{"no newline", "printf tail", "tail", 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var lines []string
			command := shell(test.script)
			command.Output = func(line string) { lines = append(lines, line) }
			result, err := command.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if result.Output != test.output || result.ExitCode != test.exit || result.Signal != test.signal {
				t.Errorf("got %+v", result)
			}
			want := strings.Split(strings.TrimSuffix(test.output, "\n"), "\n")
			if test.output == "" {
				want = nil
			}
			if !slices.Equal(lines, want) {
				t.Errorf("lines %q, want %q", lines, want)
			}
		})
	}
}

func TestRunRefusals(t *testing.T) {
	if _, err := (&Command{}).Run(t.Context()); err == nil {
		t.Error("no program: want an error")
	}
	_, err := (&Command{Path: "/no/such/program"}).Run(t.Context())
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "/no/such/program") {
		t.Errorf("got %v", err)
	}
	if os.Geteuid() == 0 {
		command := shell("true")
		command.User = &User{}
		if _, err := command.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "too dangerous") {
			t.Errorf("root: got %v", err)
		}
		if _, err := LookupUser(0, 1); err == nil {
			t.Error("LookupUser(0, 1): want an error")
		}
		if _, err := LookupUser(1, 0); err == nil {
			t.Error("LookupUser(1, 0): want an error")
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := shell("true").Run(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: got %v", err)
	}
}

func TestUmaskIsTheChildsOnly(t *testing.T) {
	directory := t.TempDir()
	before := unix.Umask(0o022)
	defer unix.Umask(before)
	command := &Command{Path: "/usr/bin/touch", Args: []string{"a file"}, Dir: directory, Umask: 0o027}
	if result, err := command.Run(t.Context()); err != nil || result.ExitCode != 0 {
		t.Fatal(result, err)
	}
	info, err := os.Stat(filepath.Join(directory, "a file"))
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if ours := unix.Umask(0o022); ours != 0o022 {
		t.Errorf("our umask became %04o", ours)
	}
}

// GRID-14.
func TestNoInheritedDescriptors(t *testing.T) {
	// A descriptor that our own parent could have left open.
	fd, err := unix.Open("/dev/null", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	closeOnExecAll()
	command := &Command{Path: "/bin/ls", Args: []string{"/proc/self/fd"}, KeepOutput: 1000}
	result, err := command.Run(t.Context())
	if err != nil || result.Output != "0\n1\n2\n3\n" { // 3 is the directory that ls reads
		t.Errorf("got %q, %v", result.Output, err)
	}
}

func TestMessagesAndData(t *testing.T) {
	var messages []string
	command := shell("cat <&4 >&3; echo said; echo end >&3")
	command.Data = []byte("handed\nover")
	command.Messages = func(line string) { messages = append(messages, line) }
	result, err := command.Run(t.Context())
	if err != nil || result.Output != "said\n" || !slices.Equal(messages, []string{"handed", "overend"}) {
		t.Errorf("got %q, %q, %v", result.Output, messages, err)
	}
}

func TestDropPrivileges(t *testing.T) {
	if os.Geteuid() != 0 {
		result, err := (&Command{Path: "/usr/bin/id", Args: []string{"-u"}, KeepOutput: 99,
			User: &User{UID: 1, GID: 1}}).Run(t.Context())
		if err != nil || strings.TrimSpace(result.Output) != strconv.Itoa(os.Getuid()) {
			t.Errorf("a plain user must change nothing: %q, %v", result.Output, err)
		}
		return
	}
	// daemon:mail stands for a partition's user and the group of its directory.
	user, err := LookupUser(1, 8)
	if err != nil {
		t.Fatal(err)
	}
	command := shell(`id -u; id -g; id -G; kill -0 1 2>/dev/null || echo refused`)
	command.User, command.Env = user, CleanEnvironment([]string{"PATH=/usr/bin:/bin"}, user.Home)
	result, err := command.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	groups := make([]string, len(user.Groups))
	for i, group := range user.Groups {
		groups[i] = strconv.Itoa(group)
	}
	want := fmt.Sprintf("1\n8\n%s\nrefused\n", strings.Join(groups, " "))
	if result.Output != want {
		t.Errorf("got %q, want %q", result.Output, want)
	}
	if slices.Contains(user.Groups, 1) {
		t.Error("the primary group of passwd must not come along with another gid")
	}
}

// This checks what root would start, without starting it: with root's rights,
// nobody knows what a partition's program would do.
func TestCredential(t *testing.T) {
	if os.Geteuid() != 0 {
		testkit.UserNamespaces(t)
		program, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		testkit.RunAgain(t, exec.CommandContext(t.Context(), "unshare", "--user", "--map-root-user", program))
		return
	}
	command := shell("exit 1")
	command.Env, command.User = nil, &User{UID: 1001, GID: 1002, Groups: []int{1002, 1003}}
	start, err := command.prepare()
	if err != nil {
		t.Fatal(err)
	}
	credential := start.User
	if credential == nil || credential.Uid != 1001 || credential.Gid != 1002 || credential.NoSetGroups || !slices.Equal(credential.Groups, []uint32{1002, 1003}) {
		t.Errorf("it becomes %+v", credential)
	}
	if _, env := start.Command(); env == nil || len(env) > 0 {
		t.Errorf("it has the environment %q", env)
	}
	for _, user := range []User{{UID: 0, GID: 1002}, {UID: 1001, GID: 0}} {
		command.User = &user
		if _, err := command.prepare(); err == nil {
			t.Errorf("%+v is taken", user)
		}
	}
}

// GRID-12.
func TestCleanEnvironment(t *testing.T) {
	got := CleanEnvironment([]string{"PATH=/bin", "PYTHONPATH=/x", "LANG=C", "LC_ALL=C", "TMPDIR=/x", "HOME=/root",
		"LC_TIME=C", "PYTHONNOUSERSITE=", "ENV=x", "EMPTY=", "PYTHONHASHSEED=0"}, "/home/user")
	want := []string{"PATH=/bin", "LC_ALL=C", "EMPTY=", "PYTHONHASHSEED=0", "HOME=/home/user", "PYTHONNOUSERSITE=true"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	// Everything that the original removes, and similar variables.
	var environ []string
	for name := range strings.FieldsSeq(`PYTHONHOME PYTHONPATH PYTHONSTARTUP PYTHONY2K PYTHONOPTIMIZE PYTHONDEBUG PYTHONDONTWRITEBYTECODE
		PYTHONINSPECT PYTHONUNBUFFERED PYTHONVERBOSE CONFIG_SITE ENV LOGNAME TEMP TMP TMPDIR LANG LANGUAGE LC_ADDRESS LC_COLLATE LC_CTYPE
		LC_IDENTIFICATION LC_MEASUREMENT LC_MESSAGES LC_MONETARY LC_NAME LC_NUMERIC LC_PAPER LC_SOURCED LC_TELEPHONE LC_TIME`) {
		environ = append(environ, name+"=x")
	}
	kept := []string{"LC_ALL=x", "LC_OTHER=x", "USER=x", "TMPDIRS=x", "MAKEFLAGS=x", "python=x"}
	if got := CleanEnvironment(append(environ, kept...), "/h"); !slices.Equal(got, append(kept, "HOME=/h", "PYTHONNOUSERSITE=true")) {
		t.Errorf("got %q", got)
	}
}

// A grandchild that keeps the output open must neither delay the end nor lose
// what was written before it.
func TestBackgroundGrandchild(t *testing.T) {
	command := shell(`sleep 60 & echo $!; echo done`)
	result, err := command.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pid, text, _ := strings.Cut(result.Output, "\n")
	number, err := strconv.Atoi(pid)
	if err != nil || text != "done\n" {
		t.Fatalf("output %q", result.Output)
	}
	if err := unix.Kill(number, unix.SIGKILL); err != nil {
		t.Errorf("it should live on, and nobody wait for its end: %v", err)
	}
}

// GRID-15.
func TestTimeoutKillsTree(t *testing.T) {
	directory := t.TempDir()
	note := `echo $$ > ` + directory + `/$$.pid; `
	tests := []struct{ name, script string }{
		{"hang", note + `while :; do sleep 60; done`},
		{"deaf", `trap "" TERM INT HUP; ` + note + `while :; do sleep 60; done`},
		{"children", `for i in 1 2 3; do sh -c '` + note + `sleep 60; :' & done; wait`},
		{"orphans", `sh -c 'sh -c "` + strings.ReplaceAll(note, "$", `\$`) + `sleep 60; :" & ' ; sleep 60`},
		{"own session", `setsid sh -c '` + note + `sleep 60; :' & wait`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			command := shell(test.script)
			command.Timeout = 500 * time.Millisecond
			result, err := command.Run(t.Context())
			var expired *TimeoutError
			if !errors.As(err, &expired) || !result.TimedOut || result.Signal != unix.SIGKILL {
				t.Fatalf("got %+v, %v", result, err)
			}
			if !strings.HasSuffix(err.Error(), "' timed out after 0.5 seconds") {
				t.Errorf("text %q", err)
			}
			notes, _ := filepath.Glob(directory + "/*.pid")
			if len(notes) == 0 {
				t.Fatal("nothing was started")
			}
			for _, name := range notes {
				pid, _ := strconv.Atoi(strings.TrimSuffix(filepath.Base(name), ".pid"))
				waitGone(t, pid)
				os.Remove(name)
			}
		})
	}
}

// waitGone waits until pid is dead: it was killed, but init reaps it.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	testkit.Eventually(t, testkit.Patience, fmt.Sprintf("process %d is dead", pid), func() bool { return !testkit.Runs(pid) })
}

func TestGrace(t *testing.T) {
	command := shell(`trap 'echo asked; exit 7' TERM; sleep 60 & wait`)
	command.Timeout, command.Grace = 2*time.Second, testkit.Patience
	result, err := command.Run(t.Context())
	if err == nil || result.Output != "asked\n" || result.ExitCode != 7 {
		t.Errorf("got %+v, %v", result, err)
	}
}

func TestContextEndsTree(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	command := shell(`echo ready; sleep 60 & wait`)
	command.Output = func(string) { cancel() }
	if _, err := command.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestFloodIsBounded(t *testing.T) {
	for _, test := range []struct{ name, script string }{
		{"lines", `yes "some line of a flood" | head -c 8000000; echo last`},
		{"one line", `head -c 8000000 /dev/zero | tr '\0' x; echo last`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			longest := 0
			command := shell(test.script)
			command.KeepOutput = 1000
			command.Output = func(line string) { longest = max(longest, len(line)) }
			result, err := command.Run(t.Context())
			if err != nil || len(result.Output) != 1000 || !strings.HasSuffix(result.Output, "last\n") {
				t.Errorf("kept %d bytes, %v", len(result.Output), err)
			}
			if longest > maxLine {
				t.Errorf("a line of %d bytes", longest)
			}
		})
	}
}

// Memory is used for the kept end of an output, not for all of it.
func TestOutputMemory(t *testing.T) {
	o := &output{keep: 1000, maxLine: maxLine}
	piece := make([]byte, 64<<10)
	for range 500 {
		o.consume(piece)
	}
	if len(o.tail) > 2*o.keep+maxLine {
		t.Errorf("%d bytes are kept", len(o.tail))
	}
}

func TestLongLineIsCutBetweenCharacters(t *testing.T) {
	var text strings.Builder
	o := &output{line: func(line string) { text.WriteString(line) }, keep: 5, maxLine: maxLine}
	want := "x" + strings.Repeat("\u00e9", maxLine)
	o.consume([]byte(want))
	o.emit(o.partial)
	if text.String() != want {
		t.Error("characters were cut")
	}
}

// For an ordinary user the bomb runs in its own pid namespace, for root as
// another user, since the process limit doesn't apply to root. Whatever fails,
// it ends by itself after eight generations, 500 processes.
func TestForkBomb(t *testing.T) {
	command := &Command{Path: "/usr/bin/prlimit", Env: os.Environ(), Timeout: time.Second,
		Args: []string{"--nproc=200", "/bin/sh", "-c", `echo $$; b() { [ ${#1} = 8 ] || b x$1 | b x$1 & }; b; sleep 60`}}
	leader := ""
	command.Output = func(line string) { leader = cmp.Or(leader, line) }
	if os.Geteuid() == 0 {
		user, err := LookupUser(1, 1)
		if err != nil {
			t.Fatal(err)
		}
		command.User = user
	} else {
		testkit.UserNamespaces(t)
		command.Args = append([]string{"--user", "--pid", "--fork", "--kill-child", command.Path}, command.Args...)
		command.Path = "/usr/bin/unshare"
	}
	result, err := command.Run(t.Context())
	if !result.TimedOut {
		t.Fatalf("got %+v, %v", result, err)
	}
	if os.Geteuid() == 0 { // only root sees the bomb's processes
		session, err := strconv.Atoi(leader)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range processTable() {
			if row.session == session {
				waitGone(t, row.pid)
			}
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("12 (a) S 1 12 12 0 -1"))
	f.Add([]byte("12 (a) b) c) R 1 12 13"))
	f.Add([]byte(")("))
	f.Fuzz(func(t *testing.T, data []byte) { parseStat(data) })
}

func TestParseStat(t *testing.T) {
	row, ok := parseStat([]byte("12 (a) S) 4 (b) Z 1 12 13 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 77 0"))
	if !ok || row != (processRow{pid: 12, parent: 1, session: 13, started: 77, zombie: true}) {
		t.Errorf("got %+v, %v", row, ok)
	}
}

// GRID-101: a child starts in the opened directory, whatever has its name now.
func TestRunInOpened(t *testing.T) {
	top := t.TempDir()
	first, second := filepath.Join(top, "first"), filepath.Join(top, "second")
	if err := errors.Join(os.Mkdir(first, 0o755), os.Mkdir(second, 0o755)); err != nil {
		t.Fatal(err)
	}
	root, err := confined.Open(first)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	moved := filepath.Join(top, "moved")
	if err := errors.Join(os.Rename(first, moved), os.Symlink(second, first)); err != nil {
		t.Fatal(err)
	}
	command := Command{Path: "/bin/sh", Args: []string{"-c", "pwd; ls /proc/self/fd | wc -l"}, In: root, KeepOutput: 100}
	result, err := command.Run(t.Context())
	if err != nil || result.Output != moved+"\n4\n" {
		t.Errorf("%q, %v", result.Output, err)
	}
}
