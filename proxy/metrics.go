// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"slapos/proxy/store"
	"slapos/slap"
)

// metrics are the numbers of /metrics (D-13).
type metrics struct {
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	// ignored are the reports of nodes that were worth nothing.
	ignored *prometheus.CounterVec
	handler http.Handler
}

func newMetrics(s store.Store, waiting func() int, further []prometheus.Collector) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "slapos_proxy_requests_total", Help: "Requests by entry point, method and status.",
		}, []string{"path", "method", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "slapos_proxy_request_duration_seconds", Help: "Time to answer, by entry point.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"path"}),
		ignored: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "slapos_proxy_reports_ignored_total", Help: "Reports of nodes that were not kept: unknown, another's, unreadable or failed.",
		}, []string{"reason"}),
	}
	waits := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "slapos_proxy_waiting_requests", Help: "Requests of nodes that wait for a change.",
	}, func() float64 { return float64(waiting()) })
	registry := prometheus.NewRegistry()
	registry.MustRegister(m.requests, m.durations, m.ignored, waits, partitionStates{s}, conditions{s},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registry.MustRegister(further...)
	m.handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	return m
}

func (m *metrics) answer(w http.ResponseWriter, r *http.Request) error {
	m.handler.ServeHTTP(w, r)
	return nil
}

// count measures every request. Paths that are not known share a label.
func (m *metrics) count(next http.Handler, known func(path string) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		rec := &recorder{ResponseWriter: w}
		defer func() { // also for an answer that breaks off
			path := "other"
			if known(r.URL.Path) {
				path = entryPoint(r.URL.Path)
			}
			m.requests.WithLabelValues(path, knownMethod(r.Method), strconv.Itoa(rec.status)).Inc()
			m.durations.WithLabelValues(path).Observe((time.Since(begin) - rec.waited).Seconds())
		}()
		next.ServeHTTP(rec, r)
	})
}

// entryPoint is the first segment of a path: labels must be few.
func entryPoint(path string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return "/" + first
}

func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodOptions:
		return method
	}
	return "other"
}

// partitionStates reads how many partitions are in which state when asked.
type partitionStates struct{ store store.Store }

var partitionsMetric = prometheus.NewDesc("slapos_proxy_partitions",
	"Partitions by computer and state: free, or the requested state of their instance.", []string{"computer", "state"}, nil)

func (partitionStates) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- partitionsMetric
}

func (s partitionStates) Collect(values chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	counts, err := s.store.Statistics(ctx)
	if err != nil {
		values <- prometheus.NewInvalidMetric(partitionsMetric, err)
		return
	}
	type label struct{ computer, state string }
	sums := map[label]float64{}
	for _, c := range counts {
		sums[label{strings.ToValidUTF8(c.Computer, "?"), knownState(c.State)}] += float64(c.Count)
	}
	for l, sum := range sums {
		values <- prometheus.MustNewConstMetric(partitionsMetric, prometheus.GaugeValue, sum, l.computer, l.state)
	}
}

// knownState bounds the states, which are free text.
func knownState(state string) string {
	switch slap.State(state) {
	case "free", slap.StateStarted, slap.StateStopped, slap.StateDestroyed:
		return state
	}
	return "other"
}
