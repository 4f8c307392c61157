// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/shirou/gopsutil/v3/cpu"

	"slapos/slap/wholefile"
)

// counters are the kernel's counters since the machine started. The difference
// of two reads is the use of the processors between them. The previous pass
// counts as the first read, so that a percentage covers the whole minute and a
// pass doesn't have to wait for a second read.
type counters struct {
	Boot      string            `json:"boot"`
	Uptime    float64           `json:"uptime"` // seconds
	CPU       float64           `json:"cpu"`    // seconds of all processors
	Idle      float64           `json:"idle"`
	Processes map[string]uint64 `json:"processes"` // ticks
}

// CountersPath returns where a node's counters are kept until the machine stops.
func CountersPath(instanceRoot string) string {
	sum := sha256.Sum256([]byte(filepath.Clean(instanceRoot)))
	return fmt.Sprintf("/run/slapos/collect-%x.json", sum[:8])
}

// Counters are used if they are this old, in seconds: slapos.core measures no
// shorter interval (COL-4), and an average over more than an hour says nothing
// about now.
const shortest, longest = 5, 3600

// A sample is the result of looking at the processes once.
type sample struct {
	processes []process
	idle      float64 // percent of all processors
}

// takeSample reads processes and processors once if the last pass left its
// counters, else twice.
func (c *Collector) takeSample(ctx context.Context) (*sample, error) {
	processes, now, err := c.look(ctx)
	if err != nil {
		return nil, err
	}
	before := c.loadCounters()
	if before == nil || !before.usable(now) {
		if !wait(ctx.Done(), c.Interval) {
			return nil, ctx.Err()
		}
		before = now
		if processes, now, err = c.look(ctx); err != nil {
			return nil, err
		}
	}
	c.saveCounters(now)
	usePercent(processes, before, now)
	idle := 0.0
	if total := now.CPU - before.CPU; total > 0 {
		idle = min(100, max(0, roundTo(100*(now.Idle-before.Idle)/total, 1)))
	}
	return &sample{processes: processes, idle: idle}, nil
}

// usable reports whether these counters are from the same boot, and neither too
// recent nor too old.
func (before *counters) usable(now *counters) bool {
	age := now.Uptime - before.Uptime
	return before.Boot == now.Boot && age >= shortest && age <= longest &&
		before.CPU < now.CPU && before.Idle <= now.Idle
}

func (c *Collector) look(ctx context.Context) ([]process, *counters, error) {
	now := &counters{}
	content, err := os.ReadFile(filepath.Join(c.Proc, "uptime"))
	if err != nil {
		return nil, nil, err
	}
	if now.Uptime, err = parseUptime(string(content)); err != nil {
		return nil, nil, err
	}
	// Some containers don't have it: there, the counters reveal a new boot.
	boot, _ := os.ReadFile(filepath.Join(c.Proc, "sys/kernel/random/boot_id"))
	now.Boot = strings.TrimSpace(string(boot))
	times, err := cpu.TimesWithContext(c.roots(ctx), false)
	if err == nil && len(times) != 1 {
		err = fmt.Errorf("no line of all processors in %s", filepath.Join(c.Proc, "stat"))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the processors' times: %w", err)
	}
	t := times[0]
	now.Idle = t.Idle
	now.CPU = t.User + t.System + t.Idle + t.Nice + t.Iowait + t.Irq + t.Softirq + t.Steal
	processes, err := c.readProcesses()
	if err != nil {
		return nil, nil, err
	}
	now.Processes = make(map[string]uint64, len(processes))
	for _, p := range processes {
		now.Processes[p.key()] = p.busy
	}
	return processes, now, nil
}

func parseUptime(content string) (float64, error) {
	text, _, _ := strings.Cut(content, " ")
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || seconds < 0 || seconds > 1e12 {
		return 0, fmt.Errorf("uptime %q is no number of seconds", text)
	}
	return seconds, nil
}

// loadCounters returns nil if there is nothing to continue from.
func (c *Collector) loadCounters() *counters {
	if c.Counters == "" {
		return nil
	}
	content, err := os.ReadFile(c.Counters)
	if err != nil {
		return nil
	}
	before := &counters{}
	if err := json.Unmarshal(content, before); err != nil {
		c.Logger.Debug("The counters of the last pass can't be used", slog.String("file", c.Counters), slog.Any("error", err))
		return nil
	}
	return before
}

// saveCounters may fail without harm: the next pass reads twice.
func (c *Collector) saveCounters(now *counters) {
	if c.Counters == "" {
		return
	}
	content, err := json.Marshal(now)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(c.Counters), 0o755)
	}
	if err == nil {
		err = wholefile.Write(c.Counters, content, 0o600)
	}
	if err != nil {
		c.Logger.Debug("The counters can't be kept for the next pass", slog.Any("error", err))
	}
}
