// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"slapos/proxy/store"
	"slapos/slap"
)

// conditions tells how everything is when asked, and counts events.
type conditions struct{ store store.Store }

var (
	instancesMetric = prometheus.NewDesc("slapos_proxy_instances", "Instances by condition, shared ones too.", []string{"condition"}, nil)
	releasesMetric  = prometheus.NewDesc("slapos_proxy_releases", "Software releases of all nodes by condition.", []string{"condition"}, nil)
	nodesMetric     = prometheus.NewDesc("slapos_proxy_nodes", "Nodes by condition.", []string{"condition"}, nil)
	attentionMetric = prometheus.NewDesc("slapos_proxy_attention", "Nodes, releases and instances that need attention, and requests that found no place.", nil, nil)
	heardMetric     = prometheus.NewDesc("slapos_proxy_node_heard_seconds", "Time since a node was last heard of: of the 1,000 that are silent for longest.", []string{"computer"}, nil)
	eventsMetric    = prometheus.NewDesc("slapos_proxy_events_total", "Events that this process added to the history, by what they are.", []string{"event"}, nil)
)

func (conditions) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{instancesMetric, releasesMetric, nodesMetric, attentionMetric, heardMetric, eventsMetric} {
		descriptions <- d
	}
}

func (s conditions) Collect(values chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	counts := s.store.EventCounts()
	for _, event := range store.EventKinds() {
		values <- prometheus.MustNewConstMetric(eventsMetric, prometheus.CounterValue, float64(counts[event]), event)
	}
	o, err := s.store.Overview(ctx)
	if err != nil {
		values <- prometheus.NewInvalidMetric(instancesMetric, err)
		return
	}
	attention := len(o.Refused)
	count := func(metric *prometheus.Desc, all []slap.Condition, n int, at func(int) store.Actual) {
		sums := map[slap.Condition]float64{}
		for i := range n {
			a := at(i)
			sums[a.Condition]++
			if a.NeedsAttention() {
				attention++
			}
		}
		for _, c := range all {
			values <- prometheus.MustNewConstMetric(metric, prometheus.GaugeValue, sums[c], string(c))
		}
	}
	count(instancesMetric, slap.InstanceConditions(), len(o.Instances), func(i int) store.Actual { return o.Instances[i].Actual })
	count(releasesMetric, slap.ReleaseConditions(), len(o.Releases), func(i int) store.Actual { return o.Releases[i].Actual })
	count(nodesMetric, slap.NodeConditions(), len(o.Nodes), func(i int) store.Actual { return o.Nodes[i].Actual })
	values <- prometheus.MustNewConstMetric(attentionMetric, prometheus.GaugeValue, float64(attention))
	heard := slices.DeleteFunc(slices.Clone(o.Nodes), func(n store.NodeOverview) bool { return n.Reported == 0 })
	slices.SortStableFunc(heard, func(a, b store.NodeOverview) int { return int(a.Reported - b.Reported) })
	seen := map[string]bool{}
	for _, n := range heard[:min(len(heard), maximumNodes)] {
		computer := strings.ToValidUTF8(n.Computer, "?")
		if !seen[computer] {
			seen[computer] = true
			values <- prometheus.MustNewConstMetric(heardMetric, prometheus.GaugeValue, max(0, o.Now-n.Reported), computer)
		}
	}
}
