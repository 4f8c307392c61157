// SPDX-License-Identifier: GPL-3.0-or-later

package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

const base = "[supervisord]\n"

// texts are configurations that Python's supervisor and this package must read
// alike: main files, each with a file that some of them include.
var texts = []string{
	base,
	"[supervisord]\nlogfile=/tmp/x.log\nlogfile_maxbytes=1KB\nlogfile_backups=3\nloglevel=debug\npidfile=/tmp/x.pid\n" +
		"identifier=me\nnodaemon=true\nsilent=yes\numask=027\nminfds=2048\nchildlogdir=/\nnocleanup=on\nstrip_ansi=1\n",
	base + "[program:a]\ncommand=/bin/a 'b c' \"%%\"\n",
	base + "[program:a]\ncommand=/bin/a\nprocess_name=%(program_name)s_%(process_num)02d\nnumprocs=3\nnumprocs_start=5\n",
	base + "[program:a]\ncommand=/bin/a %(process_num)d %(host_node_name)s %(here)s %(group_name)s %(numprocs)s %(program_name)-5s|\n",
	base + "[program:a]\ncommand=/bin/a ; comment\n# another\n  ; third\npriority = 7\nautostart:false\nautorestart=true\n" +
		"startsecs=0\nstartretries=9\nexitcodes=0, 2,3\nstopsignal=usr1\nstopwaitsecs=60\nstopasgroup=true\n" +
		"umask=077\nserverurl=AUTO\nredirect_stderr=true\nstdout_logfile=/tmp/%%%%.log\nstdout_logfile_maxbytes=0\n" +
		"stdout_logfile_backups=0\nstderr_logfile=NONE\nstdout_capture_maxbytes=2MB\nstdout_events_enabled=true\ndirectory=/tmp\n",
	base + "[program:a]\ncommand=/bin/a\nautorestart=unexpected\nstopsignal=9\nkillasgroup=true\nserverurl=http://x\nstderr_logfile=/tmp/e\n",
	base + "[program:a]\ncommand=one\n  two\n\n  three\n\n[program:b]\ncommand =\n  b\n",
	base + "[program:a]\ncommand=a#b c;d e ;f\n",
	base + "[program:a]\ncommand=a\nenvironment=A=\"b,c\",B='d',C=e/f.g+h-i():j , D=\"%(program_name)s\"\n",
	base + "[program:a]\ncommand=a %(ENV_A)s\nenvironment=A=\"x\"\n",
	"[supervisord]\nenvironment=X=\"1\",Y=\"2\"\n[program:a]\ncommand=a %(ENV_X)s\nenvironment=Y=\"3\",Z=\"%(ENV_X)s\"\n",
	base + "[program:b]\ncommand=b\npriority=3\n[program:a]\ncommand=a\npriority=3\n[program:c]\ncommand=c\npriority=1\n",
	base + "[group:g]\nprograms=b, a\npriority=5\n[program:a]\ncommand=a\n[program:b]\ncommand=b\n[program:c]\ncommand=c\n",
	base + "[group:g]\nprograms=a\n[group:h]\nprograms=a\n[program:a]\ncommand=a %(group_name)s\n",
	base + "[eventlistener:w]\ncommand=w\nevents=PROCESS_STATE_EXITED, process_state_fatal\nbuffer_size=3\n",
	base + "[eventlistener:w]\ncommand=\nevents=TICK_5\n[program:a]\ncommand=a\npriority=-5\n",
	"[DEFAULT]\npriority=4\ncommand=d\n[supervisord]\n[program:a]\n",
	"[include]\nfiles=INCLUDED %(here)s/none*.conf\n[supervisord]\n",
	base + "[program:a]\ncommand=first\n[program:a]\ncommand=second\n",
	base + "[program:a]\ncommand=a\nuser=0\n",
	base + "[program:a]\ncommand=a\nstdout_logfile=off\nstderr_logfile=AUTO\n",
	base + "[program: a ]\ncommand=a\n",
	base + "[program:a]]x]\ncommand=a\n",
	// refused
	"", "[program:a]\ncommand=a\n", "x=y\n" + base, base + "[program:a]\n", base + "[program:a]\ncommand\n",
	base + "[program:a b]\ncommand=a\n", base + "[program:a/b]\ncommand=a\n", base + "[program:a:b]\ncommand=a\n",
	base + "[program:a]\ncommand=%(nope)s\n", base + "[program:a]\ncommand=50%\n", base + "[program:a]\ncommand=50% d\n",
	base + "[program:a]\ncommand=%(here)d\n", base + "[program:a]\ncommand=%(here\n", base + "[program:a]\ncommand=%(here)\n",
	base + "[program:a]\ncommand=a\nstartsecs=soon\n", base + "[program:a]\ncommand=a\nautostart=maybe\n",
	base + "[program:a]\ncommand=a\nstopsignal=NOPE\n", base + "[program:a]\ncommand=a\nexitcodes=256\n",
	base + "[program:a]\ncommand=a\numask=9\n", base + "[program:a]\ncommand=a\nuser=no-such-user\n",
	base + "[program:a]\ncommand=a\nstopasgroup=true\nkillasgroup=false\n", base + "[program:a]\ncommand=a\nnumprocs=2\n",
	base + "[program:a]\ncommand=a\nenvironment=A\n", base + "[program:a]\ncommand=a\nenvironment=A=\"b\n",
	base + "[program:a]\ncommand=a\nenvironment=A=é\n",
	base + "[program:a]\ncommand=a\nprocess_name=x y\n", base + "[program:a]\ncommand=a\nstdout_logfile_maxbytes=1XB\n",
	base + "[group:g]\nprograms=nope\n", base + "[eventlistener:w]\ncommand=w\n",
	base + "[eventlistener:w]\ncommand=w\nevents=NOPE\n", base + "[eventlistener:w]\ncommand=w\nevents=TICK\nbuffer_size=0\n",
	base + "[eventlistener:w]\ncommand=w\nevents=TICK\nredirect_stderr=true\n",
	"[include]\n" + base, "[supervisord]\nlogfile=/no/such/directory/x\n", "[supervisord]\nloglevel=loud\n",
	base + "[unix_http_server]\nchmod=0700\n", base + "[unix_http_server]\nfile=/tmp/s\nchmod=rwx\n",
	base + "[inet_http_server]\nport=x\n", base + "[inet_http_server]\nport=*:9001\nusername=x\n",
}

