// SPDX-License-Identifier: GPL-3.0-or-later

package agent

import (
	"cmp"
	"slices"
	"time"
)

// A Kind is what a task is about.
type Kind string

// The kinds of tasks. Each has its own places: tasks of one never wait for another's.
const (
	KindRelease   Kind = "release"
	KindPartition Kind = "partition"
	KindJob       Kind = "job"
)

// key names a task.
type key struct {
	kind Kind
	name string
}

const (
	// The back-off of a task that fails: doubled each time, until something changes.
	firstRetry   = 5 * time.Second
	longestRetry = 15 * time.Minute
	// promiseRetry is the longest where only a promise fails, which may pass at any
	// moment; cron comes as often.
	promiseRetry = time.Minute
	// slowAfter is how long a task of a partition keeps its place: after that, another
	// one may run beside it. most is how many of a kind run at all.
	slowAfter = 10 * time.Second
	most      = 64
	// A task may run burst times in a row, then once per refill: what tenants cause is
	// bounded (AGENT-9).
	burst  = 60
	refill = 10 * time.Second
)

// A task is something that is done again and again: a release, a partition, a job.
// The schedule alone changes it.
type task struct {
	key
	due time.Time // zero: when something changes
	why string    // it is due

	running  bool
	began    time.Time
	again    time.Time // when it is to run after this run, if it was asked for meanwhile
	againWhy string
	holder   int  // pid of another agent that this run waits for
	dropped  bool // at its end

	waits string // the release that this partition waits for; it doesn't run until then

	ended    time.Time
	took     time.Duration
	err      error
	failures int // in a row
	since    time.Time
	runs     int

	often bucket // see burst
}

// An outcome is how a run of a task ended.
type outcome struct {
	err   error
	retry time.Duration // the longest back-off; 0: longestRetry
	next  time.Time     // when it is due if nothing changes; zero: never
	why   string
	waits string
	// later means that it is to be tried again, after the pause that a failure has.
	later bool
	// names are the promises and services of a partition.
	names []string
}

// A schedule decides what runs when. It is used by one goroutine, knows no clock, and
// starts nothing by itself.
type schedule struct {
	tasks  map[key]*task
	places map[Kind]int
}

func newSchedule(places map[Kind]int) *schedule {
	return &schedule{tasks: map[key]*task{}, places: places}
}

// ask has a task run at a moment, or earlier if it is due earlier.
func (s *schedule) ask(k key, at time.Time, why string) {
	t := s.tasks[k]
	if t == nil {
		t = &task{key: k, often: bucket{most: burst, every: refill}}
		s.tasks[k] = t
	}
	switch {
	case t.running:
		t.dropped = false
		if t.again.IsZero() || at.Before(t.again) {
			t.again, t.againWhy = at, why
		}
	case t.due.IsZero() || at.Before(t.due):
		t.due, t.why = at, why
	}
}

// changed has a task run at once, whatever failed before.
func (s *schedule) changed(k key, now time.Time, why string) {
	s.ask(k, now, why)
	t := s.tasks[k]
	t.failures, t.waits = 0, ""
}

// drop forgets a task; one that runs is forgotten at its end.
func (s *schedule) drop(k key) {
	if t := s.tasks[k]; t != nil && t.running {
		t.again, t.dropped = time.Time{}, true
		return
	}
	delete(s.tasks, k)
}

// start returns the tasks to start now, in the order in which they were due, marks them
// as running, and says when to ask again; zero: only after a change.
func (s *schedule) start(now time.Time) (ready []*task, wake time.Time) {
	earliest := func(at time.Time) {
		if wake.IsZero() || at.Before(wake) {
			wake = at
		}
	}
	taken, running := map[Kind]int{}, map[Kind]int{}
	var slow []time.Time // when tasks of partitions give up their places
	var due []*task
	held := false // a partition has no place
	for _, t := range s.tasks {
		switch {
		case t.running:
			running[t.kind]++
			if t.kind != KindPartition || now.Sub(t.began) < slowAfter {
				taken[t.kind]++
				if t.kind == KindPartition {
					slow = append(slow, t.began.Add(slowAfter))
				}
			}
		case t.due.IsZero() || t.waits != "":
		case t.due.After(now):
			earliest(t.due)
		default:
			due = append(due, t)
		}
	}
	slices.SortFunc(due, func(a, b *task) int { return cmp.Or(a.due.Compare(b.due), cmp.Compare(a.name, b.name)) })
	for _, t := range due {
		if pause := t.often.wait(now); pause > 0 {
			earliest(now.Add(pause))
			continue
		}
		if t.kind != KindJob && taken[t.kind] >= max(1, s.places[t.kind]) || running[t.kind] >= most {
			held = held || t.kind == KindPartition
			continue
		}
		taken[t.kind]++
		running[t.kind]++
		t.often.take(now)
		t.running, t.began, t.due, t.holder = true, now, time.Time{}, 0
		ready = append(ready, t)
		if t.kind == KindPartition {
			slow = append(slow, now.Add(slowAfter))
		}
	}
	if held && len(slow) > 0 {
		earliest(slices.MinFunc(slow, time.Time.Compare))
	}
	return ready, wake
}

// end notes how a run ended, and when the next one is due.
func (s *schedule) end(t *task, o outcome, now time.Time) {
	t.running, t.holder = false, 0
	t.ended, t.took, t.err, t.waits = now, now.Sub(t.began), o.err, o.waits
	t.runs++
	if t.dropped {
		delete(s.tasks, t.key)
		return
	}
	t.due, t.why = o.next, o.why
	switch {
	case o.later:
		t.failures++
		t.due = now.Add(t.backOff(longestRetry))
	case o.err == nil:
		t.failures = 0
	default:
		if t.failures == 0 {
			t.since = now
		}
		t.failures++
		if o.next.IsZero() {
			t.due, t.why = now.Add(t.backOff(cmp.Or(o.retry, longestRetry))), "failed"
		}
	}
	if !t.again.IsZero() {
		at, why := t.again, t.againWhy
		t.again, t.againWhy = time.Time{}, ""
		s.ask(t.key, at, why)
	}
}

// backOff is the pause after a failure.
func (t *task) backOff(longest time.Duration) time.Duration {
	pause := firstRetry
	for n := 1; n < t.failures && pause < longest; n++ {
		pause *= 2
	}
	return min(pause, longest)
}

// release lets the partitions run that wait for a release.
func (s *schedule) release(url string, now time.Time) {
	for _, t := range s.tasks {
		if t.waits == url && url != "" {
			t.waits = ""
			s.ask(t.key, now, "its release is there")
		}
	}
}

// list returns the tasks in order.
func (s *schedule) list() []*task {
	list := make([]*task, 0, len(s.tasks))
	for _, t := range s.tasks {
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b *task) int {
		return cmp.Or(cmp.Compare(order[a.kind], order[b.kind]), cmp.Compare(len(a.name), len(b.name)), cmp.Compare(a.name, b.name))
	})
	return list
}

var order = map[Kind]int{KindJob: 0, KindRelease: 1, KindPartition: 2}
