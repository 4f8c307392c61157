// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ticksPerSecond is the unit of times in /proc: the kernel's USER_HZ.
const ticksPerSecond = 100

var pageSize = uint64(os.Getpagesize())

// A process is a process of a partition's user, as read from /proc once.
type process struct {
	user       string
	pid        int
	started    uint64 // ticks since boot
	busy       uint64 // ticks in user and system mode
	spent      uint64 // the same, plus waited-for children and waits for disks
	threads    int
	resident   uint64 // pages
	bytes      uint64 // read from and written to disks
	operations uint64 // calls that read and write
	percent    float64
}

// key identifies the process while the machine runs.
func (p *process) key() string { return fmt.Sprintf("%d-%d", p.pid, p.started) }

// name is COL-17: pid and seconds since the epoch.
func (p *process) name(boot int64) string {
	return strconv.Itoa(p.pid) + "-" + pythonFloat(float64(p.started)/ticksPerSecond+float64(boot))
}

// readProcesses reads each process once, and returns those of the users,
// ordered by partition and pid. It leaves out processes that end meanwhile
// (COL-8).
func (c *Collector) readProcesses() ([]process, error) {
	users, err := c.userNames()
	if err != nil {
		return nil, err
	}
	directory, err := os.Open(c.Proc)
	if err != nil {
		return nil, err
	}
	defer directory.Close()
	names, err := directory.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	order := make(map[string]int, len(c.Partitions))
	for i, partition := range c.Partitions {
		order[partition.User] = i
	}
	maps.DeleteFunc(users, func(_ uint32, name string) bool { _, wanted := order[name]; return !wanted })
	reader := processReader{directory: int(directory.Fd())}
	var found []process
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		p := process{pid: pid}
		switch err := reader.read(&p, users); {
		case err == nil && p.user != "":
			found = append(found, p)
		case errors.Is(err, fs.ErrPermission):
			return nil, fmt.Errorf("process %d: %w", pid, ErrAccess)
		}
	}
	slices.SortFunc(found, func(a, b process) int {
		return cmp.Or(cmp.Compare(order[a.user], order[b.user]), cmp.Compare(a.pid, b.pid))
	})
	return found, nil
}

// userNames maps user numbers to names.
func (c *Collector) userNames() (map[uint32]string, error) {
	content, err := os.ReadFile(filepath.Join(c.Etc, "passwd"))
	if err != nil {
		return nil, err
	}
	return parsePasswd(content), nil
}

// parsePasswd uses the first of several names for a number, as the system does.
func parsePasswd(content []byte) map[uint32]string {
	names := map[uint32]string{}
	for line := range strings.Lines(string(content)) {
		fields := strings.SplitN(line, ":", 4)
		if len(fields) < 4 {
			continue
		}
		uid, err := strconv.ParseUint(fields[2], 10, 32)
		if _, known := names[uint32(uid)]; err == nil && !known {
			names[uint32(uid)] = fields[0]
		}
	}
	return names
}

// A processReader reads files of processes into one buffer.
type processReader struct {
	directory int
	buffer    [4096]byte
}

// read fills in p; the user stays empty if it is none of users.
func (r *processReader) read(p *process, users map[uint32]string) error {
	name := strconv.Itoa(p.pid)
	content, err := r.file(name + "/status")
	if err != nil {
		return err
	}
	uid, err := parseStatusUID(content)
	if err != nil || users[uid] == "" {
		return err
	}
	if content, err = r.file(name + "/stat"); err != nil {
		return err
	}
	if err := parseStat(content, p); err != nil {
		return err
	}
	if content, err = r.file(name + "/io"); err != nil {
		return err
	}
	if err := parseIO(content, p); err != nil {
		return err
	}
	p.user = users[uid]
	return nil
}

// file returns the beginning of a file, which the kernel returns in one piece.
// The next call reuses the buffer.
func (r *processReader) file(name string) ([]byte, error) {
	descriptor, err := unix.Openat(r.directory, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(descriptor)
	length, err := unix.Read(descriptor, r.buffer[:])
	if err != nil {
		return nil, err
	}
	return r.buffer[:length], nil
}

var errProcessFormat = errors.New("unexpected content in /proc")

// parseStatusUID returns the real user of /proc/PID/status.
func parseStatusUID(content []byte) (uint32, error) {
	_, rest, found := bytes.Cut(content, []byte("\nUid:\t"))
	number, _, _ := bytes.Cut(rest, []byte("\t"))
	uid, err := strconv.ParseUint(string(number), 10, 32)
	if !found || err != nil {
		return 0, errProcessFormat
	}
	return uint32(uid), nil
}

// parseStat reads /proc/PID/stat. The second field is the name, which the owner
// can fill with blanks, brackets and line ends.
func parseStat(content []byte, p *process) error {
	end := bytes.LastIndexByte(content, ')')
	fields := bytes.Fields(content[end+1:])
	const first = 3 // number of the first field after the name
	if end < 0 || len(fields) < 42-first+1 {
		return errProcessFormat
	}
	var failed error
	field := func(number int) uint64 {
		value, err := strconv.ParseUint(string(fields[number-first]), 10, 64)
		failed = cmp.Or(failed, err)
		return value
	}
	p.busy = field(14) + field(15)
	p.spent = p.busy + field(16) + field(17) + field(42) // COL-19
	p.threads = int(field(20))
	p.started = field(22)
	p.resident = field(24)
	if failed != nil {
		return errProcessFormat
	}
	return nil
}

// parseIO reads /proc/PID/io (COL-21).
func parseIO(content []byte, p *process) error {
	for line := range bytes.Lines(content) {
		key, text, _ := bytes.Cut(bytes.TrimSpace(line), []byte(": "))
		value, err := strconv.ParseUint(string(text), 10, 64)
		if err != nil {
			return errProcessFormat
		}
		switch string(key) {
		case "read_bytes", "write_bytes":
			p.bytes += value
		case "syscr", "syscw":
			p.operations += value
		}
	}
	return nil
}

// usePercent sets the CPU use of each process since the previous counters, or
// since it started: 100 is one processor (COL-18).
func usePercent(processes []process, before, now *counters) {
	for i := range processes {
		p := &processes[i]
		since, busy := before.Uptime, p.busy
		if earlier, known := before.Processes[p.key()]; known {
			busy -= min(busy, earlier)
		} else {
			since = max(since, float64(p.started)/ticksPerSecond)
		}
		// A younger process has too few ticks.
		elapsed := max(now.Uptime-since, min(1, now.Uptime-before.Uptime))
		if elapsed > 0 {
			p.percent = roundTo(100*float64(busy)/ticksPerSecond/elapsed, 1)
		}
	}
}

// wait sleeps, or returns early with the context's error.
func wait(done <-chan struct{}, duration time.Duration) bool {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-done:
		return false
	case <-timer.C:
		return true
	}
}
