// SPDX-License-Identifier: GPL-3.0-or-later

package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"

	"slapos/slap"
)

// AutoRestart says when a process is restarted after it ended by itself.
type AutoRestart int

// The values of autorestart=.
const (
	RestartNever AutoRestart = iota
	RestartUnexpected
	RestartAlways
)

// Program is one process to run. Times are in seconds.
type Program struct {
	Name          string
	Command       string
	Directory     string // "" for the supervisor's
	User          int    // uid; -1 for the supervisor's
	Group         int    // gid; -1 for the user's
	Umask         int    // -1 for the supervisor's
	Priority      int
	AutoStart     bool
	AutoRestart   AutoRestart
	StartSecs     int
	StartRetries  int
	StopSignal    syscall.Signal
	StopWaitSecs  int
	StopAsGroup   bool
	KillAsGroup   bool
	ExitCodes     []int
	RedirectError bool
	Environment   map[string]string
	ServerURL     string // "" for the supervisor's
	Stdout        Stream
	Stderr        Stream
}

// Stream says where an output of a process goes.
type Stream struct {
	LogFile         string // "" for none, or Auto
	MaxBytes        int64  // 0: not rotated
	Backups         int
	CaptureMaxBytes int64 // 0: nothing is captured for PROCESS_COMMUNICATION events
	Events          bool  // PROCESS_LOG events
}

// groups reads [group:x], then each [program:x] that is in no group, then
// [eventlistener:x].
func (l *loader) groups() error {
	grouped := map[string]bool{}
	for _, sectionName := range l.ini.names {
		text, found := strings.CutPrefix(sectionName, "group:")
		if !found {
			continue
		}
		s := l.section(sectionName, nil)
		group := &Group{Priority: read(s, "priority", "999", integer)}
		programs := listOfStrings(s.text("programs", ""))
		var err error
		if group.Name, err = name(text); err != nil {
			s.fail(err)
		}
		if s.err != nil {
			return l.inSection(sectionName, s.err)
		}
		for _, program := range programs {
			if !l.has("program:" + program) {
				return fmt.Errorf("[%s] names unknown program or fcgi-program %s", sectionName, program)
			}
			grouped["program:"+program] = true
			if err := l.programs("program:"+program, group); err != nil {
				return err
			}
		}
		l.Groups = append(l.Groups, group)
	}
	for _, kind := range []string{"program:", "eventlistener:"} {
		for _, sectionName := range l.ini.names {
			if strings.HasPrefix(sectionName, kind) && !grouped[sectionName] {
				if err := l.single(sectionName, kind); err != nil {
					return err
				}
			}
		}
	}
	for _, sectionName := range l.ini.names {
		if strings.HasPrefix(sectionName, "fcgi-program:") {
			l.Warnings = append(l.Warnings, "["+sectionName+"] is ignored: this supervisor has no FastCGI programs")
		}
	}
	slices.SortStableFunc(l.Groups, func(a, b *Group) int {
		if a.Priority != b.Priority {
			return a.Priority - b.Priority
		}
		return strings.Compare(a.Name, b.Name)
	})
	return nil
}

// single makes the group of a program that is in no other group.
func (l *loader) single(sectionName, kind string) error {
	s := l.section(sectionName, nil)
	group := &Group{}
	var err error
	if kind == "eventlistener:" {
		group.Name = strings.TrimPrefix(sectionName, kind)
		group.Priority = read(s, "priority", "-1", integer) // first to start, last to stop
		group.Listener = &Listener{BufferSize: read(s, "buffer_size", "10", integer)}
		if group.Listener.Events, err = events(sectionName, s.text("events", "")); err != nil {
			s.fail(err)
		}
		if size := group.Listener.BufferSize; size < 1 {
			s.fail(fmt.Errorf("[%s] section sets invalid buffer_size (%d)", sectionName, size))
		}
		if read(s, "redirect_stderr", "false", boolean) {
			s.fail(fmt.Errorf("[%s] sets redirect_stderr=true: an event listener needs its output for itself", sectionName))
		}
	} else {
		group.Priority = read(s, "priority", "999", integer)
		if group.Name, err = name(strings.TrimPrefix(sectionName, kind)); err != nil {
			s.fail(err)
		}
	}
	if s.err != nil {
		return l.inSection(sectionName, s.err)
	}
	l.Groups = append(l.Groups, group)
	return l.programs(sectionName, group)
}

func (l *loader) inSection(name string, err error) error {
	return fmt.Errorf("%w in section %s (file: %s)", err, slap.PythonRepr(name), slap.PythonRepr(l.files[name]))
}

const (
	maximumProcesses = 10000   // bounds numprocs
	maximumNumber    = 1 << 30 // bounds numprocs_start
)

