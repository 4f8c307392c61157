// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"slapos/slap/testkit"
)

const statLine = "7 (a) b) S\n(x) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 30 20 20 0 3 0 4321 9000 25 18446744073709551615 1 2 3 4 5 6 7 8 9 0 0 0 17 1 0 0 100 0 0 1 2 3 4 5 6 7 0\n"

// COL-19, COL-20.
func TestParseStat(t *testing.T) {
	var p process
	if err := parseStat([]byte(statLine), &p); err != nil {
		t.Fatal(err)
	}
	if p.busy != 200 || p.spent != 350 || p.threads != 3 || p.started != 4321 || p.resident != 25 {
		t.Errorf("%+v", p)
	}
	for _, bad := range []string{"", ")", "7 (a) S", "7 (a) S 1 2 3", strings.Replace(statLine, " 150 ", " -150 ", 1), strings.Replace(statLine, " 4321 ", " x ", 1)} {
		if err := parseStat([]byte(bad), &p); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte(statLine))
	f.Add([]byte("1 (x"))
	f.Fuzz(func(_ *testing.T, content []byte) {
		_ = parseStat(content, &process{})
		_, _ = parseStatusUID(content)
		_ = parseIO(content, &process{})
		_ = parsePasswd(content)
		_ = parseMounts(content, content)
	})
}

// COL-21.
func TestParseIO(t *testing.T) {
	var p process
	err := parseIO([]byte("rchar: 9\nwchar: 9\nsyscr: 3\nsyscw: 4\nread_bytes: 100\nwrite_bytes: 28\ncancelled_write_bytes: 5\n"), &p)
	if err != nil || p.bytes != 128 || p.operations != 7 {
		t.Errorf("%+v, %v", p, err)
	}
	if parseIO([]byte("syscr: many\n"), &p) == nil {
		t.Error("no error")
	}
}

func TestParsePasswd(t *testing.T) {
	names := parsePasswd([]byte("root:x:0:0::/root:/bin/sh\nslapuser0:x:20000:1::/:\ntwin:x:20000:1::/:\nbroken\nx:x:minus:1:\n"))
	if len(names) != 2 || names[0] != "root" || names[20000] != "slapuser0" {
		t.Error(names)
	}
}

// COL-25.
func TestParseMounts(t *testing.T) {
	disks := parseMounts([]byte(`proc /proc proc rw 0 0
/dev/mapper/a-b / ext4 rw 0 0
none /x ext4 rw 0 0
/dev/vdb /srv/a\040b xfs rw 0 0
/dev/vdb /again xfs rw 0 0
tank /tank zfs rw 0 0
broken
`), []byte("nodev\tproc\n\text4\n\txfs\n"))
	want := []diskUse{{device: "/dev/mapper/a-b", mountPoint: "/"}, {device: "/dev/vdb", mountPoint: "/srv/a b"}, {device: "tank", mountPoint: "/tank"}}
	if fmt.Sprint(disks) != fmt.Sprint(want) {
		t.Error(disks)
	}
}

// COL-18.
func TestUsePercent(t *testing.T) {
	before := &counters{Uptime: 100, Processes: map[string]uint64{"1-50": 1000, "2-50": 1000}}
	now := &counters{Uptime: 160}
	processes := []process{
		{pid: 1, started: 50, busy: 1000},    // idle
		{pid: 2, started: 50, busy: 7000},    // one processor for a minute
		{pid: 3, started: 13000, busy: 1500}, // half of its 30 seconds
		{pid: 4, started: 15990, busy: 10},   // so young that only the last second counts
		{pid: 2, started: 60, busy: 600},     // another process with the same number
	}
	usePercent(processes, before, now)
	for i, want := range []float64{0, 100, 50, 10, 10} {
		if processes[i].percent != want {
			t.Errorf("process %d: %v, want %v", i, processes[i].percent, want)
		}
	}
}

// COL-4.
func TestCountersUsable(t *testing.T) {
	now := &counters{Boot: "a", Uptime: 1000, CPU: 500, Idle: 400}
	for i, test := range []struct {
		before counters
		want   bool
	}{
		{counters{Boot: "a", Uptime: 940, CPU: 400, Idle: 300}, true},
		{counters{Boot: "b", Uptime: 940, CPU: 400, Idle: 300}, false},
		{counters{Boot: "a", Uptime: 996, CPU: 400, Idle: 300}, false},
		{counters{Boot: "a", Uptime: 1001, CPU: 400, Idle: 300}, false},
		{counters{Boot: "a", Uptime: 940, CPU: 600, Idle: 300}, false},
	} {
		if got := test.before.usable(now); got != test.want {
			t.Errorf("%d: %v", i, got)
		}
	}
	far := &counters{Boot: "a", Uptime: 9000, CPU: 5000, Idle: 4000}
	if now.usable(far) {
		t.Error("counters of hours ago are used")
	}
}

// ownProc makes a /proc with only this process and the given ones.
func ownProc(t *testing.T, processes ...int) string {
	t.Helper()
	root := t.TempDir()
	names := []string{"stat", "meminfo", "uptime", "loadavg", "filesystems", "cpuinfo", "net", "sys", "self", "1"}
	for _, pid := range append(processes, os.Getpid()) {
		names = append(names, strconv.Itoa(pid))
	}
	for _, name := range names {
		if err := os.Symlink("/proc/"+name, filepath.Join(root, name)); err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
	}
	// Process 1 can't be read by us.
	if err := os.Remove(filepath.Join(root, "1")); err != nil {
		t.Fatal(err)
	}
	return root
}

