// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"slapos/slap/testkit"
)

// newTestCollector makes a node with two partitions; this process belongs to
// the first.
func newTestCollector(t *testing.T) *Collector {
	t.Helper()
	root := t.TempDir()
	options := Options{
		ComputerID: "COMP-1", InstanceRoot: root, KeepDays: 15,
		Folders:  Folders{Measure: true, Cycle: 24 * time.Hour, PIDDirectory: filepath.Join(root, "var/run")},
		Counters: filepath.Join(t.TempDir(), "counters/c.json"),
		Logger:   slog.New(slog.NewTextHandler(io.Discard, nil)),
		Interval: 10 * time.Millisecond,
		Proc:     ownProc(t), Sys: t.TempDir(), Etc: ownEtc(t),
	}
	for i := range 2 {
		p := Partition{User: fmt.Sprint("slapuser", i), Path: filepath.Join(root, fmt.Sprint("slappart", i))}
		options.Partitions = append(options.Partitions, p)
		testkit.WriteFile(t, filepath.Join(p.Path, "srv/data"), strings.Repeat("x", (3-2*i)<<20/2))
	}
	if err := os.MkdirAll(options.Folders.PIDDirectory, 0o755); err != nil {
		t.Fatal(err)
	}
	return New(options)
}

// logTo writes the collector's log to a buffer.
func logTo(c *Collector) *bytes.Buffer {
	var b bytes.Buffer
	c.Logger = slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return &b
}

