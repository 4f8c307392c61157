// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"fmt"
	"strings"

	"slapos/slap"
)

// Actual is what became of something, as far as the master knows.
type Actual struct {
	Condition slap.Condition
	// Since is when it got into this condition, 0 if that isn't known.
	Since float64
	// Message is the line that says most about it, "" if there is nothing to say.
	Message string
	// Reported is when the node last told about it, 0 for never.
	Reported float64
	// Failures counts those in a row, and Event has the log of the last one; both
	// may be 0.
	Failures int64
	Event    int64
	// Stuck is true for what won't get further by waiting, such as a silent node;
	// what is on it is unknown, and that is all.
	Stuck bool
}

// NeedsAttention reports whether a person should look at it.
func (a Actual) NeedsAttention() bool { return a.Stuck || a.Condition.NeedsAttention() }

// facts are all that conditions follow from. What is zero isn't known.
type facts struct {
	now float64
	// began is when the master began to keep reports.
	began     float64
	node      Heard
	report    *reportRow
	wanted    slap.State
	timestamp float64 // of the last change of what is wanted

	// Of instances only.
	release  string
	supplied bool
	built    Actual // of the release
	promises promiseSums
}

// promiseSums are the promises of an instance: how many there are, and the first of
// those that fail.
type promiseSums struct {
	passed, failed int64
	time, since    float64
	first          string
}

// silent is what is known of anything on a node that should have been heard of.
func (f *facts) silent() (Actual, bool) {
	if f.node.Time == 0 || !f.node.Silent(f.now) {
		return Actual{}, false
	}
	return Actual{Condition: slap.ConditionUnknown, Since: f.node.Time, Message: "the node was not heard of since"}, true
}

// unlessSilent is an actual, of which a silent node says nothing more.
func (f *facts) unlessSilent(a Actual) Actual {
	unknown, silent := f.silent()
	if !silent {
		return a
	}
	unknown.Reported, unknown.Failures, unknown.Event = a.Reported, a.Failures, a.Event
	return unknown
}

// nodeCondition is the condition of a node.
func (f *facts) nodeCondition() Actual {
	if a, silent := f.silent(); silent {
		a.Reported, a.Message, a.Stuck = f.node.Time, "", true
		return a
	}
	if f.node.Time == 0 {
		return Actual{Condition: slap.ConditionNever}
	}
	return Actual{Condition: slap.ConditionUp, Reported: f.node.Time}
}

// reported is an actual that a report tells about.
func (f *facts) reported(condition slap.Condition, since float64) Actual {
	a := Actual{Condition: condition, Since: min(since, f.now)}
	if r := f.report; r != nil {
		a.Reported, a.Failures, a.Event = r.Time, r.Failures, r.Event
		if r.Failures > 0 {
			a.Message = r.Message
		}
	}
	return a
}

// releaseCondition is the condition of a release.
func (f *facts) releaseCondition() Actual {
	return f.unlessSilent(f.releaseKnown())
}

func (f *facts) releaseKnown() Actual {
	r := f.report
	switch {
	case r == nil && f.wanted == slap.StateDestroyed:
		return f.reported(slap.ConditionDestroying, 0)
	case r == nil:
		return Actual{Condition: slap.ConditionUnknown, Message: "nothing was reported about it"}
	case r.State == ReportError:
		return f.reported(slap.ConditionFailed, r.Failing)
	case f.wanted == slap.StateDestroyed:
		return f.reported(slap.ConditionDestroying, r.Since)
	case r.State == ReportBuilding:
		return f.reported(slap.ConditionBuilding, r.Since)
	case r.State == ReportAvailable:
		return f.reported(slap.ConditionAvailable, r.Since)
	}
	return f.reported(slap.ConditionRequested, r.Since)
}

// instanceCondition is the condition of an instance in a partition.
func (f *facts) instanceCondition() Actual {
	return f.unlessSilent(f.instanceKnown())
}