const included = "[program:i]\ncommand=%(here)s/i\n"

// dump prints what either side makes of a configuration.
type dump struct {
	OK     bool
	Daemon []any
	Groups [][]any
}

const pythonDump = `
import glob, io, json, sys
from supervisor.options import ServerOptions
from supervisor import datatypes, options as o
auto = lambda v: 'AUTO' if v is datatypes.Automatic else v or ''
restart = {False: 0, datatypes.RestartWhenExitUnexpected: 1, datatypes.RestartUnconditionally: 2}
number = lambda v: -1 if v is None else int(v)
result = []
for path in sys.argv[1:]:
  options = ServerOptions()
  options.stderr = io.StringIO()
  try:
    options.realize(['-c', path])
  except (SystemExit, Exception):
    result.append({'OK': False})
    continue
  s = options
  groups = []
  for g in options.process_group_configs:
    listener = [g.buffer_size, len(g.pool_events)] if hasattr(g, 'pool_events') else None
    groups.append([g.name, g.priority, listener, [[
      p.name, p.command, p.directory or '', number(p.uid), number(p.umask), p.priority, bool(p.autostart),
      restart[p.autorestart], p.startsecs, p.startretries, int(p.stopsignal), p.stopwaitsecs, p.stopasgroup,
      p.killasgroup, p.exitcodes, p.redirect_stderr, p.environment, p.serverurl or '',
      auto(p.stdout_logfile), p.stdout_logfile_maxbytes, p.stdout_logfile_backups, p.stdout_capture_maxbytes, p.stdout_events_enabled,
      auto(p.stderr_logfile), p.stderr_logfile_maxbytes, p.stderr_logfile_backups, p.stderr_capture_maxbytes, p.stderr_events_enabled,
    ] for p in g.process_configs]])
  result.append({'OK': True, 'Groups': groups, 'Daemon': [
    s.identifier, s.logfile, s.logfile_maxbytes, s.logfile_backups, s.pidfile, s.umask, bool(s.nodaemon), bool(s.silent),
    s.minfds, s.childlogdir, bool(s.nocleanup), bool(s.strip_ansi)]})
json.dump(result, sys.stdout)
`

func ourDump(path string) dump {
	c, err := Load(path, nil)
	if err != nil {
		return dump{}
	}
	groups := [][]any{}
	for _, g := range c.Groups {
		var listener any
		if g.Listener != nil {
			listener = []any{g.Listener.BufferSize, len(g.Listener.Events)}
		}
		programs := []any{}
		for _, p := range g.Programs {
			codes := append([]int{}, p.ExitCodes...)
			programs = append(programs, []any{
				p.Name, p.Command, p.Directory, p.User, p.Umask, p.Priority, p.AutoStart,
				p.AutoRestart, p.StartSecs, p.StartRetries, p.StopSignal, p.StopWaitSecs, p.StopAsGroup,
				p.KillAsGroup, codes, p.RedirectError, p.Environment, p.ServerURL,
				p.Stdout.LogFile, p.Stdout.MaxBytes, p.Stdout.Backups, p.Stdout.CaptureMaxBytes, p.Stdout.Events,
				p.Stderr.LogFile, p.Stderr.MaxBytes, p.Stderr.Backups, p.Stderr.CaptureMaxBytes, p.Stderr.Events,
			})
		}
		groups = append(groups, []any{g.Name, g.Priority, listener, programs})
	}
	return dump{OK: true, Daemon: []any{
		c.Identifier, c.LogFile, c.LogFileMaxBytes, c.LogFileBackups, c.PIDFile, c.Umask, c.NoDaemon, c.Silent,
		c.MinFDs, c.ChildLogDir, c.NoCleanup, c.StripANSI}, Groups: groups}
}