func pass(t *testing.T, c *Collector) {
	t.Helper()
	if err := c.Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// execute runs statements on a collector's database: tests move to another day
// by that.
func execute(t *testing.T, c *Collector, statements ...string) {
	t.Helper()
	store, err := openStore(t.Context(), DatabasePath(c.InstanceRoot))
	if err != nil {
		t.Fatal(err)
	}
	defer store.close()
	for _, statement := range statements {
		if _, err := store.db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// ask returns the single value of a result as text.
func ask(t *testing.T, c *Collector, question string) string {
	t.Helper()
	store, err := connect(DatabasePath(c.InstanceRoot), map[string][]string{"mode": {"ro"}})
	if err != nil {
		t.Fatal(err)
	}
	defer store.close()
	var answer sql.NullString
	if err := store.db.QueryRow(question).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", question, err)
	}
	return answer.String
}

// COL-8, COL-12, COL-13, COL-14, COL-23, COL-29, COL-31.
func TestPass(t *testing.T) {
	c := newTestCollector(t)
	c.Textfile = t.TempDir()
	c.Slice = func(partition string) string { return filepath.Join(c.Sys, partition) }
	testkit.WriteFile(t, filepath.Join(c.Sys, "slappart0/cpu.stat"), "usage_usec 2500000\nuser_usec 1\n")
	testkit.WriteFile(t, filepath.Join(c.Sys, "slappart0/memory.current"), "4096\n")
	testkit.WriteFile(t, filepath.Join(c.Sys, "slappart0/io.stat"), "8:0 rbytes=10 wbytes=20 rios=1 wios=2\n8:16 rbytes=1 wbytes=2 rios=1 wios=1\n")
	log := logTo(c)
	pass(t, c)
	// COL-23, compared with the kernel's own numbers.
	processors := len(regexp.MustCompile(`(?m)^cpu[0-9]+ `).FindAllString(testkit.ReadFile(t, "/proc/stat"), -1))
	var memory int64
	if _, err := fmt.Sscanf(testkit.ReadFile(t, "/proc/meminfo"), "MemTotal: %d kB", &memory); err != nil {
		t.Fatal(err)
	}
	if got, want := ask(t, c, "SELECT cpu_num_core || ' ' || memory_size FROM computer"), fmt.Sprintf("%d.0 %d.0", processors, memory*1024); got != want {
		t.Errorf("processors and memory: %s, want %s", got, want)
	}
	if got := ask(t, c, "SELECT partition_list FROM computer"); !regexp.MustCompile(`^(/?[^=;]+=[0-9]+(;|$))*$`).MatchString(got) {
		t.Errorf("disks: %q", got)
	}
	for question, want := range map[string]string{
		"SELECT count(*) FROM computer": "1", "SELECT count(*) FROM system": "1",
		"SELECT group_concat(partition) FROM user":                                                                                       "slapuser0",
		"SELECT count(*) FROM user WHERE pid = " + fmt.Sprint(os.Getpid()):                                                               "1",
		"SELECT count(*) FROM system WHERE memory_used > 0 AND memory_free > 0":                                                          "1",
		"SELECT group_concat(partition) FROM folder":                                                                                     "slapuser0",
		"SELECT sum(disk_used > 1500 AND disk_used < 1700) FROM folder":                                                                  "1",
		"SELECT cpu_time || ' ' || memory_used || ' ' || io_read_bytes || ' ' || io_write_bytes || ' ' || io_cycles_counter FROM cgroup": "2.5 4096.0 11.0 22.0 5.0",
		"SELECT cpu_frequency || ' ' || cpu_type || ' ' || memory_type FROM computer":                                                    "0.0 0 0",
		"SELECT sum(reported) FROM user":                                                                                                 "0",
	} {
		if got := ask(t, c, question); got != want {
			t.Errorf("%s: %s, want %s", question, got, want)
		}
	}
	if !strings.Contains(log.String(), "Disk usage of the partition slapuser1:") {
		t.Error(log)
	}
	if got := testkit.ReadFile(t, filepath.Join(c.logDirectory(), "system_loadavg.csv")); got != "time,entry\r\n" {
		t.Errorf("%q", got)
	}
	metrics := testkit.ReadFile(t, filepath.Join(c.Textfile, TextfileName))
	for _, want := range []string{
		`slapos_partition_processes{partition="slapuser0"} 1`, `slapos_partition_processes{partition="slapuser1"} 0`,
		`slapos_partition_cgroup_cpu_seconds_total{partition="slapuser0"} 2.5`, "# TYPE slapos_partition_cgroup_cpu_seconds_total counter",
		`slapos_partition_disk_used_bytes{partition="slapuser0"} `, "slapos_node_memory_size_bytes ",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("%s is not in\n%s", want, metrics)
		}
	}

	pass(t, c)
	if got := ask(t, c, "SELECT count(*) FROM folder"); got != "1" || !strings.Contains(log.String(), "Time cycle is not over") {
		t.Errorf("%s rows of folders\n%s", got, log)
	}
	if got := strings.Count(testkit.ReadFile(t, filepath.Join(c.logDirectory(), "system_loadavg.csv")), "\r\n"); got != 2 {
		t.Errorf("%d lines", got)
	}
}

func TestBrokenDatabase(t *testing.T) {
	c := newTestCollector(t)
	testkit.WriteFile(t, DatabasePath(c.InstanceRoot), "this is no database, far from it")
	err := c.Pass(t.Context())
	if err == nil || !strings.Contains(err.Error(), "move it away") {
		t.Error(err)
	}
	if testkit.ReadFile(t, DatabasePath(c.InstanceRoot)) != "this is no database, far from it" {
		t.Error("it is changed")
	}
}

// Simultaneous passes produce whole rows and whole files.
func TestPassesAtOnce(t *testing.T) {
	c := newTestCollector(t)
	c.Counters = ""
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if err := c.Pass(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := ask(t, c, "SELECT count(*) FROM system"); got != "4" {
		t.Errorf("%s rows", got)
	}
	if left, _ := filepath.Glob(filepath.Join(c.logDirectory(), "*.new")); left != nil {
		t.Error(left)
	}
}

const loopVariable = "SLAPOS_COLLECT_TEST_LOOP"

// TestMain can be told to take samples without end, for a test to kill it.
func TestMain(m *testing.M) {
	root := os.Getenv(loopVariable)
	if root == "" {
		testkit.Main(m)
	}
	c := New(Options{
		ComputerID: "COMP-1", InstanceRoot: root, KeepDays: 1, Interval: time.Millisecond,
		Partitions: []Partition{{User: "slapuser0", Path: filepath.Join(root, "slappart0")}},
		Logger:     slog.New(slog.NewTextHandler(io.Discard, nil)),
		Proc:       filepath.Join(root, "proc"), Etc: filepath.Join(root, "etc"), Sys: root,
	})
	for day := 0; ; day++ {
		c.Now = func() time.Time { return time.Date(2026, 1, 1+day, 12, 0, 0, 0, time.UTC) }
		if err := c.Pass(context.Background()); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("pass")
	}
}

// Wherever the collector is killed, even while it archives a day or deletes old
// rows, it leaves a sound database with whole samples. COL-12.
func TestKilled(t *testing.T) {
	root := t.TempDir()
	if err := os.Symlink(ownProc(t), filepath.Join(root, "proc")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(ownEtc(t), filepath.Join(root, "etc")); err != nil {
		t.Fatal(err)
	}
	c, temporary := New(Options{InstanceRoot: root}), t.TempDir() // for what killed collectors leave
	for round := range 6 {
		command := exec.Command(os.Args[0])
		command.Env = append(os.Environ(), loopVariable+"="+root, "TMPDIR="+temporary)
		output, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		line := make([]byte, 256)
		n, _ := io.ReadAtLeast(output, line, 5*(1+round%3)) // that many passes
		if !strings.HasPrefix(string(line[:n]), "pass\n") {
			t.Errorf("%q", line[:n])
		}
		testkit.Watch(t, time.Duration(round)*3*time.Millisecond) // at a different place each time
		_ = command.Process.Kill()
		_, _ = io.Copy(io.Discard, output)
		_ = command.Wait()
		store, err := openStore(t.Context(), DatabasePath(root))
		if err != nil {
			t.Fatal(err)
		}
		if err := store.close(); err != nil {
			t.Fatal(err)
		}
		if got := ask(t, c, "PRAGMA integrity_check"); got != "ok" {
			t.Fatal(got)
		}
		if got := ask(t, c, "SELECT (SELECT count(*) FROM system) - (SELECT count(*) FROM computer)"); got != "0" {
			t.Errorf("rows of half a sample: %s", got)
		}
	}
	archives, err := filepath.Glob(filepath.Join(root, "var/data-log/*.tar.gz"))
	if err != nil || len(archives) == 0 {
		t.Error("nothing was archived", err)
	}
	for _, archive := range archives {
		if output, err := exec.Command("tar", "tzf", archive).CombinedOutput(); err != nil || !strings.Contains(string(output), "/dump_user.csv") {
			t.Errorf("%s: %v\n%s", archive, err, output)
		}
	}
}
