// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

const wantPartition = `[group:slappart0]
programs=slappart0_backup,slappart0_both,slappart0_web

[program:slappart0_backup]
directory=ROOT/slappart0
command=ROOT/slappart0/etc/run/backup
process_name=backup
autostart=false
autorestart=false
startsecs=0
startretries=0
exitcodes=0
stopsignal=TERM
stopwaitsecs=60
stopasgroup=true
killasgroup=true
user=1000
group=1001
serverurl=AUTO
redirect_stderr=true
stdout_logfile=ROOT/slappart0/.slappart0_backup.log
stdout_logfile_maxbytes=100KB
stdout_logfile_backups=1
stderr_logfile=ROOT/slappart0/.slappart0_backup.log
stderr_logfile_maxbytes=100KB
stderr_logfile_backups=1
environment=USER="slapuser0",LOGNAME="slapuser0",HOME="/srv/slappart0"

[program:slappart0_both]
`

var owner = Program{UID: 1000, GID: 1001, User: "slapuser0", Home: "/srv/slappart0"}

// newLayout makes the directories below a temporary instance root.
func newLayout(t *testing.T) (Layout, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	l := Layout{InstanceRoot: t.TempDir(), Logger: slog.New(slog.NewTextHandler(&log, nil))}
	if err := WriteConfiguration(l, ""); err != nil {
		t.Fatal(err)
	}
	return l, &log
}

func makePartition(t *testing.T, l Layout, id string, runners, services []string) Group {
	t.Helper()
	directory := filepath.Join(l.InstanceRoot, id)
	for path, names := range map[string][]string{"etc/run": runners, "etc/service": services} {
		if err := os.MkdirAll(filepath.Join(directory, path), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if err := os.WriteFile(filepath.Join(directory, path, name), []byte("#!/bin/sh\nexec sleep 1000\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	programs, err := Services(os.DirFS(directory), directory, owner)
	if err != nil {
		t.Fatal(err)
	}
	return Group{Name: id, Directory: directory, Programs: programs}
}

func TestWriteGroup(t *testing.T) {
	t.Parallel()
	l, _ := newLayout(t)
	group := makePartition(t, l, "slappart0", []string{"both", "backup"}, []string{"web", "both"})
	for _, file := range []string{"slappart0-prerm.conf", "slappart0.old", "slappart01.conf", "other.conf"} {
		if err := os.WriteFile(filepath.Join(l.ConfigDir(), file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write := func(want bool, group Group) {
		t.Helper()
		changed, err := l.WriteGroup("slappart0", group)
		if err != nil || changed != want {
			t.Errorf("changed %v, %v", changed, err)
		}
	}
	files := func(want ...string) {
		t.Helper()
		entries, err := os.ReadDir(l.ConfigDir())
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
		if fmt.Sprint(names) != fmt.Sprint(want) {
			t.Errorf("files %v, want %v", names, want)
		}
	}
	write(true, group)
	files("other.conf", "slappart0-prerm.conf", "slappart0.conf", "slappart0.old", "slappart01.conf")
	data, err := os.ReadFile(filepath.Join(l.ConfigDir(), "slappart0.conf"))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.ReplaceAll(string(data), l.InstanceRoot, "ROOT")
	if !strings.HasPrefix(got, wantPartition) {
		t.Errorf("got\n%s", got)
	}
	for _, line := range []string{"process_name=both-on-watch", "command=ROOT/slappart0/etc/service/both", "process_name=web-on-watch"} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	info, err := os.Stat(filepath.Join(l.ConfigDir(), "slappart0.conf"))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	write(false, group)
	extra := Group{Name: "slappart0-socat", Directory: group.Directory, Programs: []Program{{Name: "x", Command: "socat a b"}}}
	write(true, extra)
	files("other.conf", "slappart0-prerm.conf", "slappart0-socat.conf", "slappart0.conf", "slappart0.old", "slappart01.conf")
	extra.Programs = nil
	write(true, extra)
	write(false, extra)
	if _, err := l.WriteGroup("slappart0", Group{Name: "slappart1"}); err == nil {
		t.Error("a group of another partition was written")
	}
	for range 2 {
		if err := l.RemovePartition("slappart0"); err != nil {
			t.Error(err)
		}
		files("other.conf", "slappart01.conf")
	}
	if removed, err := l.RemoveGroup("slappart01"); !removed || err != nil {
		t.Errorf("removed %v, %v", removed, err)
	}
	if removed, err := l.RemoveGroup("slappart01"); removed || err != nil {
		t.Errorf("removed %v, %v", removed, err)
	}
}

// hostileNames are what a partition's user may call a file.
var hostileNames = []string{
	"a b", "a\nuser=0", "a;b", "a#b", "a,b", `a"b`, "a'b", `a\b`, "[a]", "a]", "a:b", "a\xffb", "a\u00a0b", "a\x1bb", "\u2028", "%(here)s",
}

// TestHostileNames checks with Python's own parser that no file name breaks or
// adds anything (GRID-73).
func TestHostileNames(t *testing.T) {
	t.Parallel()
	l, log := newLayout(t)
	fine := []string{"%(x)s", "%", "100%%", "a=b", "é", "-x", "$HOME", "`id`", "{}", "*", "DEFAULT"}
	group := makePartition(t, l, "slappart0", append(fine, hostileNames...), []string{"service"})
	if _, err := l.WriteGroup("slappart0", group); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(log.String(), "it was skipped"); got != len(hostileNames) {
		t.Errorf("%d warnings for %d names: %s", got, len(hostileNames), log)
	}
	script := `
import shlex, sys
from supervisor.options import ServerOptions
import supervisor.options as o, supervisor.datatypes
o.name_to_uid = int
options = ServerOptions()
options.realize(['-c', sys.argv[1]])
for group in options.process_group_configs:
  for p in group.process_configs:
    if group.name != 'watchdog':
      (path,) = shlex.split(p.command)
      open(path).close()
      print(group.name, p.name, p.uid, p.directory, path.split('/')[-1], p.stdout_logfile.split('/')[-1], sep='\t')
`
	command := exec.Command(testkit.Python(t), "-c", script, l.ConfigFile())
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	want := map[string]bool{}
	for _, name := range append(fine, "service") {
		process := name
		if name == "service" {
			process += onWatch
		}
		want[strings.Join([]string{"slappart0", process, "1000", group.Directory, name, ".slappart0_" + name + ".log"}, "\t")] = true
	}
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSuffix(line, "\n")
		if !want[line] {
			t.Errorf("Python reads %q", line)
		}
		delete(want, line)
	}
	if len(want) > 0 {
		t.Errorf("Python doesn't read %v", want)
	}
}
