// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"testing"

	"slapos/slap"
)

// TestInstanceCondition goes through what an instance can be (PROXY-191). It was last
// changed at 100, and now is 1000.
func TestInstanceCondition(t *testing.T) {
	t.Parallel()
	const promise = "Promise 'up' failed with output: no"
	available := Actual{Condition: slap.ConditionAvailable, Since: 50}
	up := Heard{Time: 990, Period: 60}
	report := func(state string, since, time float64, message ...string) *reportRow {
		r := &reportRow{State: state, Since: since, Time: time}
		if len(message) > 0 {
			r.Message, r.Failures, r.Failing, r.Event = message[0], 1, since, 7
		}
		return r
	}
	for name, c := range map[string]struct {
		facts facts
		want  slap.Condition
		since float64
		text  string
	}{
		"never heard":       {facts{supplied: true, built: available, wanted: "started"}, slap.ConditionRequested, 100, ""},
		"heard before":      {facts{supplied: true, built: available, wanted: "started", node: Heard{Time: 99, Period: 1000}}, slap.ConditionRequested, 100, ""},
		"heard since":       {facts{supplied: true, built: available, wanted: "started", node: up}, slap.ConditionDeploying, 100, ""},
		"not supplied":      {facts{wanted: "started", node: up}, slap.ConditionWaiting, 100, "waits for r, which nobody supplied to the node"},
		"release asked":     {facts{supplied: true, built: Actual{Condition: slap.ConditionRequested, Since: 120}, wanted: "started", node: up}, slap.ConditionWaiting, 120, "waits for r (requested)"},
		"building":          {facts{supplied: true, built: Actual{Condition: slap.ConditionBuilding, Since: 130}, wanted: "started", node: up}, slap.ConditionWaiting, 130, "waits for r (building)"},
		"failed release":    {facts{supplied: true, built: Actual{Condition: slap.ConditionFailed, Since: 140, Message: "no"}, wanted: "started", node: up}, slap.ConditionWaiting, 140, "waits for r, which failed: no"},
		"old release":       {facts{supplied: true, built: Actual{Condition: slap.ConditionUnknown}, wanted: "started", node: up}, slap.ConditionDeploying, 100, ""},
		"error meanwhile":   {facts{supplied: true, built: Actual{Condition: slap.ConditionBuilding, Since: 130}, wanted: "started", node: up, report: report(ReportError, 150, 160, "Software Release r is not present on system.")}, slap.ConditionWaiting, 130, "waits for r (building)"},
		"stopped meanwhile": {facts{supplied: true, built: Actual{Condition: slap.ConditionBuilding, Since: 130}, wanted: "stopped", node: up, report: report(ReportError, 150, 160, "Software Release r is not present on system.")}, slap.ConditionWaiting, 130, "waits for r (building)"},
		"error not there":   {facts{wanted: "started", node: up, report: report(ReportError, 150, 160, "Software Release r is not present on system.")}, slap.ConditionWaiting, 100, "waits for r, which nobody supplied to the node"},
		"error":             {facts{wanted: "started", node: up, report: report(ReportError, 150, 160, "OSError: x")}, slap.ConditionFailed, 150, "OSError: x"},
		"error stopped":     {facts{supplied: true, built: available, wanted: "stopped", node: up, report: report(ReportError, 150, 160, "OSError: x")}, slap.ConditionFailed, 150, "OSError: x"},
		"error before":      {facts{supplied: true, built: available, wanted: "started", node: up, report: report(ReportError, 50, 60, "OSError: x")}, slap.ConditionDeploying, 100, "OSError: x"},
		"promise":           {facts{supplied: true, built: available, wanted: "started", node: up, report: report(ReportError, 150, 160, promise)}, slap.ConditionPromiseFailed, 150, promise},
		"started":           {facts{wanted: "started", node: up, report: report(ReportStarted, 150, 160)}, slap.ConditionRunning, 150, ""},
		"started before":    {facts{supplied: true, built: available, wanted: "started", node: up, report: report(ReportStarted, 50, 60)}, slap.ConditionDeploying, 100, ""},
		"promises":          {facts{wanted: "started", node: up, report: report(ReportStarted, 150, 160), promises: promiseSums{passed: 1, failed: 2, time: 170, since: 165, first: "up: no"}}, slap.ConditionPromiseFailed, 165, "up: no (and 1 more)"},
		"old promises":      {facts{wanted: "started", node: up, report: report(ReportStarted, 150, 160), promises: promiseSums{failed: 1, time: 90, since: 80, first: "up: no"}}, slap.ConditionRunning, 150, ""},
		"to stop":           {facts{wanted: "stopped", node: up, report: report(ReportStarted, 50, 60)}, slap.ConditionStopping, 100, ""},
		"still started":     {facts{wanted: "stopped", node: up, report: report(ReportStarted, 150, 160)}, slap.ConditionStopping, 100, ""},
		"stopped":           {facts{wanted: "stopped", node: up, report: report(ReportStopped, 150, 160)}, slap.ConditionStopped, 150, ""},
		"never started":     {facts{supplied: true, built: available, wanted: "stopped", node: up}, slap.ConditionDeploying, 100, ""},
		"to go":             {facts{wanted: "destroyed", node: up, report: report(ReportStarted, 50, 60)}, slap.ConditionDestroying, 100, ""},
		"can't go":          {facts{wanted: "destroyed", node: up, report: report(ReportError, 150, 160, "busy")}, slap.ConditionFailed, 150, "busy"},
		"before history":    {facts{supplied: true, built: available, wanted: "started", node: up, began: 500}, slap.ConditionUnknown, 0, "nothing was reported about it since this master keeps reports"},
		"silent":            {facts{wanted: "started", node: Heard{Time: 700, Period: 60}, report: report(ReportStarted, 150, 160)}, slap.ConditionUnknown, 700, "the node was not heard of since"},
		"quiet":             {facts{wanted: "started", node: Heard{Time: 700, Period: 200}, report: report(ReportStarted, 150, 160)}, slap.ConditionRunning, 150, ""},
		"heard once":        {facts{wanted: "started", node: Heard{Time: 10}, report: report(ReportStarted, 150, 160)}, slap.ConditionRunning, 150, ""},
	} {
		c.facts.now, c.facts.timestamp, c.facts.release = 1000, 100, "r"
		got := c.facts.instanceCondition()
		if got.Condition != c.want || got.Since != c.since || got.Message != c.text {
			t.Errorf("%s: %+v, want %s since %v (%s)", name, got, c.want, c.since, c.text)
		}
		if got.NeedsAttention() != (c.want.NeedsAttention() || name == "not supplied" || name == "failed release" || name == "error not there") {
			t.Errorf("%s: needs attention %t", name, got.NeedsAttention())
		}
	}
}

