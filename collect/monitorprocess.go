// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v3/host"

	"slapos/slap"
)

// longestCommand is how many bytes of a command line are shown.
const longestCommand = 1 << 17

type minuteProcess struct {
	pid  float64
	json members
}

// minuteProcesses sums up the rows of each process, the busiest first.
func (s *store) minuteProcesses(ctx context.Context, user string, day, minute time.Time) (found []minuteProcess, err error) {
	date, from, to := wholeMinute(day, minute)
	err = s.query(ctx, func(scan func(...any) error) error {
		var samples, pid float64
		var sums [7]nullFloat
		if err := scan(&samples, &pid, &sums[0], &sums[1], &sums[2], &sums[3], &sums[4], &sums[5], &sums[6]); err != nil {
			return err
		}
		p := minuteProcess{pid: pid}
		p.json.add("pid", pythonFloat(pid))
		for i, value := range []struct {
			name string
			unit float64
		}{
			{"cpu_percent", samples}, {"cpu_time", 60}, {"cpu_num_threads", samples}, {"memory_percent", samples},
			{"memory_rss", 1 << 20}, {"io_rw_counter", samples}, {"io_cycles_counter", samples},
		} {
			p.json.add(value.name, pythonFloat(roundTo(sums[i].Float64/value.unit, 2)))
		}
		found = append(found, p)
		return nil
	}, `SELECT count(pid), pid, SUM(cpu_percent) AS cpu, SUM(cpu_time), MAX(cpu_num_threads), SUM(memory_percent), SUM(memory_rss),
		SUM(io_rw_counter), SUM(io_cycles_counter) FROM user WHERE partition = ? AND date = ? AND time BETWEEN ? AND ?
		AND pid IS NOT NULL GROUP BY pid ORDER BY cpu DESC`,
		user, date, from, to)
	return found, err
}

// A describer describes running processes.
type describer struct {
	proc  string
	names map[uint32]string
	boot  int64
}

func (c *Collector) newDescriber(ctx context.Context) (*describer, error) {
	names, err := c.userNames()
	if err != nil {
		return nil, err
	}
	boot, err := host.BootTimeWithContext(c.roots(ctx))
	return &describer{proc: c.Proc, names: names, boot: int64(boot)}, err
}

// describe adds what is known of a process that still runs.
func (d *describer) describe(p *minuteProcess) {
	directory := filepath.Join(d.proc, fmt.Sprint(int64(p.pid)))
	status, err := os.ReadFile(filepath.Join(directory, "status"))
	if err != nil {
		return
	}
	uid, err := parseStatusUID(status)
	if err != nil {
		return
	}
	stat, err := os.ReadFile(filepath.Join(directory, "stat"))
	var parsed process
	if err != nil || parseStat(stat, &parsed) != nil {
		return
	}
	user, known := d.names[uid]
	if !known {
		user = fmt.Sprint(uid)
	}
	command, _ := readAtMost(filepath.Join(directory, "cmdline"), longestCommand)
	name := string(stat[bytes.IndexByte(stat, '(')+1 : bytes.LastIndexByte(stat, ')')])
	started := time.UnixMilli(int64(parsed.started)*1000/ticksPerSecond + d.boot*1000)
	p.json.add("name", jsonText(fullName(name, command)))
	p.json.add("command", jsonCommand(command))
	p.json.add("user", jsonText(user))
	p.json.add("date", jsonText(started.Local().Format(dateLayout+" "+timeLayout)))
}

// fullName completes a name that the kernel cut to 15 bytes.
func fullName(name string, command []byte) string {
	const cut = 15
	first, _, _ := bytes.Cut(command, []byte{0})
	if base := filepath.Base(string(first)); len(name) >= cut && strings.HasPrefix(base, name) {
		return base
	}
	return name
}

// jsonCommand returns the list of a command's words. A process that overwrote
// them may have left a single text with blanks.
func jsonCommand(command []byte) string {
	if len(command) == 0 {
		return "[]"
	}
	text := string(command)
	separator := "\x00"
	if strings.HasSuffix(text, separator) {
		text = text[:len(text)-1]
	} else {
		separator = " "
	}
	words := strings.Split(text, separator)
	if separator == "\x00" && len(words) == 1 && strings.Contains(text, " ") {
		words = strings.Split(text, " ")
	}
	for i, word := range words {
		words[i] = jsonText(word)
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// jsonText returns a text as Python writes it.
func jsonText(text string) string { return string(slap.AppendPythonJSON(nil, text)) }

func readAtMost(path string, most int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, most))
}
