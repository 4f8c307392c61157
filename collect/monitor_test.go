// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap/testkit"
)

// monitored is a collector with rows of the previous minute, for this process
// and one that has ended.
func monitored(t *testing.T) (*Collector, string) {
	c := newTestCollector(t)
	c.Folders.Measure = false
	now := time.Date(2026, 11, 21, 10, 30, 20, 0, time.UTC)
	c.Now = func() time.Time { return now }
	directory := filepath.Join(c.Partitions[0].Path, ".slapgrid")
	if err := os.Mkdir(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	pass(t, c)
	for _, clock := range []string{"10:29:00", "10:29:59", "10:30:00", "10:28:59"} {
		for i, pid := range []int{os.Getpid(), 900001} {
			execute(t, c, fmt.Sprintf("INSERT INTO user VALUES ('slapuser0', %d, 'x', %d, 90, 3, 0.25, %d, 8192, 17, '2026-11-21', '%s', 0)",
				pid, 10+40*i, (i+1)<<20, clock))
		}
	}
	execute(t, c, "INSERT INTO folder VALUES ('slapuser0', 4096.5, '2026-11-21', '10:29:30', 0)")
	return c, filepath.Join(directory, "monitor")
}

// COL-36, COL-38.
func TestMonitor(t *testing.T) {
	c, directory := monitored(t)
	stamp := fmt.Sprintf("%.1f", float64(c.Now().UnixMicro())/1e6)
	empty := map[string]string{
		"_process.data.json": `{"date": ` + stamp + `, "data": ["date, total process, CPU percent, CPU time, CPU threads"]}`,
		"_memory.data.json":  `{"date": ` + stamp + `, "data": ["date, memory used percent, memory used"]}`,
		"_io.data.json":      `{"date": ` + stamp + `, "data": ["date, io rw counter, io cycles counter, disk used"]}`,
		".status.json":       `{}`,
	}
	for name, want := range empty {
		if got := testkit.ReadFile(t, filepath.Join(directory, "monitor_resource"+name)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for i := range 2 {
		pass(t, c)
		line := ` 4, 120.0, 6.0, 12.0"`
		want := strings.TrimSuffix(empty["_process.data.json"], "]}") + strings.Repeat(`,"2026-11-21 10:29:00,`+line, i+1) + "]}"
		if got := testkit.ReadFile(t, filepath.Join(directory, "monitor_resource_process.data.json")); got != want {
			t.Errorf("%s\nwant\n%s", got, want)
		}
	}
	if got, want := testkit.ReadFile(t, filepath.Join(directory, "monitor_resource.status.json")), `{"total_process": 4, "cpu_percent": 120.0, "cpu_time": 6.0, "cpu_num_threads": 12.0, "date": "2026-11-21 10:29:00", `+
		`"memory_percent": 1.0, "memory_rss": 6.0, "io_rw_counter": 32768.0, "io_cycles_counter": 68.0, "disk_used": 4.0}`; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	var processes []map[string]any
	if err := json.Unmarshal([]byte(testkit.ReadFile(t, filepath.Join(directory, "monitor_process_resource.status.json"))), &processes); err != nil {
		t.Fatal(err)
	}
	if len(processes) != 2 || processes[0]["pid"] != 900001.0 || processes[0]["name"] != nil || processes[0]["cpu_percent"] != 50.0 ||
		processes[1]["user"] != "slapuser0" || processes[1]["name"] != "collect.test" || processes[1]["command"].([]any)[0] != os.Args[0] {
		t.Errorf("%+v", processes)
	}
}

// A partition's user has replaced the files: nothing outside is changed,
// nothing waits, and the other partitions get their files.
func TestMonitorHostile(t *testing.T) {
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret")
	for name, prepare := range map[string]func(directory string) error{
		"directory is a link": func(directory string) error { return os.Symlink(outside, directory) },
		"directory is a file": func(directory string) error { return os.WriteFile(directory, nil, 0o644) },
		"data is a link": func(directory string) error {
			return makeIn(directory, func() error { return os.Symlink(secret, filepath.Join(directory, "monitor_resource_io.data.json")) })
		},
		"data is a pipe": func(directory string) error {
			return makeIn(directory, func() error { return unix.Mkfifo(filepath.Join(directory, "monitor_resource_io.data.json"), 0o666) })
		},
		"data has two names": func(directory string) error {
			return makeIn(directory, func() error { return os.Link(secret, filepath.Join(directory, "monitor_resource_io.data.json")) })
		},
		"data is torn": func(directory string) error {
			return makeIn(directory, func() error {
				return os.WriteFile(filepath.Join(directory, "monitor_resource_io.data.json"), []byte("{"), 0o644)
			})
		},
		"temporary file is a link": func(directory string) error {
			return makeIn(directory, func() error { return os.Symlink(secret, filepath.Join(directory, "monitor_resource.status.json.new")) })
		},
		"status is a pipe": func(directory string) error {
			return makeIn(directory, func() error { return unix.Mkfifo(filepath.Join(directory, "monitor_resource.status.json"), 0o666) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.WriteFile(t, secret, "]}")
			c, directory := monitored(t)
			other := filepath.Join(c.Partitions[1].Path, ".slapgrid")
			for _, err := range []error{os.RemoveAll(directory), prepare(directory), os.Mkdir(other, 0o755)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			log := logTo(c)
			pass(t, c)
			if names, _ := os.ReadDir(outside); testkit.ReadFile(t, secret) != "]}" || len(names) != 1 {
				t.Errorf("outside was changed: %v", names)
			}
			if testkit.ReadFile(t, filepath.Join(other, "monitor/monitor_resource.status.json")) != "{}" {
				t.Error("the other partition has no files")
			}
			if strings.HasPrefix(name, "d") && !strings.Contains(log.String(), "can't be written") {
				t.Error(log)
			}
		})
	}
}

func makeIn(directory string, do func() error) error {
	if err := os.Mkdir(directory, 0o755); err != nil {
		return err
	}
	return do()
}

const jsonTexts = `
import csv, io, json, sys
for line in sys.stdin.buffer.read().split(b'\n'):
  text = bytes.fromhex(line.decode()).decode('utf-8', 'surrogateescape')
  print(json.dumps(text))
`

// Process names are arbitrary bytes: they are written as Python writes them.
func TestJSONText(t *testing.T) {
	texts := []string{"", "plain", "a\"b\\c/", "\x00\x01\x1f\x7f\b\f\n\r\t", "é€😀", "\xff\xfe a\xc3", "\x1b[31m", "</script>"}
	var lines []string
	for _, text := range texts {
		lines = append(lines, fmt.Sprintf("%x", text))
	}
	command := exec.Command(testkit.Python(t), "-c", jsonTexts)
	command.Stdin = strings.NewReader(strings.Join(lines, "\n"))
	output, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range strings.Split(strings.TrimSuffix(string(output), "\n"), "\n") {
		if got := jsonText(texts[i]); got != want {
			t.Errorf("%q: %s, want %s", texts[i], got, want)
		}
	}
}

func TestJSONCommand(t *testing.T) {
	for command, want := range map[string]string{
		"":                 `[]`,
		"sleep\x001\x00":   `["sleep", "1"]`,
		"nginx: worker":    `["nginx:", "worker"]`,
		"python a b\x00":   `["python", "a", "b"]`,
		"sh\x00-c\x00\x00": `["sh", "-c", ""]`,
	} {
		if got := jsonCommand([]byte(command)); got != want {
			t.Errorf("%q: %s, want %s", command, got, want)
		}
	}
	if got := fullName("a-very-long-nam", []byte("/bin/a-very-long-name\x00")); got != "a-very-long-name" {
		t.Error(got)
	}
}
