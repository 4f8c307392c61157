// SPDX-License-Identifier: GPL-3.0-or-later

package proximity

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"slapos/networkcache"
)

// counts are the numbers about upstreams at /metrics.
type counts struct {
	requests *prometheus.CounterVec
	received prometheus.Counter
	stale    prometheus.Counter
	refused  prometheus.Counter
}

func newCounts() counts {
	return counts{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "slapos_cache_upstream_requests_total", Help: "Requests to upstreams, by their outcome: found, absent or failed.",
		}, []string{"outcome"}),
		received: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "slapos_cache_upstream_bytes_total", Help: "Bytes of contents that upstreams sent.",
		}),
		stale: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "slapos_cache_stale_answers_total", Help: "Lists of entries that were served after their time, since no upstream answered.",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "slapos_cache_upstream_wrong_contents_total", Help: "Contents of upstreams whose sum was wrong.",
		}),
	}
}

// asked counts a request by its error.
func (c counts) asked(err error) {
	outcome := "failed"
	switch {
	case err == nil:
		outcome = "found"
	case errors.Is(err, networkcache.ErrNotFound):
		outcome = "absent"
	}
	c.requests.WithLabelValues(outcome).Inc()
}

func (c counts) all() []prometheus.Collector {
	return []prometheus.Collector{c.requests, c.received, c.stale, c.refused}
}

// Describe implements [prometheus.Collector].
func (c *Cache) Describe(descriptions chan<- *prometheus.Desc) {
	for _, count := range c.counts.all() {
		count.Describe(descriptions)
	}
}

// Collect implements [prometheus.Collector].
func (c *Cache) Collect(metrics chan<- prometheus.Metric) {
	for _, count := range c.counts.all() {
		count.Collect(metrics)
	}
}
