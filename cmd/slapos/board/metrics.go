// SPDX-License-Identifier: GPL-3.0-or-later

package board

import (
	"bytes"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"slapos/slap/wholefile"
)

// WriteMetrics writes the results in the subset of the OpenMetrics format
// that node_exporter reads: gauges only.
func (b *Board) WriteMetrics(path string) error {
	registry := prometheus.NewRegistry()
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
		registry.MustRegister(g)
		return g
	}
	failed := gauge("slapos_promise_failed", "Whether the last result of the promise is a failure.", "partition", "promise", "kind")
	duration := gauge("slapos_promise_duration_seconds", "How long the promise took.", "partition", "promise", "kind")
	date := gauge("slapos_promise_result_timestamp_seconds", "When the promise gave its last result.", "partition", "promise", "kind")
	broken := gauge("slapos_promise_partition_error", "Whether something kept promises of the partition from running.", "partition")
	written := gauge("slapos_promise_timestamp_seconds", "When these results were written.")
	written.WithLabelValues().Set(float64(b.now().Unix()))
	for _, p := range b.Document().Partitions {
		isBroken := broken.WithLabelValues(p.Partition)
		if p.Error != nil {
			isBroken.Set(1)
		}
		for _, r := range p.Promises {
			if r.Date == nil {
				continue
			}
			labels := []string{p.Partition, r.Name, r.Kind}
			duration.WithLabelValues(labels...).Set(r.Duration)
			date.WithLabelValues(labels...).Set(float64(r.Date.Unix()))
			isFailed := failed.WithLabelValues(labels...)
			if r.Failed {
				isFailed.Set(1)
			}
		}
	}
	families, err := registry.Gather()
	if err != nil {
		return fmt.Errorf("metrics of promises: %w", err)
	}
	var text bytes.Buffer
	encoder := expfmt.NewEncoder(&text, expfmt.NewFormat(expfmt.TypeOpenMetrics))
	for _, family := range families {
		if err := encoder.Encode(family); err != nil {
			return fmt.Errorf("metrics of promises: %w", err)
		}
	}
	if closer, ok := encoder.(expfmt.Closer); ok {
		_ = closer.Close() // writes "# EOF" to memory
	}
	if err := wholefile.Write(path, text.Bytes(), 0o644); err != nil {
		return fmt.Errorf("metrics of promises: %w", err)
	}
	return nil
}
