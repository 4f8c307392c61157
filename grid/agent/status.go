// SPDX-License-Identifier: GPL-3.0-or-later

package agent

import (
	"context"
	"fmt"
	"os"
	"time"
)

// A Status is what an agent does, as `slapos node status --json` shows it.
type Status struct {
	PID    int          `json:"pid"`
	Since  time.Time    `json:"since"`
	Time   time.Time    `json:"time"`
	Master MasterStatus `json:"master"`
	// Watching is why files that appear are looked for each minute; "" if the kernel
	// tells of them.
	Unwatched string       `json:"unwatched,omitempty"`
	Tasks     []TaskStatus `json:"tasks"`
	// Free is how many partitions are free.
	Free int `json:"free_partitions"`
}

// MasterStatus is how the agent stands with the master.
type MasterStatus struct {
	URL string `json:"url"`
	// Mode is "wait" for a master that tells of changes, "poll" for another one,
	// "asking" before the first answer, and "offline".
	Mode     string     `json:"mode"`
	Every    float64    `json:"seconds"` // that a request waits, or between two polls
	Answered *time.Time `json:"answered"`
	Error    string     `json:"error,omitempty"`
	Since    *time.Time `json:"since,omitempty"` // of the error
}

// TaskStatus is a release, a partition or a job.
type TaskStatus struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
	// State is "running", "due", "waiting" for a release, or "idle".
	State string `json:"state"`
	// Why it runs or is due, or what it waits for.
	Why string     `json:"why,omitempty"`
	Due *time.Time `json:"due"`
	// Began and Ended are of the last run.
	Began   *time.Time `json:"began"`
	Ended   *time.Time `json:"ended"`
	Seconds float64    `json:"seconds"` // that it took
	Error   string     `json:"error,omitempty"`
	// Failures in a row, since when.
	Failures int        `json:"failures"`
	Failing  *time.Time `json:"failing,omitempty"`
	Runs     int        `json:"runs"`
	// Holder is the pid of another slapos process that the run waits for.
	Holder int `json:"holder,omitempty"`
}

// Failed counts the tasks that fail.
func (s *Status) Failed() (count int) {
	for _, t := range s.Tasks {
		if t.Error != "" {
			count++
		}
	}
	return count
}

// Status asks the loop how things are.
func (a *Agent) Status(ctx context.Context) (*Status, error) {
	answer := make(chan *Status, 1)
	event := func(now time.Time) { answer <- a.status(now) }
	select {
	case a.events <- event:
	case <-a.ended:
		return nil, fmt.Errorf("the agent is stopping")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return <-answer, nil
}

func (a *Agent) status(now time.Time) *Status {
	s := &Status{PID: os.Getpid(), Since: a.begun, Time: now, Master: a.masterStatus(), Tasks: []TaskStatus{}}
	if err := a.watcher.problem(); err != nil {
		s.Unwatched = err.Error()
	}
	for _, known := range a.partitions {
		if known.isFree() {
			s.Free++
		}
	}
	for _, t := range a.schedule.list() {
		if t.name == jobOffline && t.kind == KindJob && !t.running && t.due.IsZero() {
			continue
		}
		s.Tasks = append(s.Tasks, a.taskStatus(t))
	}
	return s
}

func (a *Agent) masterStatus() MasterStatus {
	m := MasterStatus{URL: a.settings.Node.Master.MasterURL(), Mode: "poll", Every: a.settings.Poll.Seconds(), Answered: moment(a.master.answered)}
	switch {
	case a.master.err != nil:
		m.Mode, m.Error, m.Since = "offline", a.hide(a.master.err), moment(a.master.since)
	case a.master.answered.IsZero():
		m.Mode, m.Every = "asking", 0
	case a.master.waits:
		m.Mode, m.Every = "wait", a.master.wait.Seconds()
	}
	return m
}

func (a *Agent) taskStatus(t *task) TaskStatus {
	s := TaskStatus{
		Kind: t.kind, Name: a.hideText(t.name), State: "idle", Why: t.why, Due: moment(t.due), Began: moment(t.began), Ended: moment(t.ended),
		Seconds: t.took.Seconds(), Failures: t.failures, Runs: t.runs, Holder: t.holder,
	}
	switch {
	case t.running:
		s.State = "running"
	case t.waits != "":
		s.State, s.Why = "waiting", "for its release "+a.hideText(t.waits)
	case !t.due.IsZero():
		s.State = "due"
	default:
		s.Why = ""
	}
	if t.err != nil {
		s.Error, s.Failing = a.hide(t.err), moment(t.since)
	}
	return s
}

// hide leaves secrets out of an error.
func (a *Agent) hide(err error) string { return a.hideText(err.Error()) }

func (a *Agent) hideText(text string) string {
	if a.settings.Node.Hide == nil {
		return text
	}
	return a.settings.Node.Hide(text)
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.Round(0)
	return &t
}

// notify tells the service manager a line, when it has changed.
func (a *Agent) notify() {
	if a.options.Notify == nil {
		return
	}
	running, failing := 0, 0
	for _, t := range a.schedule.tasks {
		if t.running {
			running++
		}
		if t.err != nil {
			failing++
		}
	}
	m := a.masterStatus()
	line := fmt.Sprintf("master: %s; %d running, %d failing", m.Mode, running, failing)
	if line != a.told {
		a.told = line
		a.options.Notify(line)
	}
}
