// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"slapos/slap/testkit"
)

// COL-5: all rows of a run have the same time, in UTC.
func TestStamps(t *testing.T) {
	moment := time.Date(2026, 11, 21, 0, 30, 5, 0, time.FixedZone("east", 3600))
	if got := stampOf(moment); got != (stamp{date: "2026-11-20", time: "23:30:05"}) {
		t.Errorf("stamp %v", got)
	}
	c := newTestCollector(t)
	c.Now = func() time.Time { return moment }
	pass(t, c)
	for _, table := range []string{"computer", "system", "user", "folder"} {
		if got := ask(t, c, "SELECT group_concat(DISTINCT date || ' ' || time) FROM "+table); got != "2026-11-20 23:30:05" {
			t.Errorf("%s: %s", table, got)
		}
	}
}

// COL-9, and COL-36 for a partition without .slapgrid.
func TestDirectories(t *testing.T) {
	c := newTestCollector(t)
	log := filepath.Join(c.InstanceRoot, "var/data-log")
	if err := os.MkdirAll(log, 0o700); err != nil {
		t.Fatal(err)
	}
	pass(t, c)
	for _, path := range []string{"var/data-log", "var/consumption-report", "var/xml_report/COMP-1"} {
		if info, err := os.Stat(filepath.Join(c.InstanceRoot, path)); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	if _, err := os.Lstat(filepath.Join(c.Partitions[0].Path, ".slapgrid")); !os.IsNotExist(err) {
		t.Errorf("a partition without .slapgrid: %v", err)
	}
}

// COL-17.
func TestProcessName(t *testing.T) {
	for started, want := range map[uint64]string{488: "19449-1795225599.88", 450: "19449-1795225599.5", 500: "19449-1795225600.0"} {
		p := process{pid: 19449, started: started}
		if got := p.name(1795225595); got != want {
			t.Errorf("started at %d: %s, want %s", started, got, want)
		}
	}
}

// COL-24: network counters are sums over all interfaces.
func TestNetworkCounters(t *testing.T) {
	c := newTestCollector(t)
	if err := os.Remove(filepath.Join(c.Proc, "net")); err != nil {
		t.Fatal(err)
	}
	testkit.WriteFile(t, filepath.Join(c.Proc, "net/dev"), `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    1000      10    1    2    0     0          0         0     3000      10    4    8    0     0       0          0
  eth0:   50000      90   10   20    0     0          0         0    70000      90   40   80    0     0       0          0
`)
	pass(t, c)
	const columns = "net_in_bytes || ' ' || net_in_errors || ' ' || net_in_dropped || ' ' || net_out_bytes || ' ' || net_out_errors || ' ' || net_out_dropped"
	if got, want := ask(t, c, "SELECT "+columns+" FROM system"), "51000.0 11.0 22.0 73000.0 44.0 88.0"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// COL-28: a quote in a value is only a quote.
func TestQuotes(t *testing.T) {
	c := newTestCollector(t)
	c.Folders.Measure = false
	c.Sensors = sensorsScript(t, "cat <<END\n"+strings.ReplaceAll(sensorsOutput, "Core 0", "it's '); DROP TABLE user; --")+"END\n")
	pass(t, c)
	if got := ask(t, c, "SELECT group_concat(sensor_id) FROM temperature"); !strings.Contains(got, "coretemp-isa-0000 it's '); DROP TABLE user; --:") {
		t.Error(got)
	}
	if got := ask(t, c, "SELECT count(*) FROM user"); got != "1" {
		t.Errorf("%s users", got)
	}
}

// Available memory counts, not unused memory.
func TestAvailableMemory(t *testing.T) {
	c := newTestCollector(t)
	meminfo := filepath.Join(c.Proc, "meminfo")
	if err := os.Remove(meminfo); err != nil {
		t.Fatal(err)
	}
	testkit.WriteFile(t, meminfo, "MemTotal:  1000 kB\nMemFree:  100 kB\nMemAvailable:  700 kB\nBuffers:  50 kB\nCached:  400 kB\n")
	pass(t, c)
	if got := ask(t, c, "SELECT memory_used || ' ' || memory_free FROM system"); got != "307200.0 716800.0" {
		t.Errorf("used and free: %s", got)
	}
}

// COL-40: old rows are removed, along with the space that they took.
func TestGarbage(t *testing.T) {
	c := newTestCollector(t)
	c.Now = func() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }
	pass(t, c)
	const rows = "INSERT INTO user (partition, process, date, time, reported) WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT 1000) " +
		"SELECT 'slapuser0', i, '%s', '00:00:01', %d FROM n"
	execute(t, c, fmt.Sprintf(rows, "2026-11-06", 1), fmt.Sprintf(rows, "2026-11-07", 1), fmt.Sprintf(rows, "2026-11-05", 0))
	store, err := openStore(t.Context(), DatabasePath(c.InstanceRoot))
	if err != nil {
		t.Fatal(err)
	}
	defer store.close()
	if err := store.collectGarbage(t.Context(), c.Now(), c.KeepDays); err != nil {
		t.Fatal(err)
	}
	for question, want := range map[string]string{
		"SELECT group_concat(date, ' ') FROM (SELECT DISTINCT date FROM user ORDER BY 1)": "2026-11-05 2026-11-07 2026-11-21", // 15 days, or not reported
		"PRAGMA freelist_count": "0",
	} {
		if got := ask(t, c, question); got != want {
			t.Errorf("%s: %s, want %s", question, got, want)
		}
	}
}
