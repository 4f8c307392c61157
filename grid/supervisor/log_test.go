// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"slapos/slap/testkit"
)

// TestLogs checks rotation, streams and the calls that read and empty logs.
func TestLogs(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, `
[program:full]
command=sh -c 'i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo "$i 0123456789012345678901234567890123456789"; sleep 0.001; done; exec sleep 1000'
startsecs=0
stdout_logfile=%(here)s/full.log
stdout_logfile_maxbytes=3000
stdout_logfile_backups=2
[program:emptied]
command=sh -c 'i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo "$i 0123456789012345678901234567890123456789"; sleep 0.001; done; exec sleep 1000'
startsecs=0
stdout_logfile=%(here)s/emptied.log
stdout_logfile_maxbytes=3000
stdout_logfile_backups=0
[program:both]
command=sh -c 'echo out; echo err >&2; printf "\033[31mred\033[0m\377\n"; exec sleep 1000'
startsecs=0
stdout_logfile=%(here)s/both.out
stderr_logfile=%(here)s/both.err
[program:auto]
command=sh -c 'echo automatic; exec sleep 1000'
startsecs=0
[program:none]
command=sh -c 'echo nothing; echo linked >&2; exec sleep 1000'
startsecs=0
stdout_logfile=NONE
stderr_logfile=%(here)s/link
[program:leaves]
command=sh -c '(sleep 0.5; echo late; sleep 1000) & exit 0'
startsecs=0
autorestart=false
stdout_logfile=%(here)s/leaves.log
`)
	s.write("behind", "")
	must(t, os.Symlink(s.path("behind"), s.path("link"))) // allowed where only we can make one
	s.start()
	call := func(method string, params ...any) any {
		t.Helper()
		value, err := s.client.Call(s.ctx(), "supervisor."+method, params...)
		if err != nil {
			return err.Error()
		}
		return value
	}
	s.until("the child that was left has written", func() bool { return s.read("leaves.log") == "late\n" })
	s.until("full has written", func() bool { return exists(s.path("full.log.2")) })
	s.until("emptied has written", func() bool { return strings.HasPrefix(lastLine(s.read("emptied.log")), "300 ") })
	s.until("full is full", func() bool {
		return strings.HasPrefix(lastLine(s.read("full.log.1")+s.read("full.log")), "300 ")
	})
	if exists(s.path("full.log.3")) || exists(s.path("emptied.log.1")) || len(s.read("emptied.log")) > 3000 {
		t.Error("logs are kept wrongly")
	}
	s.until("both has written", func() bool { return strings.Count(s.read("both.out"), "\n") == 2 && s.read("both.err") != "" })
	if got := call("readProcessStdoutLog", "both", 0, 0); got != "out\n\ufffd[31mred\ufffd[0m\ufffd\n" {
		t.Errorf("both.out is %q", got)
	}
	for _, c := range []struct {
		method string
		params []any
		want   any
	}{
		{"readProcessLog", []any{"both", 1, 2}, "ut"},
		{"readProcessStderrLog", []any{"both", -3, 0}, "rr\n"},
		{"readProcessStderrLog", []any{"both", -3, 1}, "BAD_ARGUMENTS"},
		{"readProcessStderrLog", []any{"both", 0, -1}, "BAD_ARGUMENTS"},
		{"readProcessStdoutLog", []any{"nope", 0, 0}, "BAD_NAME: nope"},
		{"readProcessStdoutLog", []any{"none", 0, 0}, "NO_FILE: None"},
		{"readProcessStdoutLog", []any{"both", "x", 0}, "INCORRECT_PARAMETERS"},
		{"readProcessStdoutLog", []any{"both"}, "INCORRECT_PARAMETERS"},
		{"tailProcessStderrLog", []any{"both", 0, 100}, "[err\n 4 false]"},
		{"tailProcessLog", []any{"none", 0, 100}, "[ 0 false]"},
		{"tailProcessStderrLog", []any{"both", 0, 2}, "[r\n 4 true]"},
		{"clearProcessLogs", []any{"both"}, true},
		{"readProcessStdoutLog", []any{"both", 0, 0}, ""},
		{"readProcessStderrLog", []any{"none", 0, 0}, "linked\n"},
		{"clearAllProcessLogs", nil, nil},
		{"readProcessStderrLog", []any{"none", 0, 0}, ""},
	} {
		if got := call(c.method, c.params...); c.want != nil && fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s%v: %q, want %q", c.method, c.params, got, c.want)
		}
	}
	if target, err := os.Readlink(s.path("link")); target != s.path("behind") {
		t.Errorf("the link was replaced: %v", err)
	}
	auto := s.info("auto")
	if !strings.HasPrefix(auto.StdoutLogfile, s.path("auto-stdout---supervisor-")) || !exists(auto.StdoutLogfile) {
		t.Errorf("auto logs to %q", auto.StdoutLogfile)
	}
	if got := call("readLog", -20, 0); len(got.(string)) != 20 {
		t.Errorf("the end of the main log: %q", got)
	}
	if got := call("clearLog"); got != true || strings.Contains(s.read("supervisord.log"), "spawned") {
		t.Errorf("clearLog: %v", got)
	}
	s.shutdown()
	s.start()
	if exists(auto.StdoutLogfile) {
		t.Error("the temporary log is still there")
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	return lines[len(lines)-1]
}

