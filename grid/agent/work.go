// SPDX-License-Identifier: GPL-3.0-or-later

package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"slapos/grid/instance"
	"slapos/grid/pass"
	"slapos/grid/report"
	"slapos/grid/software"
	"slapos/slap"
	"slapos/slap/confined"
)

const (
	// promiseFloor is the least time between two runs of a partition's promises: its
	// user writes when they are due.
	promiseFloor = 15 * time.Second
	// passFloor is how often a partition or release whose periodicity is 0 is
	// processed: as often as cron.
	passFloor = time.Minute
)

// untilDestroyed is why a partition is due that is to be destroyed: the master lists it
// until it is, and a process, a lock or a usage report may be waited for.
const untilDestroyed = "until it is destroyed"

// A worker runs tasks. It is used by many goroutines.
type worker struct {
	settings Settings
	locks    *locks
	log      *slog.Logger
	watcher  *watcher
}

// node is what a pass gets: one item of what the master wants.
func (w *worker) node(name string, computer func(context.Context) (*slap.Computer, error), only ...string) pass.Node {
	n := w.settings.Node
	n.Logger = slog.New(&taskHandler{inner: w.log.Handler(), name: name})
	n.Computer, n.Only, n.Progress = computer, only, nil
	return n
}

func constant(computer *slap.Computer) func(context.Context) (*slap.Computer, error) {
	return func(context.Context) (*slap.Computer, error) { return computer, nil }
}

// fail makes an error of a result.
func fail(result pass.Result, err error) error {
	switch {
	case err != nil:
		return err
	case result.Offline:
		return cmp.Or(result.OfflineErr, errOffline)
	case len(result.Failed) > 0:
		return result.Failed[0].Err
	case len(result.Waiting) > 0:
		return result.Waiting[0].Err
	case len(result.PromiseFailed) > 0:
		return result.PromiseFailed[0].Err
	}
	return nil
}

// errOffline is the state of a task that couldn't reach the master.
var errOffline = errors.New("the master can't be reached")

// release installs or removes a release.
func (w *worker) release(ctx context.Context, wanted *slap.SoftwareRelease, waiting func(pid int)) outcome {
	leave, err := w.locks.enter(ctx, w.settings.PIDFiles.Software, waiting)
	if err != nil {
		return outcome{err: err}
	}
	defer leave()
	o := w.settings.Software
	o.Supervisor = w.settings.Supervisor
	o.Node = w.node(wanted.URL, constant(&slap.Computer{
		Reference: w.settings.Node.ComputerID, SoftwareReleases: []*slap.SoftwareRelease{wanted},
	}), wanted.URL)
	return outcome{err: fail(software.Pass(ctx, o))}
}

// partition processes a partition: what changed, or else what is due of it.
func (w *worker) partition(ctx context.Context, known *wanted, force, installed bool, waiting func(pid int)) outcome {
	wanted, err := known.partition()
	if err != nil {
		return outcome{err: err}
	}
	if known.state == slap.StateStarted && installed && !software.IsComplete(w.settings.Node.SoftwareRoot, known.url) {
		return outcome{waits: known.url}
	}
	o := w.settings.Instance
	o.Supervisor, o.Partial = w.settings.Supervisor, true
	computer := &slap.Computer{Reference: w.settings.Node.ComputerID, Partitions: []*slap.Partition{wanted}}
	o.Node = w.node(wanted.Reference, constant(computer), wanted.Reference)
	o.Node.Force = o.Node.Force || force
	result, err := w.instance(ctx, o, waiting)
	if err != nil || result.Offline {
		return outcome{err: fail(result, err)}
	}
	if known.state == slap.StateDestroyed {
		return w.destroy(ctx, o.Node, waiting)
	}
	return w.next(o, wanted, fail(result, nil), len(result.Failed)+len(result.Waiting) == 0)
}

func (w *worker) instance(ctx context.Context, o instance.Options, waiting func(pid int)) (pass.Result, error) {
	leave, err := w.locks.enter(ctx, w.settings.PIDFiles.Instance, waiting)
	if err != nil {
		return pass.Result{}, err
	}
	defer leave()
	return instance.Pass(ctx, o)
}

// destroy empties a partition that was stopped. The master says when it is free.
func (w *worker) destroy(ctx context.Context, node pass.Node, waiting func(pid int)) outcome {
	leave, err := w.locks.enter(ctx, w.settings.PIDFiles.Report, waiting)
	if err != nil {
		return outcome{err: err}
	}
	defer leave()
	o := w.settings.report()
	o.Node = node
	if err := fail(report.Pass(ctx, o)); err != nil {
		return outcome{err: err}
	}
	return outcome{later: true, why: untilDestroyed}
}

