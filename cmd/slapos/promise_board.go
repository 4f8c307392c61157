// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"slices"
	"strings"
	"sync"
	"time"

	"slapos/promise"
)

// A promiseBoard collects how the promises of partitions come out. It implements
// instance.PromiseObserver.
type promiseBoard struct {
	now     func() time.Time
	changed chan struct{} // has a value when there is something to draw
	// hasColor says that the table may have colours.
	hasColor bool

	mu         sync.Mutex
	partitions []*boardPartition // sorted by name
	seen       map[string]bool   // partitions of this round
	began      time.Time         // of the present round, zero between rounds
	ended      time.Time         // of the last round
	err        error             // of the last round
}

type boardPartition struct {
	board    *promiseBoard
	name     string
	promises []boardPromise
	report   promise.Report
	err      error // that kept promises from running
}

type boardPromise struct {
	promise.Result
	running bool
}

func newPromiseBoard(now func() time.Time) *promiseBoard {
	return &promiseBoard{now: now, changed: make(chan struct{}, 1), seen: map[string]bool{}}
}

func (b *promiseBoard) notify() {
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// begin starts a round.
func (b *promiseBoard) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.began, b.seen = b.now(), map[string]bool{}
	b.notify()
}

// end ends it. Partitions that it did not meet are gone, unless it failed.
func (b *promiseBoard) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.began, b.ended, b.err = time.Time{}, b.now(), err
	if err == nil {
		b.partitions = slices.DeleteFunc(b.partitions, func(p *boardPartition) bool { return !b.seen[p.name] })
	}
	b.notify()
}

// Partition begins the promises of a partition.
func (b *promiseBoard) Partition(name string) promise.Observer {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen[name] = true
	at, found := slices.BinarySearchFunc(b.partitions, name, func(p *boardPartition, name string) int { return strings.Compare(p.name, name) })
	if !found {
		b.partitions = slices.Insert(b.partitions, at, &boardPartition{board: b, name: name})
	}
	return b.partitions[at]
}

// Finished records the outcome of a partition's promises.
func (b *promiseBoard) Finished(partition string, report promise.Report, err error) {
	p := b.Partition(partition).(*boardPartition)
	b.mu.Lock()
	defer b.mu.Unlock()
	p.report, p.err = report, nil
	if _, isPromise := err.(*promise.Error); !isPromise {
		p.err = err
	}
	p.promises = make([]boardPromise, len(report.Promises))
	for i, result := range report.Promises {
		p.promises[i].Result = result
	}
	b.notify()
}

// Listed records which promises a partition has.
func (p *boardPartition) Listed(promises []promise.Result) {
	p.board.mu.Lock()
	defer p.board.mu.Unlock()
	p.promises = make([]boardPromise, len(promises))
	for i, result := range promises {
		p.promises[i] = boardPromise{Result: result, running: !result.Skipped}
	}
	p.board.notify()
}

// Ended records the result of a promise.
func (p *boardPartition) Ended(result promise.Result) {
	p.board.mu.Lock()
	defer p.board.mu.Unlock()
	for i := range p.promises {
		if p.promises[i].Path == result.Path {
			p.promises[i] = boardPromise{Result: result, running: false}
		}
	}
	p.board.notify()
}

// failed counts promises that failed and partitions whose promises could not run.
func (b *promiseBoard) failed() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	failed := 0
	for _, p := range b.partitions {
		failed += p.report.Failed
		if p.err != nil {
			failed++
		}
	}
	return failed
}

// The document is what --json writes.
type promiseDocument struct {
	Partitions []partitionDocument `json:"partitions"`
	Failed     int                 `json:"failed"`
}

type partitionDocument struct {
	Partition string           `json:"partition"`
	Checked   int              `json:"checked"`
	Skipped   int              `json:"skipped"` // not due, or disabled
	Failed    int              `json:"failed"`
	Duration  float64          `json:"duration"` // seconds
	Error     *string          `json:"error"`    // that kept promises from running
	Promises  []resultDocument `json:"promises"`
}

type resultDocument struct {
	Title    string     `json:"title"`
	Name     string     `json:"name"`
	Path     string     `json:"path"`
	Kind     string     `json:"kind"` // plugin or executable
	Failed   bool       `json:"failed"`
	Skipped  bool       `json:"skipped"`
	Date     *time.Time `json:"date"`     // null: it has no result
	Duration float64    `json:"duration"` // seconds
	Message  string     `json:"message"`
}

func (b *promiseBoard) document() promiseDocument {
	document := promiseDocument{Partitions: []partitionDocument{}, Failed: b.failed()}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.partitions {
		d := partitionDocument{Partition: p.name, Checked: p.report.Checked, Skipped: p.report.Skipped,
			Failed: p.report.Failed, Duration: p.report.Duration.Seconds(), Promises: []resultDocument{}}
		if p.err != nil {
			text := p.err.Error()
			d.Error = &text
		}
		for _, r := range p.promises {
			result := resultDocument{Title: r.Title, Name: r.Name, Path: r.Path, Kind: r.Kind.String(),
				Failed: r.Failed, Skipped: r.Skipped, Duration: r.Duration.Seconds(), Message: r.Message}
			if !r.Date.IsZero() {
				result.Date = &r.Date
			}
			d.Promises = append(d.Promises, result)
		}
		document.Partitions = append(document.Partitions, d)
	}
	return document
}
