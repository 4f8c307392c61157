// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"slapos/slap/confined"
	"slapos/slap/pyjson"
)

// writeMonitors writes the files of COL-38 for each partition that has a
// .slapgrid directory. The partition's user can replace that directory:
// everything is done below the partition, and no pipe or link is opened.
func (c *Collector) writeMonitors(ctx context.Context, store *store, _ stamp) error {
	now := c.Now().UTC()
	minute := now.Add(-time.Minute).Truncate(time.Minute)
	var running *describer
	for _, partition := range c.Partitions {
		if !isMonitored(partition) {
			continue
		}
		status, err := store.minute(ctx, partition.User, now, minute)
		if err != nil {
			return err
		}
		processes, err := store.minuteProcesses(ctx, partition.User, now, minute)
		if err != nil {
			return err
		}
		for i := range processes {
			if running == nil {
				if running, err = c.newDescriber(ctx); err != nil {
					return err
				}
			}
			running.describe(&processes[i])
		}
		if err := writeMonitor(partition, now, status, processes); err != nil {
			c.Logger.Warn("The monitor files of a partition can't be written", slog.String("partition", partition.ID()), slog.Any("error", err))
		}
	}
	return nil
}

// isMonitored tells whether a partition has a directory .slapgrid of its own.
func isMonitored(partition Partition) bool {
	root, err := confined.Open(partition.Path)
	if err != nil {
		return false
	}
	defer root.Close()
	info, err := root.Lstat(".slapgrid")
	return err == nil && info.IsDir()
}

// minuteUse is what a partition used in a minute, as ordered JSON members.
type minuteUse struct {
	process, memory, io members
	processes           int64
	resident, bytes     float64
}

// members are the members of a JSON object, in order; values are literals.
type members []struct{ name, value string }

func (m *members) add(name, value string) {
	*m = append(*m, struct{ name, value string }{name, value})
}

func (m members) object() string {
	o := pyjson.Object{}
	for _, member := range m { // the last value of a name, at the name's first place
		o.Set(member.name, json.Number(member.value))
	}
	text, err := pyjson.Spaced.Append(nil, o)
	if err != nil {
		panic(err) // literals are written unchanged
	}
	return string(text)
}

// line returns the values, starting with the date.
func (m members) line() string {
	date := strings.Trim(m[len(m)-1].value, `"`)
	values := []string{date}
	for _, member := range m[:len(m)-1] {
		values = append(values, member.value)
	}
	return strings.Join(values, ", ")
}

// wholeMinute returns the day of now, and the first and last second of the
// previous minute.
func wholeMinute(now, minute time.Time) (date, from, to string) {
	clock := minute.Format("15:04:")
	return now.Format(dateLayout), clock + "00", clock + "59"
}

// minute sums up the rows of a partition in a minute.
func (s *store) minute(ctx context.Context, user string, day, minute time.Time) (*minuteUse, error) {
	use := &minuteUse{}
	var sums [7]nullFloat
	date, from, to := wholeMinute(day, minute)
	err := s.query(ctx, func(scan func(...any) error) error {
		return scan(&use.processes, &sums[0], &sums[1], &sums[2], &sums[3], &sums[4], &sums[5], &sums[6])
	}, `SELECT count(pid), SUM(cpu_percent), SUM(cpu_time), SUM(cpu_num_threads), SUM(memory_percent), SUM(memory_rss),
		SUM(io_rw_counter), SUM(io_cycles_counter) FROM user WHERE partition = ? AND date = ? AND time BETWEEN ? AND ?`, user, date, from, to)
	if err != nil {
		return nil, err
	}
	var disk nullFloat
	err = s.query(ctx, func(scan func(...any) error) error { return scan(&disk) },
		"SELECT SUM(disk_used) FROM folder WHERE partition = ? AND date = ? AND time BETWEEN ? AND ?", user, date, from, to)
	if err != nil {
		return nil, err
	}
	rounded := func(value, unit float64) string { return pythonFloat(roundTo(value/unit, 2)) }
	sum := func(value float64) string { // as Python rounds the zero that it takes for no sum: without decimals
		if value == 0 {
			return "0"
		}
		return rounded(value, 1)
	}
	moment := jsonText(date + " " + from)
	use.process.add("total_process", fmt.Sprint(use.processes))
	use.process.add("cpu_percent", sum(sums[0].Float64))
	use.process.add("cpu_time", rounded(sums[1].Float64, 60))
	use.process.add("cpu_num_threads", sum(sums[2].Float64))
	use.process.add("date", moment)
	use.memory.add("memory_percent", sum(sums[3].Float64))
	use.memory.add("memory_rss", rounded(sums[4].Float64, 1<<20))
	use.memory.add("date", moment)
	use.io.add("io_rw_counter", sum(sums[5].Float64))
	use.io.add("io_cycles_counter", sum(sums[6].Float64))
	if disk.Valid {
		use.io.add("disk_used", rounded(disk.Float64, 1024))
	} else {
		use.io.add("disk_used", "0")
	}
	use.io.add("date", moment)
	use.resident, use.bytes = roundTo(sums[4].Float64/(1<<20), 2), roundTo(sums[5].Float64, 2)
	return use, nil
}