// TestLogTraps plants what a partition's user could in place of a log. The
// supervisor, which may be root, must neither write elsewhere nor wait.
func TestLogTraps(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, `
[program:link]
command=sh -c 'while :; do echo trapped; sleep 0.01; done'
startsecs=0
startretries=0
autostart=false
stdout_logfile=%(here)s/trap/link.log
[program:pipe]
command=echo trapped
startsecs=0
startretries=0
autostart=false
stdout_logfile=%(here)s/trap/pipe.log
[program:hard]
command=echo trapped
startsecs=0
startretries=0
autostart=false
stdout_logfile=%(here)s/trap/hard.log
[program:folder]
command=echo trapped
startsecs=0
startretries=0
autostart=false
stdout_logfile=%(here)s/trap/folder.log
[program:rotated]
command=sh -c 'i=0; while :; do echo "line of a log that is full soon"; sleep 0.002; done'
startsecs=0
autostart=false
stdout_logfile=%(here)s/trap/rotated.log
stdout_logfile_maxbytes=1000
stdout_logfile_backups=1
`)
	must(t, os.Mkdir(s.path("trap"), 0o777))
	must(t, os.Chmod(s.path("trap"), 0o777)) // as if it were another user's
	s.write("victim", "safe")
	must(t, os.Symlink(s.path("victim"), s.path("trap/link.log")))
	must(t, os.Link(s.path("victim"), s.path("trap/hard.log")))
	must(t, os.Mkdir(s.path("trap/folder.log"), 0o755))
	must(t, exec.Command("mkfifo", s.path("trap/pipe.log")).Run())
	s.start()
	for _, name := range []string{"link", "pipe", "hard", "folder"} {
		if err := s.client.StartProcessAndWait(s.ctx(), name); !isFault(err, FaultSpawnError) {
			t.Errorf("%s: %v", name, err)
		}
		if info := s.info(name); info.Statename != "FATAL" || !strings.Contains(info.Spawnerr, name+".log") {
			t.Errorf("%s is %+v", name, info)
		}
		if _, err := s.client.Call(s.ctx(), "supervisor.readProcessStdoutLog", name, 0, 0); err == nil && name != "hard" {
			t.Errorf("the log of %s was read", name)
		}
	}
	must(t, s.client.StartProcessAndWait(s.ctx(), "rotated"))
	s.until("rotated was rotated", func() bool { return exists(s.path("trap/rotated.log.1")) })
	must(t, os.Remove(s.path("trap/rotated.log.1")))
	must(t, os.Mkdir(s.path("trap/rotated.log.1"), 0o755)) // so that the rename fails
	must(t, os.Mkdir(s.path("trap/rotated.log.1/x"), 0o755))
	testkit.Watch(t, 300*time.Millisecond)
	info, err := os.Stat(s.path("trap/rotated.log"))
	must(t, err)
	if info.Size() > 2000 {
		t.Errorf("the log that can't be rotated has %d bytes", info.Size())
	}
	if got := s.read("victim"); got != "safe" {
		t.Errorf("wrote %q elsewhere", got)
	}
}

