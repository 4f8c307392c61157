// SPDX-License-Identifier: GPL-3.0-or-later

// Package report reports to the master what a node and its instances used, and
// destroys instances as the master wants. [Pass] does the one, then the other:
//
//	each partition:  scripts in etc/report ─ usage reports are collected
//	all partitions:  one report of the computer ─ sent ─ the files that it was made of go
//	each partition that is to be destroyed:
//
//	  stop ─ certificate ─ tell stopped ─ managers ─┬─ usage unsent: later
//	                                                ├─ a process is waited for: later
//	                                                ├─ retention lock: later
//	                                                │
//	    ┌───────────────────────────────────────────┘
//	    └ destroy script ─ services ─ certificate goes ─ data disks ─ directory is empty
//	                                                                       │
//	      free ─────────────────────────────────────────── tell destroyed ─┘
//
// Later means in one of the next reports, and is not a failure. The next report
// also continues an interrupted destruction, wherever that was: the master
// lists the partition until it is reported destroyed.
package report

import (
	"context"
	"errors"
	"log/slog"

	"slapos/grid/partition"
	"slapos/grid/pass"
	"slapos/grid/supervision"
	"slapos/slap/confined"
)

// Options configure [Pass]. Empty optional fields mean none, unless said otherwise.
type Options struct {
	Node       pass.Node
	Supervisor supervision.Options
	// CertificateRepository is the directory of the partitions' keys and
	// certificates; if empty, partitions have none.
	CertificateRepository string
	// StorageHome is the root of data disks, absolute.
	StorageHome string
}

// Pass reports what the computer and its partitions used, and destroys the
// partitions that the master wants destroyed (GRID-83). It reports a failed
// partition to the master and in the result. The error is the pass's own: it
// could not begin, or was interrupted.
func Pass(ctx context.Context, options Options) (pass.Result, error) {
	r := newReport(options)
	defer r.close()
	if err := r.supervision.Start(ctx); err != nil {
		return pass.Result{}, err
	}
	computer, err := r.node.Computer(ctx)
	if err != nil {
		return pass.Result{}, err
	}
	opener := r.opener()
	defer opener.Close()
	for _, opened := range opener.OpenProcessed(ctx, computer.Partitions) {
		defer opened.Close()
		r.partitions = append(r.partitions, r.newPartition(opened))
	}
	r.failed = append(r.failed, opener.Refused...)
	r.node.Logger.Info("Aggregating and sending usage reports...")
	if err := r.run(ctx); err != nil {
		return r.result(), err
	}
	r.node.Logger.Info("Finished usage reports.")
	return r.result(), nil
}

// A report is one run of Pass.
type report struct {
	options     Options
	node        *pass.Node // of options
	supervision *supervision.Supervision
	partitions  []*reportedPartition
	failed      []pass.Failure // of the computer, or of partitions that aren't open
}

func newReport(options Options) *report {
	options.Node = options.Node.WithDefaults()
	r := &report{options: options, node: &options.Node}
	r.supervision = supervision.New(r.node.InstanceRoot, options.Supervisor, r.node.Logger)
	return r
}

func (r *report) close() { r.supervision.Close() }

func (r *report) opener() *partition.Opener {
	return &partition.Opener{Node: r.node, Supervision: r.supervision, CertificateRepository: r.options.CertificateRepository}
}

// A reportedPartition is a partition, its usage, and what failed.
type reportedPartition struct {
	*partition.Partition
	options  *Options
	usage    collectedUsage
	failures []error
}

func (r *report) newPartition(opened *partition.Partition) *reportedPartition {
	return &reportedPartition{Partition: opened, options: &r.options, usage: collectedUsage{partition: opened}}
}

// run does the report in order: scripts and collection, one call to send the
// usage of all partitions, then destruction.
func (r *report) run(ctx context.Context) error {
	shared, err := r.openSharedUsage()
	if err != nil {
		return err
	}
	if shared != nil {
		defer shared.Close()
	}
	err = r.eachPartition(ctx, func(p *reportedPartition, ctx context.Context) error {
		return errors.Join(p.runReportScripts(ctx), p.usage.collect(shared))
	})
	if err != nil {
		return err
	}
	r.send(ctx, shared)
	return r.eachPartition(ctx, (*reportedPartition).retire)
}

// send sends what was collected. A failure that concerns all partitions counts
// as the last one's, which is then not destroyed (GRID-83).
func (r *report) send(ctx context.Context, shared *confined.Directory) {
	var err error
	if len(r.node.Only) == 0 {
		err = r.sendComputerUsage(ctx, shared)
	}
	if err != nil {
		r.node.Logger.Error(err.Error())
		r.failed = append(r.failed, pass.Failure{Item: r.node.ComputerID, Err: err})
	}
	var collected []*collectedUsage
	for _, p := range r.partitions {
		collected = append(collected, &p.usage)
	}
	if err := r.sendUsage(ctx, collected); err != nil {
		last := r.partitions[len(r.partitions)-1]
		last.usage.unsent = true
		last.fail(ctx, err)
	}
	for _, p := range r.partitions {
		if p.usage.refused != nil {
			p.fail(ctx, p.usage.refused)
		}
	}
}

// eachPartition does some work for all partitions, several at once. A failure
// in one doesn't affect the others.
func (r *report) eachPartition(ctx context.Context, work func(*reportedPartition, context.Context) error) error {
	return r.node.Each(ctx, len(r.partitions), func(ctx context.Context, i int, log *slog.Logger) error {
		p := r.partitions[i]
		p.LogTo(log)
		if err := work(p, ctx); err != nil {
			p.fail(ctx, err)
		}
		return ctx.Err()
	})
}

// fail reports a failure to the log and the master.
func (p *reportedPartition) fail(ctx context.Context, failure error) {
	p.failures = append(p.failures, failure)
	p.Log.Error(failure.Error())
	p.ReportError(ctx, failure)
}

func (r *report) result() pass.Result {
	result := pass.Result{Failed: r.failed}
	for _, p := range r.partitions {
		if err := errors.Join(p.failures...); err != nil {
			result.Failed = append(result.Failed, pass.Failure{Item: p.ID.Partition, Type: p.SoftwareType(), Err: err})
		}
	}
	return result
}
