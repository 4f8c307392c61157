// SPDX-License-Identifier: GPL-3.0-or-later

// Package board keeps how the promises of partitions come out, round by round,
// and shows it: as a table, once or drawn anew on a terminal at each change, as a
// document for JSON, as metrics for node_exporter.
//
//	b := board.New(time.Now)
//	b.Begin()                      // a pass that has b for its observer
//	b.End(err)
//	b.Table(0)                     // or [Board.Draw], [Board.Document], [Board.WriteMetrics]
package board

import (
	"slices"
	"strings"
	"sync"
	"time"

	"slapos/promise"
)

// A Board collects how the promises of partitions come out. It implements
// instance.PromiseObserver.
type Board struct {
	now     func() time.Time
	changed chan struct{} // has a value when there is something to draw
	// HasColor says that the table may have colours.
	HasColor bool

	mu         sync.Mutex
	partitions []*partition    // sorted by name
	seen       map[string]bool // partitions of this round
	began      time.Time       // of the present round, zero between rounds
	ended      time.Time       // of the last round
	err        error           // of the last round
}

type partition struct {
	board    *Board
	name     string
	promises []shownPromise
	report   promise.Report
	err      error // that kept promises from running
}

type shownPromise struct {
	promise.Result
	running bool
}

// New returns a board without results.
func New(now func() time.Time) *Board {
	return &Board{now: now, changed: make(chan struct{}, 1), seen: map[string]bool{}}
}

func (b *Board) notify() {
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// Begin starts a round.
func (b *Board) Begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.began, b.seen = b.now(), map[string]bool{}
	b.notify()
}

// End ends it. Partitions that it did not meet are gone, unless it failed.
func (b *Board) End(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.began, b.ended, b.err = time.Time{}, b.now(), err
	if err == nil {
		b.partitions = slices.DeleteFunc(b.partitions, func(p *partition) bool { return !b.seen[p.name] })
	}
	b.notify()
}

// Partition begins the promises of a partition.
func (b *Board) Partition(name string) promise.Observer {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen[name] = true
	at, found := slices.BinarySearchFunc(b.partitions, name, func(p *partition, name string) int { return strings.Compare(p.name, name) })
	if !found {
		b.partitions = slices.Insert(b.partitions, at, &partition{board: b, name: name})
	}
	return b.partitions[at]
}

// Finished records the outcome of a partition's promises.
func (b *Board) Finished(name string, report promise.Report, err error) {
	p := b.Partition(name).(*partition)
	b.mu.Lock()
	defer b.mu.Unlock()
	p.report, p.err = report, nil
	if _, isPromise := err.(*promise.Error); !isPromise {
		p.err = err
	}
	p.promises = make([]shownPromise, len(report.Promises))
	for i, result := range report.Promises {
		p.promises[i].Result = result
	}
	b.notify()
}

// Listed records which promises a partition has.
func (p *partition) Listed(promises []promise.Result) {
	p.board.mu.Lock()
	defer p.board.mu.Unlock()
	p.promises = make([]shownPromise, len(promises))
	for i, result := range promises {
		p.promises[i] = shownPromise{Result: result, running: !result.Skipped}
	}
	p.board.notify()
}

// Ended records the result of a promise.
func (p *partition) Ended(result promise.Result) {
	p.board.mu.Lock()
	defer p.board.mu.Unlock()
	for i := range p.promises {
		if p.promises[i].Path == result.Path {
			p.promises[i] = shownPromise{Result: result, running: false}
		}
	}
	p.board.notify()
}

// Failed counts promises that failed and partitions whose promises could not run.
func (b *Board) Failed() int {
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

// A Document is the board as JSON.
type Document struct {
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

// Document returns the board as it is.
func (b *Board) Document() Document {
	document := Document{Partitions: []partitionDocument{}, Failed: b.Failed()}
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