// TestHTTP checks what clients other than ours may send.
func TestHTTP(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	address := listener.Addr().String()
	must(t, listener.Close())
	s := newSupervisor(t, "[inet_http_server]\nport="+address+"\nusername=u\npassword={SHA}e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4\n").start()
	raw := func(request string) string {
		t.Helper()
		connection, err := net.Dial("unix", s.path("sv.sock"))
		must(t, err)
		defer func() { _ = connection.Close() }()
		_, err = connection.Write([]byte(request))
		must(t, err)
		must(t, connection.(*net.UnixConn).CloseWrite())
		must(t, connection.SetReadDeadline(time.Now().Add(10*time.Second)))
		answer := make([]byte, 1<<16)
		n := 0
		for {
			more, err := connection.Read(answer[n:])
			if n += more; err != nil {
				return string(answer[:n])
			}
		}
	}
	const call = "<methodCall><methodName>supervisor.getVersion</methodName></methodCall>"
	post := func(host, body string) string {
		return fmt.Sprintf("POST /RPC2 HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", host, len(body), body)
	}
	for _, c := range []struct{ request, status string }{
		{post("/some/path/sv.sock", call), "200"},
		{post("", call) + post("x", call), "200"},
		{strings.Replace(post("x", call), "HTTP/1.1", "HTTP/1.0", 1), "200"},
		{strings.Replace(post("x", call), "\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n", 1), "100"},
		{post("x", "nonsense"), "400"},
		{post("x", "<methodCall/>"), "400"},
		{"nonsense\r\n\r\n", "400"},
		{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "404"},
		{"GET /logtail/nope HTTP/1.1\r\nHost: x\r\n\r\n", "404"},
		{"POST /mainlogtail HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
	} {
		if answer := raw(c.request); !strings.HasPrefix(answer, "HTTP/1.1 "+c.status+" ") {
			t.Errorf("%q: %q", c.request, answer)
		}
	}
	if answer := raw(post("x", call) + post("x", call)); strings.Count(answer, "<string>3.0</string>") != 2 {
		t.Errorf("two calls on one connection: %q", answer)
	}
	for password, want := range map[string]int{"secret": 0, "wrong": http.StatusUnauthorized} {
		client, err := newClient("http://"+address, "u", password)
		must(t, err)
		_, _, err = client.State(s.ctx())
		if status, _ := err.(*statusError); (want == 0) != (err == nil) || want != 0 && status.code != want {
			t.Errorf("password %s: %v", password, err)
		}
		client.Close()
	}
	info, err := os.Stat(s.path("sv.sock"))
	must(t, err)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("mode of the socket %v", info.Mode())
	}
}

