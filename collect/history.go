// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

// History reads what passes have stored. It never writes, and only needs the
// right to read the database.
type History struct{ store *store }

// OpenHistory opens a database, which must exist.
func OpenHistory(path string) (*History, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("nothing was collected yet: there is no %s (slapos node collect makes it)", path)
	}
	s, err := connect(path, url.Values{"mode": {"ro"}})
	if err != nil {
		return nil, err
	}
	return &History{store: s}, nil
}

// Close closes the database.
func (h *History) Close() error { return h.store.close() }

// Use is what was used in a period, in steps of equal length.
type Use struct {
	From, To   time.Time
	Step       time.Duration
	Passes     int
	Computer   Track
	Partitions []Track // sorted by name, slapuser2 before slapuser10
}

// A Track has a value for each step: the mean of its samples, NaN if there are
// none. CPU of a partition is in percent of one processor, CPU of the computer
// in percent of all; memory and disk are in bytes. The size of a folder counts
// until the next measurement.
type Track struct {
	Name              string
	CPU, Memory, Disk []float64
}

// Read sums up the samples of a period in that many steps. For partitions with
// a control group, CPU and memory are the kernel's counts, for others sums over
// their processes. Without names it reads all partitions.
func (h *History) Read(ctx context.Context, from, to time.Time, steps int, names ...string) (*Use, error) {
	r := &historyReader{
		ctx: ctx, store: h.store,
		use:    &Use{From: from.UTC(), To: to.UTC(), Step: max(time.Second, to.Sub(from)/time.Duration(steps))},
		steps:  steps,
		passes: make([]float64, steps),
		tracks: map[string]*Track{},
		wanted: names,
	}
	for _, read := range []func() error{r.computer, r.processes, r.slices, r.folders} {
		if err := read(); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.SortedFunc(maps.Keys(r.tracks), byNumber) {
		r.use.Partitions = append(r.use.Partitions, *r.tracks[name])
	}
	return r.use, nil
}

// byNumber compares names that may end with a number.
func byNumber(a, b string) int {
	const digits = "0123456789"
	prefix, other := strings.TrimRight(a, digits), strings.TrimRight(b, digits)
	return cmp.Or(cmp.Compare(prefix, other), cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// Day returns the values of a day ("YYYY-MM-DD") as in the csv files.
func (h *History) Day(ctx context.Context, date string) (Series, error) {
	series, err := h.store.systemSeries(ctx, date)
	if err != nil {
		return nil, err
	}
	disks, err := h.store.diskSeries(ctx, date)
	maps.Copy(series, disks)
	return series, err
}

type historyReader struct {
	ctx    context.Context
	store  *store
	use    *Use
	steps  int
	passes []float64 // in each step
	tracks map[string]*Track
	wanted []string
}

func (r *historyReader) track(name string) *Track {
	if r.tracks[name] == nil {
		t := newTrack(name, r.steps)
		r.tracks[name] = &t
	}
	return r.tracks[name]
}

func newTrack(name string, steps int) Track {
	empty := slices.Repeat([]float64{math.NaN()}, steps)
	return Track{Name: name, CPU: empty, Memory: slices.Clone(empty), Disk: slices.Clone(empty)}
}

func (r *historyReader) isWanted(name string) bool {
	return len(r.wanted) == 0 || slices.Contains(r.wanted, name)
}

// step returns the step of a time; false if that is outside the period.
func (r *historyReader) step(moment time.Time) (int, bool) {
	i := int(moment.Sub(r.use.From) / r.use.Step)
	return i, !moment.Before(r.use.From) && i < r.steps
}

// each runs a query on the rows of the period. The query has the conditions on
// date as its first two arguments, and returns name, date, time and two values.
func (r *historyReader) each(text string, row func(name string, moment time.Time, a, b float64)) error {
	var date, clock string
	var moment time.Time
	return r.store.query(r.ctx, func(scan func(...any) error) error {
		var name, newDate, newClock sql.NullString
		var a, b sql.NullFloat64
		if err := scan(&name, &newDate, &newClock, &a, &b); err != nil {
			return err
		}
		if newDate.String != date || newClock.String != clock {
			date, clock = newDate.String, newClock.String
			moment, _ = stampTime(date, clock)
		}
		if r.isWanted(name.String) {
			row(name.String, moment, a.Float64, b.Float64)
		}
		return nil
	}, text, r.use.From.Format(dateLayout), r.use.To.Format(dateLayout))
}

// add adds to the sum of a step.
func add(values []float64, i int, value float64) {
	if math.IsNaN(values[i]) {
		values[i] = 0
	}
	values[i] += value
}

func (r *historyReader) computer() error {
	wanted := r.wanted
	r.wanted = nil
	defer func() { r.wanted = wanted }()
	r.use.Computer = newTrack("computer", r.steps)
	c := &r.use.Computer
	err := r.each("SELECT '', date, time, cpu_percent, memory_used FROM system WHERE date BETWEEN ? AND ?",
		func(_ string, moment time.Time, cpu, memory float64) {
			if i, inside := r.step(moment); inside {
				add(c.CPU, i, cpu)
				add(c.Memory, i, memory)
				r.passes[i]++
				r.use.Passes++
			}
		})
	if err != nil {
		return err
	}
	divide(c.CPU, r.passes)
	divide(c.Memory, r.passes)
	counts := make([]float64, r.steps)
	err = r.each("SELECT '', date, time, SUM(used), 0 FROM disk WHERE date BETWEEN ? AND ? GROUP BY date, time",
		func(_ string, moment time.Time, used, _ float64) {
			if i, inside := r.step(moment); inside {
				add(c.Disk, i, used)
				counts[i]++
			}
		})
	divide(c.Disk, counts)
	return err
}

func divide(values, counts []float64) {
	for i := range values {
		if counts[i] > 0 {
			values[i] /= counts[i]
		}
	}
}

// processes sums up the processes of each pass. A partition without processes
// used nothing in a pass.
func (r *historyReader) processes() error {
	err := r.each(`SELECT partition, date, time, SUM(cpu_percent), SUM(memory_rss) FROM user
		WHERE date BETWEEN ? AND ? GROUP BY partition, date, time`,
		func(name string, moment time.Time, cpu, memory float64) {
			if i, inside := r.step(moment); inside {
				add(r.track(name).CPU, i, cpu)
				add(r.track(name).Memory, i, memory)
			}
		})
	for _, track := range r.tracks {
		for i, passes := range r.passes {
			if passes > 0 {
				add(track.CPU, i, 0)
				add(track.Memory, i, 0)
			}
		}
		divide(track.CPU, r.passes)
		divide(track.Memory, r.passes)
	}
	return err
}

// slices uses the counters of control groups, if there are any: CPU is the
// difference between passes.
func (r *historyReader) slices() error {
	found, err := r.store.strings(r.ctx, "SELECT name FROM sqlite_master WHERE type = 'table' AND name = ?", sliceTable.name)
	if err != nil || len(found) == 0 {
		return err
	}
	type sums struct{ busy, elapsed, memory, count []float64 }
	all := map[string]*sums{}
	var last struct {
		name    string
		moment  time.Time
		seconds float64
	}
	err = r.each("SELECT partition, date, time, cpu_time, memory_used FROM cgroup WHERE date BETWEEN ? AND ? ORDER BY partition, date, time",
		func(name string, moment time.Time, seconds, memory float64) {
			before := last
			last.name, last.moment, last.seconds = name, moment, seconds
			i, inside := r.step(moment)
			if !inside {
				return
			}
			if all[name] == nil {
				all[name] = &sums{busy: make([]float64, r.steps), elapsed: make([]float64, r.steps), memory: make([]float64, r.steps), count: make([]float64, r.steps)}
			}
			s := all[name]
			s.memory[i] += memory
			s.count[i]++
			// If it is lower than before, the group was recreated.
			if elapsed := moment.Sub(before.moment).Seconds(); before.name == name && elapsed > 0 && elapsed <= longest && seconds >= before.seconds {
				s.busy[i] += seconds - before.seconds
				s.elapsed[i] += elapsed
			}
		})
	for name, s := range all {
		track := r.track(name)
		for i := range r.steps {
			if s.elapsed[i] > 0 {
				track.CPU[i] = 100 * s.busy[i] / s.elapsed[i]
			}
			if s.count[i] > 0 {
				track.Memory[i] = s.memory[i] / s.count[i]
			}
		}
	}
	return err
}

// folders uses each size until the next one, starting before the period.
func (r *historyReader) folders() error {
	names, err := r.store.strings(r.ctx, "SELECT DISTINCT partition FROM folder")
	if err != nil {
		return err
	}
	for _, name := range names {
		if r.isWanted(name) {
			r.track(name)
		}
	}
	for name, track := range r.tracks {
		err := r.store.query(r.ctx, func(scan func(...any) error) error {
			var date, clock sql.NullString
			var size sql.NullFloat64
			if err := scan(&date, &clock, &size); err != nil {
				return err
			}
			moment, err := stampTime(date.String, clock.String)
			if i, inside := r.step(moment); err == nil && (inside || moment.Before(r.use.From)) {
				track.Disk[max(i, 0)] = size.Float64 * 1024
			}
			return nil
		}, "SELECT date, time, disk_used FROM folder WHERE partition = ? AND date <= ? ORDER BY date, time", name, r.use.To.Format(dateLayout))
		if err != nil {
			return err
		}
		for i := 1; i < r.steps; i++ {
			if math.IsNaN(track.Disk[i]) {
				track.Disk[i] = track.Disk[i-1]
			}
		}
	}
	return nil
}
