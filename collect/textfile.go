// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// TextfileName is the file in the directory that node_exporter reads.
const TextfileName = "slapos.prom"

// writeTextfile writes the pass's results as metrics (D-13). Folder sizes are
// the newest measured ones.
func (c *Collector) writeTextfile(ctx context.Context, store *store, m *machine, processes []process, uses []sliceUse) error {
	folders, err := store.newestFolders(ctx)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	gauge := func(name, help string) func(user string, value float64) {
		vector := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "slapos", Name: name, Help: help}, []string{"partition"})
		registry.MustRegister(vector)
		return func(user string, value float64) { vector.WithLabelValues(strings.ToValidUTF8(user, "?")).Add(value) }
	}
	var (
		count    = gauge("partition_processes", "Processes of the partition's user.")
		threads  = gauge("partition_threads", "Threads of the partition's processes.")
		cpu      = gauge("partition_cpu_percent", "CPU use of the partition's processes since the pass before, 100 is one processor.")
		resident = gauge("partition_memory_resident_bytes", "Resident memory of the partition's processes.")
		disk     = gauge("partition_disk_used_bytes", "Disk use of the partition's folder when it was measured last.")
	)
	for _, partition := range c.Partitions {
		for _, set := range []func(string, float64){count, threads, cpu, resident} {
			set(partition.User, 0)
		}
		if size, measured := folders[partition.User]; measured {
			disk(partition.User, size*1024)
		}
	}
	for i := range processes {
		p := &processes[i]
		count(p.user, 1)
		threads(p.user, float64(p.threads))
		cpu(p.user, p.percent)
		resident(p.user, float64(p.resident*pageSize))
	}
	if err := registry.Register(sliceMetrics(uses)); err != nil {
		return err
	}
	machineMetrics(registry, m, c.Now().Unix())
	path := filepath.Join(c.Textfile, TextfileName)
	if err := prometheus.WriteToTextfile(path, registry); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func machineMetrics(registry *prometheus.Registry, m *machine, now int64) {
	set := func(name, help string, value float64) {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "slapos", Name: name, Help: help})
		g.Set(value)
		registry.MustRegister(g)
	}
	set("collect_last_pass_timestamp_seconds", "When the last pass of slapos node collect ended.", float64(now))
	set("node_cpu_percent", "CPU use of the machine since the pass before, 100 is all processors.", m.busy)
	set("node_load1", "Load over one minute.", m.load)
	set("node_memory_available_bytes", "Memory that is available.", float64(m.available))
	set("node_memory_size_bytes", "Memory of the machine.", float64(m.memory))
	if len(m.temperatures) == 0 {
		return
	}
	vector := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "slapos", Name: "node_temperature_celsius", Help: "Temperatures."}, []string{"sensor"})
	for _, t := range m.temperatures {
		vector.WithLabelValues(strings.ToValidUTF8(t.sensor, "?")).Set(t.value)
	}
	registry.MustRegister(vector)
}

// sliceMetrics are the counters of control groups.
type sliceMetrics []sliceUse

func sliceMetric(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("slapos_partition_cgroup_"+name, help, []string{"partition"}, nil)
}

// Describe implements [prometheus.Collector].
func (s sliceMetrics) Describe(descriptions chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(s, descriptions)
}

// Collect implements [prometheus.Collector].
func (s sliceMetrics) Collect(metrics chan<- prometheus.Metric) {
	for _, m := range []struct {
		description *prometheus.Desc
		kind        prometheus.ValueType
		value       func(sliceUse) float64
	}{
		{sliceMetric("cpu_seconds_total", "CPU time in the partition's control group."), prometheus.CounterValue, func(u sliceUse) float64 { return u.seconds }},
		{sliceMetric("memory_bytes", "Memory of the partition's control group."), prometheus.GaugeValue, func(u sliceUse) float64 { return u.memory }},
		{sliceMetric("memory_peak_bytes", "Most memory the partition's control group has had."), prometheus.GaugeValue, func(u sliceUse) float64 { return u.peak }},
		{sliceMetric("read_bytes_total", "Bytes read from disks by the partition's control group."), prometheus.CounterValue, func(u sliceUse) float64 { return u.read }},
		{sliceMetric("written_bytes_total", "Bytes written to disks by the partition's control group."), prometheus.CounterValue, func(u sliceUse) float64 { return u.written }},
		{sliceMetric("processes", "Processes and threads in the partition's control group."), prometheus.GaugeValue, func(u sliceUse) float64 { return u.processes }},
	} {
		for _, use := range s {
			metrics <- prometheus.MustNewConstMetric(m.description, m.kind, m.value(use), strings.ToValidUTF8(use.user, "?"))
		}
	}
}