// ownEtc makes a passwd file in which this process runs as slapuser0.
func ownEtc(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	testkit.WriteFile(t, filepath.Join(root, "passwd"), fmt.Sprintf("slapuser0:x:%d:0::/:\nslapuser1:x:4294967294:0::/:\n", os.Getuid()))
	return root
}

// In the real /proc, a process that computes is busy, another one idle. COL-18,
// COL-20.
func TestTakeSampleReal(t *testing.T) {
	busy := exec.Command("sh", "-c", "while :; do :; done")
	idle := exec.Command("sleep", "1000")
	for _, command := range []*exec.Cmd{busy, idle} {
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = command.Process.Kill()
			_ = command.Wait()
		})
	}
	c := newTestCollector(t)
	c.Proc = ownProc(t, busy.Process.Pid, idle.Process.Pid)
	c.Interval = 500 * time.Millisecond
	var sample *sample
	found := map[int]process{}
	for range 40 { // on a loaded machine nobody is busy at times
		var err error
		if sample, err = c.takeSample(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, p := range sample.processes {
			found[p.pid] = p
		}
		if found[busy.Process.Pid].percent > 5 {
			break
		}
		if err := os.RemoveAll(c.Counters); err != nil {
			t.Fatal(err)
		}
	}
	if len(found) != 3 || found[busy.Process.Pid].percent < 5 || found[idle.Process.Pid].percent > 5 || sample.idle < 0 || sample.idle > 100 {
		t.Errorf("%+v", sample)
	}
	if p := found[idle.Process.Pid]; p.user != "slapuser0" || p.threads != 1 || p.resident == 0 {
		t.Errorf("%+v", p)
	}
	boot, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	var seconds int64
	if _, err := fmt.Sscanf(string(boot[strings.Index(string(boot), "btime"):]), "btime %d", &seconds); err != nil {
		t.Fatal(err)
	}
	own := found[os.Getpid()]
	if name := own.name(seconds); !strings.HasPrefix(name, fmt.Sprintf("%d-%d", os.Getpid(), seconds)[:8]) {
		t.Error(name)
	}
}

// With the counters of the previous pass there is no second read. COL-24.
func TestTakeSampleOnce(t *testing.T) {
	c := newTestCollector(t)
	c.Proc = t.TempDir()
	look := func(uptime string, ticks, idle int) {
		testkit.WriteFile(t, filepath.Join(c.Proc, "uptime"), uptime+" 0\n")
		testkit.WriteFile(t, filepath.Join(c.Proc, "stat"), fmt.Sprintf("cpu  %d 0 0 %d 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\nbtime 1700000000\n", ticks, idle))
		directory := filepath.Join(c.Proc, "77")
		testkit.WriteFile(t, filepath.Join(directory, "status"), fmt.Sprintf("Name:\tx\nUid:\t%[1]d\t0\t0\t0\n", os.Getuid()))
		testkit.WriteFile(t, filepath.Join(directory, "stat"), strings.Replace(statLine, " 150 50 ", fmt.Sprintf(" %d 0 ", ticks), 1))
		testkit.WriteFile(t, filepath.Join(directory, "io"), "syscr: 1\n")
	}
	look("100.00", 1000, 9000)
	if _, err := c.takeSample(t.Context()); err != nil {
		t.Fatal(err)
	}
	look("160.00", 4000, 12000)
	c.Interval = 30 * time.Second
	sample, err := c.takeSample(t.Context())
	if err != nil || sample.idle != 50 || len(sample.processes) != 1 || sample.processes[0].percent != 50 {
		t.Errorf("%+v, %v", sample, err)
	}
	testkit.WriteFile(t, c.Counters, "{broken")
	c.Interval = time.Millisecond
	if _, err := c.takeSample(t.Context()); err != nil {
		t.Error(err)
	}
}

// If processes of others can't be read, nothing is stored (COL-2).
func TestNoAccess(t *testing.T) {
	if testkit.AsOrdinaryUser(t) { // root may read everything
		return
	}
	c := newTestCollector(t)
	c.Proc = t.TempDir()
	testkit.WriteFile(t, filepath.Join(c.Proc, "uptime"), "100 0\n")
	testkit.WriteFile(t, filepath.Join(c.Proc, "stat"), "cpu  1 0 0 1 0 0 0 0 0 0\n")
	testkit.WriteFile(t, filepath.Join(c.Proc, "77/status"), fmt.Sprintf("Name:\tx\nUid:\t%d\t0\t0\t0\n", os.Getuid()))
	testkit.WriteFile(t, filepath.Join(c.Proc, "77/stat"), statLine)
	testkit.WriteFile(t, filepath.Join(c.Proc, "77/io"), "")
	if err := os.Chmod(filepath.Join(c.Proc, "77/io"), 0); err != nil {
		t.Fatal(err)
	}
	if err := c.Pass(t.Context()); !errors.Is(err, ErrAccess) {
		t.Error(err)
	}
}

// Some containers have an empty meminfo.
func TestNoMemory(t *testing.T) {
	c := newTestCollector(t)
	c.Proc = ownProc(t)
	meminfo := filepath.Join(c.Proc, "meminfo")
	if err := os.Remove(meminfo); err != nil {
		t.Fatal(err)
	}
	testkit.WriteFile(t, meminfo, "")
	_, err := c.readMachine(t.Context(), &sample{})
	if err == nil || err.Error() != "read the size of memory: no MemTotal in "+meminfo {
		t.Errorf("error %v", err)
	}
}