// TestAgainstPython reads every text with this package and with Python's supervisor.
func TestAgainstPython(t *testing.T) {
	directory := t.TempDir()
	if err := os.Mkdir(filepath.Join(directory, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		path := filepath.Join(directory, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("d/included.conf", included)
	write("d/.hidden.conf", "[nonsense")
	var paths []string
	for i, text := range texts {
		text = strings.ReplaceAll(text, "INCLUDED", "d/*.conf")
		paths = append(paths, write(fmt.Sprintf("%d.conf", i), text))
	}
	command := exec.Command(testkit.Python(t), append([]string{"-c", pythonDump}, paths...)...)
	command.Env = []string{"TMPDIR=" + os.TempDir()}
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	var want []dump
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatal(err)
	}
	for i, path := range paths {
		data, err := json.Marshal(ourDump(path))
		if err != nil {
			t.Fatal(err)
		}
		var got dump
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want[i]) {
			_, err := Load(path, nil)
			t.Errorf("%q:\ngot  %+v (%v)\nwant %+v", texts[i], got, err, want[i])
		}
	}
}

func TestServers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c")
	text := base + "[inet_http_server]\nport=*:9001\nusername=u\npassword=p\n[unix_http_server]\nfile=%(here)s/s\nchmod=0770\nchown=0:0\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []Server{
		{Section: "inet_http_server", Address: ":9001", Mode: 0o700, UID: -1, GID: -1, Username: "u", Password: "p"},
		{Section: "unix_http_server", Socket: filepath.Dir(path) + "/s", Mode: 0o770},
	}
	if !reflect.DeepEqual(c.Servers, want) {
		t.Errorf("got %+v", c.Servers)
	}
	if c.ServerURL() != "unix://"+filepath.Dir(path)+"/s" || c.Servers[0].URL() != "http://localhost:9001" {
		t.Errorf("URLs %s, %s", c.ServerURL(), c.Servers[0].URL())
	}
}

func TestSplitCommandAgainstPython(t *testing.T) {
	lines := []string{
		"", " ", "a", "a  b\tc\n", `a\ b`, `a'b c'd`, `"a\"b\x\\"`, `''`, `a '' b`, `"`, `a\`, `'a\'`, `\'`, `"a'b"`, `a#b # c`, "é ü",
	}
	command := exec.Command(testkit.Python(t), "-c", `
import json, shlex, sys
def split(line):
  try:
    return shlex.split(line)
  except ValueError as e:
    return str(e)[0].lower() + str(e)[1:]
json.dump([split(l) for l in json.load(sys.stdin)], sys.stdout)
`)
	input, err := json.Marshal(lines)
	if err != nil {
		t.Fatal(err)
	}
	command.Stdin = bytes.NewReader(input)
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []any
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatal(err)
	}
	for i, line := range lines {
		words, err := SplitCommand(line)
		got := any(words)
		if err != nil {
			got = err.Error()
		}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want[i]) {
			t.Errorf("%q: got %q, want %q", line, got, want[i])
		}
	}
}

// The supervisor and its client refuse a file that isn't UTF-8, even an
// included one, as the original does.
func TestNoUTF8(t *testing.T) {
	directory := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(directory, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	included := write("x.conf", "[program:x]\ncommand=/bin/echo caf\xe9\n")
	main := write("main.conf", "[supervisord]\n[include]\nfiles = x.conf\n")
	if _, err := Load(main, nil); err == nil || err.Error() != included+", line 2: not UTF-8" {
		t.Errorf("included: %v", err)
	}
	main = write("main.conf", "[supervisord]\n[supervisorctl]\n; caf\xe9\n")
	if _, err := LoadClient(main, nil); err == nil || err.Error() != main+", line 3: not UTF-8" {
		t.Errorf("client: %v", err)
	}
	write("x.conf", "[program:x]\ncommand=/bin/echo caf\u00e9\n")
	main = write("main.conf", "[supervisord]\n[include]\nfiles = x.conf\n")
	if _, err := Load(main, nil); err != nil {
		t.Errorf("UTF-8: %v", err)
	}
}

func FuzzLoad(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if bytes.Contains(data, []byte("include")) {
			return // reads other files
		}
		path := filepath.Join(t.TempDir(), "c")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path, []string{"A=b"})
		if err != nil {
			return
		}
		for _, group := range c.Groups {
			if strings.ContainsAny(group.Name, "\n") {
				t.Fatalf("group %q", group.Name)
			}
			for _, p := range group.Programs {
				_, _ = SplitCommand(p.Command)
			}
		}
	})
}
