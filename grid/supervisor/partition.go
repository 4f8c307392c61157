// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// onWatch marks processes whose end the watchdog reports (GRID-79).
const onWatch = "-on-watch"

// Program is one process of a group.
type Program struct {
	Name     string // unique in the group
	Command  string // a command line, split as by a shell, but not expanded
	OnWatch  bool   // the watchdog reports its end
	UID, GID int
	User     string // name of UID
	Home     string // home directory of UID
}

// Group is the content of a configuration file.
type Group struct {
	Name      string // <partition> or <partition>-<suffix>
	Directory string // the partition's, where programs start and log
	Programs  []Program
}

// Services lists the services of a partition: every file in etc/run and
// etc/service below directory, of which root is an opened view (GRID-73). Names
// are sorted; a service replaces a runner of the same name. owner gives UID,
// GID, User and Home of each program.
func Services(root fs.FS, directory string, owner Program) ([]Program, error) {
	var programs []Program
	position := map[string]int{}
	for _, source := range []struct {
		path    string
		onWatch bool
	}{{"etc/run", false}, {"etc/service", true}} {
		entries, err := fs.ReadDir(root, source.path)
		if errors.Is(err, fs.ErrNotExist) || isNotDirectory(root, source.path) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("list services: %w", err)
		}
		for _, entry := range entries {
			program := owner
			program.Name = entry.Name()
			program.OnWatch = source.onWatch
			program.Command = quote(filepath.Join(directory, source.path, entry.Name()))
			if at, known := position[program.Name]; known {
				programs[at] = program
				continue
			}
			position[program.Name] = len(programs)
			programs = append(programs, program)
		}
	}
	return programs, nil
}

func isNotDirectory(root fs.FS, path string) bool {
	info, err := fs.Stat(root, path)
	return err == nil && !info.IsDir()
}

// quote writes a word so that supervisor reads it as one; most need no quotes.
func quote(word string) string {
	special := func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("'\"\\", r) }
	if word != "" && !strings.ContainsFunc(word, special) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'"'"'`) + "'"
}

// WriteGroup writes the configuration file of one of a partition's groups,
// which is named after the group. changed means that the supervisor needs an
// update.
//
// Names in etc/run and etc/service come from the partition's user. WriteGroup
// warns of a name that would break the file, for this or any other partition,
// and leaves it out; a group with no usable program has no file.
func (l Layout) WriteGroup(id string, group Group) (changed bool, err error) {
	if group.Name != id && !strings.HasPrefix(group.Name, id+"-") {
		return false, fmt.Errorf("supervisor group %s is not of partition %s", group.Name, id)
	}
	text, err := l.groupText(group)
	if err != nil {
		return false, fmt.Errorf("supervisor group %s: %w", group.Name, err)
	}
	if text == "" {
		return l.RemoveGroup(group.Name)
	}
	return writeIfChanged(filepath.Join(l.ConfigDir(), group.Name+".conf"), []byte(text))
}

// RemovePartition removes all configuration files of a partition, including
// those of its managers.
func (l Layout) RemovePartition(id string) error {
	entries, err := os.ReadDir(l.ConfigDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list supervisor configuration: %w", err)
	}
	for _, entry := range entries {
		name := entry.Name()
		if strings.TrimSuffix(name, filepath.Ext(name)) != id && !strings.HasPrefix(name, id+"-") {
			continue
		}
		if err := os.Remove(filepath.Join(l.ConfigDir(), name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove supervisor configuration: %w", err)
		}
	}
	return nil
}

// RemoveGroup removes the configuration file of one group, so that the next
// update stops it.
func (l Layout) RemoveGroup(name string) (removed bool, err error) {
	err = os.Remove(filepath.Join(l.ConfigDir(), name+".conf"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// groupText returns the content of a group's file, empty if no program is usable.
func (l Layout) groupText(group Group) (string, error) {
	if !fitName(group.Name) || strings.ContainsAny(group.Directory, "\n\r") {
		return "", errors.New("the name of the group or of its directory can't be written to a configuration file")
	}
	var names []string
	var sections strings.Builder
	for _, p := range group.Programs {
		if !fitName(p.Name) || strings.ContainsAny(p.Command, "\n\r") || commented(p.Command) || commented(group.Directory) {
			l.logger().Warn("this file name can't be used for a service: it was skipped", "group", group.Name, "name", p.Name)
			continue
		}
		if strings.ContainsAny(p.User+p.Home, "\"\n\r\\") {
			return "", fmt.Errorf("user %q with home %q can't be written to a configuration file", p.User, p.Home)
		}
		program := group.Name + "_" + p.Name
		names = append(names, program)
		writeProgram(&sections, group, program, p)
	}
	if names == nil {
		return "", nil
	}
	return "[group:" + group.Name + "]\nprograms=" + escape(strings.Join(names, ",")) + "\n" + sections.String(), nil
}

// writeProgram writes one section (GRID-73).
func writeProgram(b *strings.Builder, group Group, program string, p Program) {
	name := p.Name
	if p.OnWatch {
		name += onWatch
	}
	fmt.Fprintf(b, "\n[program:%s]\ndirectory=%s\ncommand=%s\nprocess_name=%s\n",
		program, escape(group.Directory), escape(p.Command), escape(name))
	b.WriteString("autostart=false\nautorestart=false\nstartsecs=0\nstartretries=0\nexitcodes=0\n" +
		"stopsignal=TERM\nstopwaitsecs=60\nstopasgroup=true\nkillasgroup=true\n")
	fmt.Fprintf(b, "user=%d\ngroup=%d\nserverurl=AUTO\nredirect_stderr=true\n", p.UID, p.GID)
	writeLogs(b, escape(escape(group.Directory+"/."+program+".log")))
	fmt.Fprintf(b, "environment=USER=\"%s\",LOGNAME=\"%[1]s\",HOME=\"%s\"\n", escape(p.User), escape(p.Home))
}

// fitName reports whether a file name can stand in a section's name, in a list
// of names, in a command line and in the URL of a process. A single unfit name
// makes supervisor refuse the whole configuration.
func fitName(name string) bool {
	// Supervisor replaces %(here)s before it handles escapes.
	if name == "" || !utf8.ValidString(name) || strings.Contains(name, "%(here)s") {
		return false
	}
	for _, r := range name {
		if !unicode.IsPrint(r) || unicode.IsSpace(r) || strings.ContainsRune(` :/;,#"'\[]`, r) {
			return false
		}
	}
	return true
}

// commented reports whether supervisor would take part of value for a comment.
func commented(value string) bool {
	runes := []rune(" " + value)
	for i, r := range runes[1:] {
		if (r == ';' || r == '#') && unicode.IsSpace(runes[i]) {
			return true
		}
	}
	return false
}