// next is when a partition is due after a run, which failed or didn't.
func (w *worker) next(o instance.Options, wanted *slap.Partition, failure error, onlyPromises bool) outcome {
	end := outcome{err: failure}
	calendar, err := instance.Due(o, wanted, func(d *confined.Directory) { w.watcher.visit(wanted.Reference, d) })
	if err != nil {
		end.err = cmp.Or(failure, err)
		return end
	}
	end.names = calendar.Names
	now := w.settings.now()
	if !calendar.Processed {
		if failure != nil {
			if onlyPromises {
				end.retry = promiseRetry
			}
			return end
		}
		// The master gives no timestamp: as often as cron.
		end.next, end.why = now.Add(passFloor), "every minute: the master gives no time stamp"
		return end
	}
	if failure != nil && !onlyPromises {
		return end
	}
	end.next, end.why = now.Add(w.settings.full()), "hourly"
	sooner := func(at time.Time, floor time.Duration, why string) {
		if at.IsZero() {
			return
		}
		if earliest := now.Add(floor); at.Before(earliest) {
			at = earliest
		}
		if at.Before(end.next) {
			end.next, end.why = at, why
		}
	}
	sooner(calendar.Again, passFloor, "its periodicity")
	sooner(calendar.Promises, promiseFloor, "promises")
	return end
}

// sweep does what a pass does beside partitions in use: it tidies up free ones, and
// has the supervisor forget what belongs to nobody.
func (w *worker) sweep(ctx context.Context, free []string, whole bool, waiting func(pid int)) outcome {
	computer := &slap.Computer{Reference: w.settings.Node.ComputerID}
	for _, name := range free {
		computer.Partitions = append(computer.Partitions, &slap.Partition{
			Computer: computer.Reference, Reference: name, RequestedState: slap.StateDestroyed,
		})
	}
	o := w.settings.Instance
	o.Supervisor, o.Partial = w.settings.Supervisor, !whole
	o.Node = w.node(jobSweep, constant(computer))
	return outcome{err: fail(w.instance(ctx, o, waiting))}
}

// offline keeps services running while the master can't be reached, as each pass does.
func (w *worker) offline(ctx context.Context, failure error, waiting func(pid int)) outcome {
	o := w.settings.Instance
	o.Supervisor, o.Partial = w.settings.Supervisor, true
	o.Node = w.node(jobOffline, func(context.Context) (*slap.Computer, error) { return nil, failure })
	result, err := w.instance(ctx, o, waiting)
	if err != nil {
		return outcome{err: err}
	}
	return outcome{err: result.OfflineErr}
}

// report reports usage of all partitions but those that are destroyed on their own.
func (w *worker) report(ctx context.Context, all []*wanted, waiting func(pid int)) outcome {
	computer := &slap.Computer{Reference: w.settings.Node.ComputerID}
	for _, known := range all {
		if known.state == slap.StateDestroyed {
			continue
		}
		partition, err := known.partition()
		if err != nil {
			return outcome{err: err}
		}
		computer.Partitions = append(computer.Partitions, partition)
	}
	leave, err := w.locks.enter(ctx, w.settings.PIDFiles.Report, waiting)
	if err != nil {
		return outcome{err: err}
	}
	defer leave()
	o := w.settings.report()
	o.Node = w.node(jobReport, constant(computer))
	return outcome{err: fail(report.Pass(ctx, o))}
}

// collectGarbage removes releases that the master doesn't list.
func (w *worker) collectGarbage(ctx context.Context, releases []*slap.SoftwareRelease, waiting func(pid int)) outcome {
	leave, err := w.locks.enter(ctx, w.settings.PIDFiles.Software, waiting)
	if err != nil {
		return outcome{err: err}
	}
	defer leave()
	o := w.settings.Software
	o.Supervisor, o.GarbageCollect = w.settings.Supervisor, true
	o.Node = w.node(jobGarbage, constant(&slap.Computer{Reference: w.settings.Node.ComputerID, SoftwareReleases: releases}), "-")
	return outcome{err: fail(software.Pass(ctx, o))}
}

// job runs a job of the settings.
func (w *worker) job(ctx context.Context, job Job) outcome {
	if err := job.Run(ctx); err != nil {
		return outcome{err: fmt.Errorf("%s: %w", job.Name, err)}
	}
	return outcome{}
}
