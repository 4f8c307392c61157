// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"slapos/grid/supervisor/config"
	"slapos/slap/wholefile"
)

// journal records on disk which processes run, so that another supervisor finds
// them if this one is killed (D-5). It has one line for each start and each
// end, and is compacted from time to time. The file exists once there is a
// service: listeners aren't adopted, so they alone don't need it.
type journal struct {
	path    string
	boot    string // identifies this boot: process numbers start over after each
	file    *os.File
	lines   int
	running map[int]entry // by process number
	failed  func(error)
}

// entry is a line of the journal: a start, or, with Ended, the end of a
// process. It holds everything needed to supervise the process as it was
// started, even if the configuration has changed since.
type entry struct {
	Boot     string          `json:"boot,omitempty"`
	Ended    int             `json:"ended,omitempty"`
	PID      int             `json:"pid,omitempty"`
	Ticks    uint64          `json:"ticks,omitempty"` // the kernel's start time, which exposes a reused number
	Since    time.Time       `json:"since,omitzero"`
	Group    string          `json:"group,omitempty"`
	Priority int             `json:"priority,omitempty"` // of the group
	Listener bool            `json:"listener,omitempty"`
	Program  *config.Program `json:"program,omitempty"`
	Logs     [2]string       `json:"logs,omitzero"`  // paths, AUTO resolved
	Pipes    [3]uint64       `json:"pipes,omitzero"` // inodes of stdin, stdout, stderr
}

// maximumLines is the length at which a journal is rewritten, if few of its
// lines still count.
const maximumLines = 5000

// openJournal reads the journal of an earlier supervisor and starts a new one
// with the entries that still count: those since the last boot. If the journal
// can't be kept, it passes the error to failed, and the supervisor serves
// without.
func openJournal(path string, failed func(error)) *journal {
	j := &journal{path: path, running: map[int]entry{}, failed: failed}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		failed(fmt.Errorf("identify this run of the machine: %w", err))
		return j
	}
	j.boot = strings.TrimSpace(string(boot))
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		failed(fmt.Errorf("read journal: %w", err))
	}
	j.read(data)
	if err := j.rewrite(); err != nil {
		failed(err)
	}
	return j
}

// read skips what it can't parse: the last line may be half written.
func (j *journal) read(data []byte) {
	current := false
	for line := range bytes.Lines(data) {
		var e entry
		switch err := json.Unmarshal(line, &e); {
		case err != nil:
		case e.Boot != "":
			current = e.Boot == j.boot
		case !current:
		case e.Ended != 0:
			delete(j.running, e.Ended)
		case e.PID > 0 && e.Program != nil:
			j.running[e.PID] = e
		}
	}
}

// rewrite replaces the file with one that holds only running processes.
func (j *journal) rewrite() error {
	if !j.needed() {
		j.remove()
		return nil
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	err := encoder.Encode(entry{Boot: j.boot})
	for _, e := range j.running {
		err = errors.Join(err, encoder.Encode(e))
	}
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	if err := wholefile.Write(j.path, b.Bytes(), 0o600); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	file, err := os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	if j.file != nil {
		j.file.Close()
	}
	j.file, j.lines = file, len(j.running)+1
	return nil
}

// needed reports whether anything runs that another supervisor would adopt.
func (j *journal) needed() bool {
	for _, e := range j.running {
		if !e.Listener {
			return true
		}
	}
	return false
}

// started records that p has a process.
func (j *journal) started(p *process) {
	stat, err := readStat(p.pid)
	if err != nil {
		j.failed(err)
		return
	}
	e := entry{
		PID: p.pid, Ticks: stat.ticks, Since: p.started.Round(0), Group: p.group.config.Name,
		Priority: p.group.config.Priority, Listener: p.listener != nil, Program: p.config, Pipes: p.pipes,
	}
	for i, o := range p.outputs() {
		e.Logs[i] = o.path
	}
	j.running[p.pid] = e
	j.append(e)
}

func (j *journal) ended(pid int) {
	if _, found := j.running[pid]; found {
		delete(j.running, pid)
		j.append(entry{Ended: pid})
	}
}

// append writes a line. A service goes on if that fails: without an entry, its
// environment identifies it.
func (j *journal) append(e entry) {
	if j.boot == "" {
		return
	}
	if j.file == nil {
		if err := j.rewrite(); err != nil {
			j.failed(err)
		}
		return
	}
	line, err := json.Marshal(e)
	if err == nil {
		_, err = j.file.Write(append(line, '\n'))
	}
	if j.lines++; j.lines > maximumLines && j.lines > 4*len(j.running) {
		err = errors.Join(err, j.rewrite())
	}
	if err != nil {
		j.failed(err)
	}
}

// remove removes a journal in which nothing runs.
func (j *journal) remove() {
	if j.file != nil {
		j.file.Close()
		j.file = nil
	}
	if err := os.Remove(j.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		j.failed(fmt.Errorf("remove journal: %w", err))
	}
}

// processStat is the content of /proc/PID/stat.
type processStat struct {
	parent, group, session int
	ticks                  uint64 // start time, counted from boot
	dead                   bool   // a zombie: it waits to be reaped
	exitCode               int    // of a zombie, as wait gives it; 0 if we may not know
}

func readStat(pid int) (processStat, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return processStat{}, err
	}
	return parseStat(data)
}

func parseStat(data []byte) (s processStat, err error) {
	// The name, in brackets, may hold anything.
	_, after, _ := strings.Cut(string(data[max(0, bytes.LastIndexByte(data, ')')):]), " ")
	fields := strings.Fields(after)
	if len(fields) < 20 {
		return s, fmt.Errorf("unknown format of /proc/PID/stat: %q", data)
	}
	s.dead = fields[0] == "Z" || fields[0] == "X"
	for i, number := range []*int{&s.parent, &s.group, &s.session} {
		*number, err = strconv.Atoi(fields[1+i])
		if err != nil {
			return s, fmt.Errorf("unknown format of /proc/PID/stat: %w", err)
		}
	}
	if len(fields) > 49 {
		s.exitCode, _ = strconv.Atoi(fields[49])
	}
	if s.ticks, err = strconv.ParseUint(fields[19], 10, 64); err != nil {
		return s, fmt.Errorf("unknown format of /proc/PID/stat: %w", err)
	}
	return s, nil
}
