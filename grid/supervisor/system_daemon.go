// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"fmt"
	"path/filepath"
	"strings"
)

// A SystemDaemon is a program of the whole node that the supervisor keeps
// running as root: firewalld and the dbus that it needs (GRID-78).
type SystemDaemon struct {
	Name     string // of the program, its group and its file
	Command  string // a command line; empty: there is no such daemon
	Priority int    // those with a lower one start first
	LogFile  string
}

// WriteSystemDaemon writes the configuration file of a daemon, or removes it.
func (l Layout) WriteSystemDaemon(d SystemDaemon) (changed bool, err error) {
	if d.Command == "" {
		return l.RemoveGroup(d.Name)
	}
	if strings.ContainsAny(d.Command+d.LogFile, "\n\r") {
		return false, fmt.Errorf("configuration of %s: its command or the name of its log holds a line break", d.Name)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "[program:%s]\ndirectory=/opt/slapos\ncommand=%s\nprocess_name=%[1]s\npriority=%[3]d\n", d.Name, escape(d.Command), d.Priority)
	text.WriteString("autostart=true\nautorestart=true\nstartsecs=0\nstartretries=0\nexitcodes=0\n" +
		"stopsignal=TERM\nstopwaitsecs=60\nuser=0\ngroup=0\nserverurl=AUTO\nredirect_stderr=true\n")
	writeLogs(&text, escape(escape(d.LogFile)))
	return writeIfChanged(filepath.Join(l.ConfigDir(), d.Name+".conf"), []byte(text.String()))
}

// writeLogs writes the options of both output streams. name is already escaped;
// supervisor expands it twice.
func writeLogs(b *strings.Builder, log string) {
	for _, stream := range []string{"stdout", "stderr"} {
		fmt.Fprintf(b, "%s_logfile=%s\n%[1]s_logfile_maxbytes=100KB\n%[1]s_logfile_backups=1\n", stream, log)
	}
}
