// SPDX-License-Identifier: GPL-3.0-or-later

package agent

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// bench is a schedule with a clock of its own.
type bench struct {
	*testing.T
	*schedule
	now time.Time
}

func newBench(t *testing.T, jobs int) *bench {
	places := map[Kind]int{KindRelease: jobs, KindPartition: jobs}
	return &bench{t, newSchedule(places), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
}

func part(name string) key { return key{KindPartition, name} }
func soft(name string) key { return key{KindRelease, name} }

// starts checks what begins after some time, and returns when to ask again.
func (b *bench) starts(after time.Duration, want ...string) time.Duration {
	b.Helper()
	b.now = b.now.Add(after)
	ready, wake := b.start(b.now)
	var got []string
	for _, t := range ready {
		got = append(got, t.name)
	}
	if !slices.Equal(got, want) {
		b.Fatalf("%q begin, want %q", got, want)
	}
	if wake.IsZero() {
		return -1
	}
	return wake.Sub(b.now)
}

func (b *bench) ends(k key, o outcome) { b.end(b.tasks[k], o, b.now) }

func (b *bench) wakes(got, want time.Duration) {
	b.Helper()
	if got != want {
		b.Errorf("the next look comes after %s, want %s", got, want)
	}
}

var errTest = errors.New("test")

// Nothing is due, so nothing wakes the agent; what is due later does then (AGENT-3).
func TestScheduleSleeps(t *testing.T) {
	b := newBench(t, 2)
	b.wakes(b.starts(0), -1)
	b.ask(part("a"), b.now.Add(time.Hour), "hourly")
	b.ask(part("a"), b.now.Add(2*time.Hour), "later")
	b.wakes(b.starts(time.Minute), 59*time.Minute)
	b.ask(part("a"), b.now.Add(time.Minute), "sooner")
	b.wakes(b.starts(0), time.Minute)
	b.wakes(b.starts(time.Minute, "a"), -1)
	b.ends(part("a"), outcome{})
	b.wakes(b.starts(0), -1)
}

// A task never runs twice at once: what changes meanwhile is done after it (AGENT-4).
func TestScheduleOnce(t *testing.T) {
	b := newBench(t, 2)
	b.changed(part("a"), b.now, "wanted")
	b.starts(0, "a")
	b.changed(part("a"), b.now, "wanted")
	b.starts(time.Second)
	b.ends(part("a"), outcome{next: b.now.Add(time.Hour)})
	b.starts(0, "a")
	b.drop(part("a")) // gone and back while it runs
	b.changed(part("a"), b.now, "wanted")
	b.starts(time.Second)
	b.ends(part("a"), outcome{})
	b.starts(0, "a")
	b.drop(part("a"))
	b.ends(part("a"), outcome{next: b.now})
	if b.wakes(b.starts(0), -1); len(b.tasks) != 0 {
		t.Error("a dropped task is kept")
	}
}

// One slow partition gives its place to others, a release keeps it; neither delays the
// other kind (AGENT-4).
func TestSchedulePlaces(t *testing.T) {
	b := newBench(t, 1)
	for _, k := range []key{soft("r1"), soft("r2"), part("a"), part("b"), {KindJob, "j"}, {KindJob, "k"}} {
		b.ask(k, b.now, "")
	}
	b.wakes(b.starts(0, "a", "j", "k", "r1"), slowAfter)
	b.starts(slowAfter - time.Second)
	b.starts(time.Second, "b")
	b.ask(part("c"), b.now, "")
	b.wakes(b.starts(time.Second), slowAfter-time.Second)
	b.ends(part("b"), outcome{})
	b.starts(0, "c")
	b.starts(time.Hour)
	b.ends(soft("r1"), outcome{})
	b.starts(0, "r2")
	for i := range 2 * most {
		b.ask(part(fmt.Sprintf("%03d", i)), b.now, "")
	}
	began := 0
	for range 4 * most {
		b.now = b.now.Add(slowAfter)
		ready, _ := b.start(b.now)
		began += len(ready)
	}
	if began != most-2 {
		t.Errorf("%d partitions at once, want %d", began+2, most)
	}
}

// The pause after failures doubles, up to a quarter of an hour, for promises a minute;
// a change ends it (AGENT-5).
func TestScheduleBackOff(t *testing.T) {
	b := newBench(t, 1)
	for _, test := range []struct {
		o    outcome
		want []time.Duration
	}{
		{outcome{err: errTest}, []time.Duration{5, 10, 20, 40, 80, 160, 320, 640, 900, 900}},
		{outcome{err: errTest, retry: promiseRetry}, []time.Duration{5, 10, 20, 40, 60, 60}},
		{outcome{later: true}, []time.Duration{5, 10, 20, 40, 80}},
	} {
		b.changed(part("a"), b.now, "wanted")
		b.starts(0, "a")
		begin := b.now
		for i, want := range test.want {
			b.ends(part("a"), test.o)
			b.wakes(b.starts(0), want*time.Second)
			a := b.tasks[part("a")]
			if a.failures != i+1 || test.o.err != nil && !a.since.Equal(begin) {
				t.Errorf("%d failures since %s", a.failures, a.since)
			}
			b.starts(want*time.Second, "a")
		}
		b.ends(part("a"), test.o)
		b.changed(part("a"), b.now, "wanted")
		b.starts(0, "a")
		b.ends(part("a"), outcome{})
		if a := b.tasks[part("a")]; a.failures != 0 || a.err != nil {
			t.Errorf("%d failures after success", a.failures)
		}
	}
	// One that says when it is due has no pause.
	b.changed(part("a"), b.now, "wanted")
	b.starts(0, "a")
	b.ends(part("a"), outcome{err: errTest, next: b.now.Add(time.Hour)})
	b.wakes(b.starts(0), time.Hour)
}

// A partition waits for its release, however often it is asked for (AGENT-6).
func TestScheduleWaits(t *testing.T) {
	b := newBench(t, 2)
	b.changed(part("a"), b.now, "wanted")
	b.starts(0, "a")
	b.ends(part("a"), outcome{waits: "r"})
	b.ask(part("a"), b.now, "promises")
	b.wakes(b.starts(time.Second), -1)
	b.release("other", b.now)
	b.starts(0)
	b.release("r", b.now)
	b.starts(0, "a")
	b.ends(part("a"), outcome{waits: "r"})
	b.changed(part("a"), b.now, "wanted: stopped")
	b.starts(0, "a")
}

// Whoever changes something all the time has a minute's worth of runs at once, then one
// each ten seconds (AGENT-9).
func TestScheduleFlood(t *testing.T) {
	b := newBench(t, 1)
	b.changed(part("a"), b.now, "bang")
	for range burst {
		b.starts(0, "a")
		b.changed(part("a"), b.now, "bang")
		b.ends(part("a"), outcome{})
	}
	b.changed(part("b"), b.now, "wanted") // another one has its own
	b.wakes(b.starts(0, "b"), refill)
	b.ends(part("b"), outcome{})
	b.starts(refill, "a")
	b.changed(part("a"), b.now, "bang")
	b.ends(part("a"), outcome{})
	b.wakes(b.starts(time.Second), refill-time.Second)
}

// A clock that steps back delays nothing for longer than it stepped.
func TestScheduleClockStep(t *testing.T) {
	b := newBench(t, 1)
	b.changed(part("a"), b.now, "wanted")
	b.starts(0, "a")
	b.ends(part("a"), outcome{next: b.now.Add(time.Minute)})
	b.wakes(b.starts(-time.Hour), time.Hour+time.Minute)
	b.changed(part("a"), b.now, "wanted")
	b.starts(0, "a")
	b.ends(part("a"), outcome{next: b.now.Add(time.Minute)})
	b.starts(24*time.Hour, "a")
}