// TestReleaseCondition goes through what a release can be (PROXY-191).
func TestReleaseCondition(t *testing.T) {
	t.Parallel()
	failed := &reportRow{State: ReportError, Since: 150, Time: 160, Message: "no", Failures: 3, Failing: 120, Event: 7}
	retried := *failed
	retried.State = ReportBuilding
	for name, c := range map[string]struct {
		wanted slap.State
		report *reportRow
		node   Heard
		want   Actual
	}{
		"supplied":   {"available", &reportRow{State: reportRequested, Since: 100, Time: 100}, Heard{}, Actual{Condition: slap.ConditionRequested, Since: 100, Reported: 100}},
		"building":   {"available", &reportRow{State: ReportBuilding, Since: 100, Time: 110}, Heard{}, Actual{Condition: slap.ConditionBuilding, Since: 100, Reported: 110}},
		"failed":     {"available", failed, Heard{}, Actual{Condition: slap.ConditionFailed, Since: 120, Message: "no", Reported: 160, Failures: 3, Event: 7}},
		"retried":    {"available", &retried, Heard{}, Actual{Condition: slap.ConditionBuilding, Since: 150, Message: "no", Reported: 160, Failures: 3, Event: 7}},
		"available":  {"available", &reportRow{State: ReportAvailable, Since: 100, Time: 110}, Heard{}, Actual{Condition: slap.ConditionAvailable, Since: 100, Reported: 110}},
		"to go":      {"destroyed", &reportRow{State: ReportAvailable, Since: 100, Time: 110}, Heard{}, Actual{Condition: slap.ConditionDestroying, Since: 100, Reported: 110}},
		"can't go":   {"destroyed", failed, Heard{}, Actual{Condition: slap.ConditionFailed, Since: 120, Message: "no", Reported: 160, Failures: 3, Event: 7}},
		"old":        {"available", nil, Heard{}, Actual{Condition: slap.ConditionUnknown, Message: "nothing was reported about it"}},
		"old, to go": {"destroyed", nil, Heard{}, Actual{Condition: slap.ConditionDestroying}},
		"silent":     {"available", &reportRow{State: ReportAvailable, Since: 100, Time: 110}, Heard{Time: 500, Period: 60}, Actual{Condition: slap.ConditionUnknown, Since: 500, Message: "the node was not heard of since", Reported: 110}},
	} {
		f := facts{now: 1000, wanted: c.wanted, report: c.report, node: c.node}
		if got := f.releaseCondition(); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// TestPeriod learns from the times between passes.
func TestPeriod(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		gaps     []float64
		min, max float64
	}{
		{nil, 0, 0},
		{[]float64{300}, 300, 300},
		{[]float64{1}, 60, 60},
		{[]float64{2, 58, 2, 58, 2, 58, 2, 58}, 60, 60},
		{[]float64{600, 600, 10, 600, 10, 600}, 500, 600},
		{[]float64{60, 60, 100_000, 60, 60}, 60, 120}, // it was off for a day
		{[]float64{60, 3600, 3600, 3600, 3600, 3600, 3600}, 3600, 3600},
		{[]float64{1e9, 1e9}, 24 * 3600, 24 * 3600},
	} {
		n := heardNode{poll: 1}
		for _, gap := range c.gaps {
			n.learn(gap)
		}
		if n.Period < c.min || n.Period > c.max {
			t.Errorf("%v: %v", c.gaps, n.Period)
		}
	}
}

// TestSharedCondition follows the host of a shared instance.
func TestSharedCondition(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		host      Actual
		published bool
		want      slap.Condition
		text      string
	}{
		{Actual{Condition: slap.ConditionRunning}, true, slap.ConditionRunning, ""},
		{Actual{Condition: slap.ConditionPromiseFailed, Message: "no"}, true, slap.ConditionRunning, ""},
		{Actual{Condition: slap.ConditionRunning}, false, slap.ConditionDeploying, "its host has published nothing for it"},
		{Actual{Condition: slap.ConditionFailed, Message: "no", Stuck: true}, true, slap.ConditionWaiting, "its host: failed, no"},
		{Actual{Condition: slap.ConditionRequested}, true, slap.ConditionWaiting, "its host: requested"},
		{Actual{Condition: slap.ConditionStopped}, true, slap.ConditionStopped, ""},
		{Actual{Condition: slap.ConditionUnknown, Message: "silent"}, true, slap.ConditionUnknown, "silent"},
	} {
		f := facts{now: 1000, timestamp: 100}
		if got := f.sharedCondition(c.host, c.published); got.Condition != c.want || got.Message != c.text || got.NeedsAttention() {
			t.Errorf("%s: %+v, want %s (%s)", c.host.Condition, got, c.want, c.text)
		}
	}
}