func writeMonitor(partition Partition, now time.Time, use *minuteUse, processes []minuteProcess) error {
	root, err := confined.Open(partition.Path)
	if err != nil {
		return err
	}
	defer root.Close()
	const directory = ".slapgrid/monitor"
	if err := root.Mkdir(directory, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	monitor, err := root.Below(directory)
	if err != nil {
		return err
	}
	defer monitor.Close()
	status := members{}
	for _, part := range []struct {
		file, columns string
		used          bool
		values        members
	}{
		{"process", "date, total process, CPU percent, CPU time, CPU threads", use.processes > 0, use.process},
		{"memory", "date, memory used percent, memory used", use.resident != 0, use.memory},
		{"io", "date, io rw counter, io cycles counter, disk used", use.bytes != 0, use.io},
	} {
		line := ""
		if part.used {
			line = part.values.line()
			status = append(status, part.values...)
		}
		if err := appendMonitor(monitor, "monitor_resource_"+part.file+".data.json", part.columns, line, now); err != nil {
			return err
		}
	}
	if err := monitor.Write("monitor_resource.status.json", []byte(status.object()), confined.VolatileFile); err != nil || len(processes) == 0 {
		return err
	}
	objects := make([]string, len(processes))
	for i, p := range processes {
		objects[i] = p.json.object()
	}
	return monitor.Write("monitor_process_resource.status.json", []byte("["+strings.Join(objects, ", ")+"]"), confined.VolatileFile)
}

// appendMonitor adds a line to a file of lines, which it creates if needed. It
// writes in place, since the file grows every minute, and only to a regular
// file that belongs to the collector's own user and has no other name.
func appendMonitor(directory *confined.Directory, name, columns, line string, now time.Time) error {
	file, info, err := directory.OpenSole(name, os.O_RDWR)
	if err == nil {
		defer file.Close()
		if info.Size() > 0 {
			return appendLine(file, info.Size(), line)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entries := "[" + jsonText(columns) + "]"
	if line != "" {
		entries = "[" + jsonText(columns) + "," + jsonText(line) + "]"
	}
	content := fmt.Sprintf(`{"date": %s, "data": %s}`, pythonFloat(float64(now.UnixMicro())/1e6), entries)
	return directory.Write(name, []byte(content), confined.VolatileFile)
}

// appendLine replaces the closing brackets with a line.
func appendLine(file *os.File, size int64, line string) error {
	const end = "]}"
	tail := make([]byte, len(end))
	if _, err := file.ReadAt(tail, max(0, size-int64(len(end)))); err != nil || string(tail) != end {
		return fmt.Errorf("%s doesn't end like a list of lines: remove it", file.Name())
	}
	if line == "" {
		return nil
	}
	_, err := file.WriteAt([]byte(","+jsonText(line)+end), size-int64(len(end)))
	return err
}