func (f *facts) instanceKnown() Actual {
	r := f.report
	// What was reported before the last change is about what was wanted then.
	current := r != nil && r.Time >= f.timestamp
	failed := current && r.State == ReportError
	switch {
	case failed && promiseFailed(r.Message) && f.wanted == slap.StateStarted:
		return f.reported(slap.ConditionPromiseFailed, r.Failing)
	case failed && f.wanted != slap.StateDestroyed && f.unbuilt():
		return f.waiting()
	case failed:
		return f.reported(slap.ConditionFailed, r.Failing)
	case f.wanted == slap.StateDestroyed:
		return f.reported(slap.ConditionDestroying, f.timestamp)
	case f.wanted == slap.StateStopped:
		return f.stopping(current)
	case current && r.State == ReportStarted:
		return f.running()
	}
	return f.begun()
}

// stopping is the condition of what shall not run.
func (f *facts) stopping(current bool) Actual {
	switch r := f.report; {
	case current && r.State == ReportStopped:
		return f.reported(slap.ConditionStopped, r.Since)
	case r != nil:
		return f.reported(slap.ConditionStopping, f.timestamp)
	}
	return f.begun()
}

// running is the condition of what was started.
func (f *facts) running() Actual {
	a := f.reported(slap.ConditionRunning, f.report.Since)
	p := f.promises
	if p.failed == 0 || p.time < f.timestamp {
		return a
	}
	a.Condition, a.Since, a.Message = slap.ConditionPromiseFailed, p.since, p.first
	if p.failed > 1 {
		a.Message = fmt.Sprintf("%s (and %d more)", p.first, p.failed-1)
	}
	return a
}

// begun is the condition of what the node hasn't told about yet.
func (f *facts) begun() Actual {
	switch {
	case f.report == nil && f.timestamp < f.began:
		return Actual{Condition: slap.ConditionUnknown, Message: "nothing was reported about it since this master keeps reports"}
	case f.unbuilt():
		return f.waiting()
	case f.node.Time > f.timestamp:
		return f.reported(slap.ConditionDeploying, f.timestamp)
	}
	return f.reported(slap.ConditionRequested, f.timestamp)
}

// unbuilt reports whether the node lacks the release.
func (f *facts) unbuilt() bool {
	if !f.supplied {
		// It may lie on the node nevertheless.
		return f.report == nil || f.report.State == ReportError && strings.Contains(f.report.Message, "is not present on system")
	}
	switch f.built.Condition {
	case slap.ConditionRequested, slap.ConditionBuilding, slap.ConditionFailed, slap.ConditionDestroying:
		return true
	}
	return false
}

// waiting is the condition of an instance whose release the node lacks.
func (f *facts) waiting() Actual {
	a := f.reported(slap.ConditionWaiting, max(f.timestamp, f.built.Since))
	a.Failures, a.Event = 0, 0
	switch {
	case !f.supplied:
		a.Since, a.Stuck = f.timestamp, true
		a.Message = "waits for " + f.release + ", which nobody supplied to the node"
	case f.built.Condition == slap.ConditionFailed:
		a.Event, a.Stuck = f.built.Event, true
		a.Message = "waits for " + f.release + ", which failed: " + f.built.Message
	default:
		a.Message = fmt.Sprintf("waits for %s (%s)", f.release, f.built.Condition)
	}
	a.Message = messageOf(a.Message)
	return a
}

// sharedCondition is the condition of a shared instance: it follows its host, which
// publishes its connection parameters.
func (f *facts) sharedCondition(host Actual, published bool) Actual {
	switch {
	case f.report != nil && f.report.State == ReportError && f.report.Time >= f.timestamp:
		return f.reported(slap.ConditionFailed, f.report.Failing)
	case host.Condition == slap.ConditionRunning || host.Condition == slap.ConditionPromiseFailed:
		if !published {
			return Actual{Condition: slap.ConditionDeploying, Since: f.timestamp, Message: "its host has published nothing for it"}
		}
		return Actual{Condition: slap.ConditionRunning, Since: host.Since, Reported: host.Reported}
	case host.Condition == slap.ConditionStopped || host.Condition == slap.ConditionStopping ||
		host.Condition == slap.ConditionDestroying || host.Condition == slap.ConditionUnknown:
		return Actual{Condition: host.Condition, Since: host.Since, Message: host.Message, Reported: host.Reported}
	}
	message := "its host: " + string(host.Condition)
	if host.Message != "" {
		message += ", " + host.Message
	}
	return Actual{Condition: slap.ConditionWaiting, Since: host.Since, Message: messageOf(message), Reported: host.Reported}
}