// programs adds the processes of one section to a group.
func (l *loader) programs(sectionName string, group *Group) error {
	_, programName, _ := strings.Cut(sectionName, ":")
	programName, err := name(programName)
	if err != nil {
		return l.inSection(sectionName, err)
	}
	s := l.section(sectionName, names{"program_name": programName, "group_name": group.Name})
	count := read(s, "numprocs", "1", integer)
	first := read(s, "numprocs_start", "0", integer)
	processName, err := name(s.raw("process_name", "%(program_name)s"))
	s.fail(err)
	if count > 1 && !strings.Contains(processName, "%(process_num)") {
		s.fail(errors.New("%(process_num) must be present within process_name when numprocs > 1"))
	}
	if count > maximumProcesses {
		s.fail(fmt.Errorf("numprocs is more than %d", maximumProcesses))
	}
	if first < -maximumNumber || first > maximumNumber {
		s.fail(fmt.Errorf("numprocs_start must be from -%d to %[1]d", maximumNumber))
	}
	if s.err != nil {
		return l.inSection(sectionName, s.err)
	}
	var added []*Program
	for number := first; number < first+count; number++ {
		numbered := l.section(sectionName, s.names.with(names{"process_num": number, "numprocs": count}))
		program := l.program(numbered, processName)
		if numbered.err != nil {
			return l.inSection(sectionName, numbered.err)
		}
		added = append(added, program)
	}
	slices.SortStableFunc(added, func(a, b *Program) int { return strings.Compare(a.Name, b.Name) })
	group.Programs = append(group.Programs, added...)
	return nil
}

// program reads one process. Its own environment= can be expanded in the
// options that are read after it, as in the original.
func (l *loader) program(s *section, processName string) *Program {
	p := &Program{
		Priority:      read(s, "priority", "999", integer),
		AutoStart:     read(s, "autostart", "true", boolean),
		AutoRestart:   read(s, "autorestart", "unexpected", autoRestart),
		StartSecs:     read(s, "startsecs", "1", integer),
		StartRetries:  read(s, "startretries", "3", integer),
		StopSignal:    read(s, "stopsignal", "TERM", Signal),
		StopWaitSecs:  read(s, "stopwaitsecs", "10", integer),
		StopAsGroup:   read(s, "stopasgroup", "false", boolean),
		ExitCodes:     read(s, "exitcodes", "0", exitCodes),
		RedirectError: read(s, "redirect_stderr", "false", boolean),
		User:          readOptional(s, "user", -1, userID),
		Group:         readOptional(s, "group", -1, groupID),
		Umask:         readOptional(s, "umask", -1, octal),
		ServerURL:     s.text("serverurl", ""),
	}
	if strings.EqualFold(strings.TrimSpace(p.ServerURL), "AUTO") {
		p.ServerURL = ""
	}
	p.KillAsGroup = p.StopAsGroup
	if s.set("killasgroup") {
		p.KillAsGroup = read(s, "killasgroup", "", boolean)
	}
	if p.StopAsGroup && !p.KillAsGroup {
		s.fail(errors.New("can't set stopasgroup=true and killasgroup=false"))
	}
	own := read(s, "environment", "", pairs)
	p.Environment = maps.Clone(l.shared)
	maps.Copy(p.Environment, own)
	for name, value := range own {
		s.names["ENV_"+name] = value
	}
	p.Directory = expandUser(s.text("directory", ""))
	p.Stdout = s.stream("stdout")
	p.Stderr = s.stream("stderr")
	if p.RedirectError {
		p.Stderr.LogFile = ""
	}
	p.Command = s.text("command", "")
	if !s.set("command") {
		s.fail(fmt.Errorf("program section %s does not specify a command", s.name))
	}
	var err error
	p.Name, err = s.names.expand(processName, "process_name")
	s.fail(err)
	return p
}

// stream reads the options of one output. The log's name is expanded twice, as
// in the original.
func (s *section) stream(which string) Stream {
	path, err := s.names.expand(s.text(which+"_logfile", Auto), which+"_logfile")
	s.fail(err)
	stream := Stream{
		MaxBytes:        read(s, which+"_logfile_maxbytes", "50MB", byteSize),
		Backups:         read(s, which+"_logfile_backups", "10", integer),
		CaptureMaxBytes: read(s, which+"_capture_maxbytes", "0", byteSize),
		Events:          read(s, which+"_events_enabled", "false", boolean),
	}
	var syslog bool
	stream.LogFile, syslog = logFile(path)
	if syslog || s.set(which+"_syslog") && read(s, which+"_syslog", "", boolean) {
		s.l.warn("For [" + s.name + "], output to syslog is ignored: this supervisor has none")
	}
	return stream
}

// warn keeps a warning, once.
func (l *loader) warn(text string) {
	if !slices.Contains(l.Warnings, text) {
		l.Warnings = append(l.Warnings, text)
	}
}
