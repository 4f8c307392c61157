// SPDX-License-Identifier: GPL-3.0-or-later

package webhook

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics tell how the sending goes. A receiver's label is its place in the list: its
// address may have secrets.
type metrics struct {
	requests *prometheus.CounterVec
	distance *prometheus.GaugeVec
}

func newMetrics() *metrics {
	return &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "slapos_proxy_webhook_requests_total", Help: "Requests to webhooks, by their place in webhook_urls and result.",
		}, []string{"webhook", "result"}),
		distance: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "slapos_proxy_webhook_behind", Help: "Numbers of events that a webhook hasn't taken yet.",
		}, []string{"webhook"}),
	}
}

// Describe implements [prometheus.Collector].
func (s *Sender) Describe(descriptions chan<- *prometheus.Desc) {
	s.metrics.requests.Describe(descriptions)
	s.metrics.distance.Describe(descriptions)
}

// Collect implements [prometheus.Collector].
func (s *Sender) Collect(values chan<- prometheus.Metric) {
	s.metrics.requests.Collect(values)
	s.metrics.distance.Collect(values)
}

func (m *metrics) count(t *target, result string) {
	m.requests.WithLabelValues(label(t), result).Inc()
}

// behind is known to the one who delivers, and to all when it is nothing.
func (m *metrics) behind(t *target, events int64) {
	m.distance.WithLabelValues(label(t)).Set(float64(events))
}

func label(t *target) string {
	place, _, _ := strings.Cut(t.name, " ")
	return place
}
