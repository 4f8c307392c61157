// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/shirou/gopsutil/v3/common"
	"github.com/shirou/gopsutil/v3/cpu"
	"github.com/shirou/gopsutil/v3/disk"
	"github.com/shirou/gopsutil/v3/host"
	"github.com/shirou/gopsutil/v3/load"
	"github.com/shirou/gopsutil/v3/mem"
	"github.com/shirou/gopsutil/v3/net"
)

// machine is the state of the whole computer; sizes are in bytes.
type machine struct {
	cores        int
	memory       uint64
	available    uint64
	load         float64 // over one minute
	busy         float64 // percent of all processors
	network      net.IOCountersStat
	disks        []diskUse
	temperatures []temperature
	boot         int64 // seconds since the epoch
}

type diskUse struct {
	device, mountPoint string
	used, free, total  uint64 // free for users
}

// roots tells gopsutil where the kernel's files are.
func (c *Collector) roots(ctx context.Context) context.Context {
	return context.WithValue(ctx, common.EnvKey, common.EnvMap{
		common.HostProcEnvKey: c.Proc, common.HostSysEnvKey: c.Sys, common.HostEtcEnvKey: c.Etc,
	})
}

// readMachine is COL-23 to COL-26. It also completes the sample, whose processes
// need the time of the start and the size of the memory.
func (c *Collector) readMachine(ctx context.Context, sample *sample) (*machine, error) {
	m := &machine{busy: 100 - sample.idle}
	ctx = c.roots(ctx)
	var err error
	if m.cores, err = cpu.CountsWithContext(ctx, true); err != nil {
		return nil, fmt.Errorf("count processors: %w", err)
	}
	memory, err := mem.VirtualMemoryWithContext(ctx)
	if err == nil && memory.Total == 0 {
		err = errors.New("no MemTotal in " + filepath.Join(c.Proc, "meminfo"))
	}
	if err != nil {
		return nil, fmt.Errorf("read the size of memory: %w", err)
	}
	m.memory, m.available = memory.Total, min(memory.Available, memory.Total)
	average, err := load.AvgWithContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the load: %w", err)
	}
	m.load = average.Load1
	interfaces, err := net.IOCountersWithContext(ctx, false)
	if err == nil && len(interfaces) != 1 {
		err = errors.New("no sum of " + filepath.Join(c.Proc, "net/dev"))
	}
	if err != nil {
		return nil, fmt.Errorf("read counters of the network: %w", err)
	}
	m.network = interfaces[0]
	boot, err := host.BootTimeWithContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the time of the start: %w", err)
	}
	m.boot = int64(boot)
	if m.disks, err = c.readDisks(ctx); err != nil {
		return nil, err
	}
	m.temperatures, err = c.readTemperatures(ctx)
	return m, err
}

// readDisks has one entry for each device, at its first mount point (COL-25).
func (c *Collector) readDisks(ctx context.Context) ([]diskUse, error) {
	types, err := os.ReadFile(filepath.Join(c.Proc, "filesystems"))
	if err != nil {
		return nil, err
	}
	mounts, err := os.ReadFile(filepath.Join(c.Proc, "self/mounts"))
	if err != nil {
		return nil, err
	}
	disks := parseMounts(mounts, types)
	found := disks[:0]
	for _, d := range disks {
		usage, err := disk.UsageWithContext(ctx, d.mountPoint)
		if err != nil {
			c.Logger.Warn("Cannot read the use of a disk", slog.String("mount", d.mountPoint), slog.Any("error", err))
			continue
		}
		d.used, d.free, d.total = usage.Used, usage.Free, usage.Total
		found = append(found, d)
	}
	return found, nil
}

// parseMounts returns devices of file systems that need one, and zfs. gopsutil
// has a list too, in which devices of the device mapper have other names than in
// slapos.core's rows.
func parseMounts(mounts, types []byte) []diskUse {
	physical := map[string]bool{"zfs": true}
	for line := range bytes.Lines(types) {
		if fields := strings.Fields(string(line)); len(fields) == 1 {
			physical[fields[0]] = true
		}
	}
	seen := map[string]bool{"": true, "none": true}
	var disks []diskUse
	for line := range bytes.Lines(mounts) {
		fields := strings.Fields(string(line))
		if len(fields) < 3 || !physical[fields[2]] {
			continue
		}
		device := unescapeMount(fields[0])
		if !seen[device] {
			seen[device] = true
			disks = append(disks, diskUse{device: device, mountPoint: unescapeMount(fields[1])})
		}
	}
	return disks
}

// unescapeMount replaces the \040 of /proc/mounts.
func unescapeMount(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) {
			if code, err := strconv.ParseUint(text[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}