// TestRequestIsLimited sends a request that is too large: the server stops reading it.
func TestRequestIsLimited(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, "").start()
	connection, err := net.Dial("unix", s.path("sv.sock"))
	must(t, err)
	defer func() { _ = connection.Close() }()
	const size = 128 << 20
	_, err = fmt.Fprintf(connection, "POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", size)
	must(t, err)
	sent := 0
	for piece := make([]byte, 1<<20); err == nil && sent < size; {
		var n int
		n, err = connection.Write(piece)
		sent += n
	}
	if err == nil {
		t.Errorf("all of %d bytes were read", sent)
	}
	if _, _, err := s.client.State(s.ctx()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestSystemMethods calls the methods that Python's clients use to explore a server.
func TestSystemMethods(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, "[program:p]\ncommand=cat\nstartsecs=0\n").start()
	ours, err := s.client.Call(s.ctx(), "system.listMethods")
	must(t, err)
	python := newSupervisor(t, "")
	python.python = true
	python.start()
	theirs, err := python.client.Call(s.ctx(), "system.listMethods")
	must(t, err)
	ours = slices.DeleteFunc(ours.([]any), func(name any) bool { return strings.HasPrefix(name.(string), "slapos.") })
	if fmt.Sprint(ours) != fmt.Sprint(theirs) {
		t.Errorf("methods\n%v, want\n%v", ours, theirs)
	}
	for _, name := range ours.([]any) {
		got, err := s.client.Call(s.ctx(), "system.methodSignature", name)
		want, wantErr := python.client.Call(s.ctx(), "system.methodSignature", name)
		if (err == nil) != (wantErr == nil) || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("signature of %s: %v %v, want %v %v", name, got, err, want, wantErr)
		}
		if help, err := s.client.Call(s.ctx(), "system.methodHelp", name); err != nil || help == "" {
			t.Errorf("help of %s: %v, %v", name, help, err)
		}
	}
	calls := []any{
		map[string]any{"methodName": "supervisor.getIdentification", "params": []any{}},
		map[string]any{"methodName": "supervisor.getProcessInfo", "params": []any{"nope"}},
		map[string]any{"methodName": "supervisor.nope"},
		map[string]any{"methodName": "system.multicall", "params": []any{[]any{}}},
		map[string]any{"methodName": "supervisor.stopProcess", "params": []any{"p"}},
		map[string]any{},
	}
	got, err := s.client.Call(s.ctx(), "system.multicall", calls)
	must(t, err)
	const want = "[supervisor map[faultCode:10 faultString:BAD_NAME: nope] map[faultCode:1 faultString:UNKNOWN_METHOD] " +
		"map[faultCode:2 faultString:INCORRECT_PARAMETERS: Recursive system.multicall forbidden] true " +
		"map[faultCode:2 faultString:INCORRECT_PARAMETERS: No methodName]]"
	if fmt.Sprint(got) != want {
		t.Errorf("multicall: %v", got)
	}
	for method, want := range map[string]string{"nope": "UNKNOWN_METHOD", "a.b.c": "UNKNOWN_METHOD", "supervisor._x": "UNKNOWN_METHOD"} {
		if _, err := s.client.Call(s.ctx(), method); err == nil || err.Error() != want {
			t.Errorf("%s: %v", method, err)
		}
	}
	for _, wait := range []any{"yes", 1, 0, 1.5, "", []any{}} { // a boolean may be any value
		for _, server := range []*supervisorUnderTest{s, python} {
			_, err := server.client.Call(s.ctx(), "supervisor.startProcess", "", wait)
			if err == nil || err.Error() != "BAD_NAME: " {
				t.Errorf("start with %v: %v", wait, err)
			}
		}
	}
	for _, field := range []string{"getAllConfigInfo", "getProcessInfo"} {
		params := []any{"p"}
		if field == "getAllConfigInfo" {
			params = nil
		}
		python.write("conf.d/p.conf", "[program:p]\ncommand=cat\nstartsecs=0\n")
		_, _, _, err := python.client.ReloadConfig(s.ctx())
		must(t, err)
		_ = python.client.AddGroup(s.ctx(), "p")
		ours, err := s.client.Call(s.ctx(), "supervisor."+field, params...)
		must(t, err)
		theirs, err := python.client.Call(s.ctx(), "supervisor."+field, params...)
		must(t, err)
		if got, want := shape(ours), shape(theirs); got != want {
			t.Errorf("%s has\n%s, want\n%s", field, got, want)
		}
	}
}

// shape returns the members of a structure and their types.
func shape(value any) string {
	if list, ok := value.([]any); ok && len(list) > 0 {
		return "[" + shape(list[0]) + "]"
	}
	members, ok := value.(map[string]any)
	if !ok {
		return fmt.Sprintf("%T", value)
	}
	types := map[string]string{}
	for name, member := range members {
		types[name] = shape(member)
	}
	return fmt.Sprint(types)
}
