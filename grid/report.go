// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"context"
	"errors"
	"log/slog"

	"slapos/grid/pass"
	"slapos/slap/confined"
)

// ReportPass sends what the computer and its partitions used to the master,
// and destroys the partitions that the master wants destroyed (GRID-83). A
// partition that fails is reported to the master and in the result; the error
// is that of the pass itself, which could not begin or was interrupted.
func ReportPass(ctx context.Context, options Options) (pass.Result, error) {
	p := newNode(options)
	defer p.close()
	if err := p.supervision.Start(ctx); err != nil {
		return pass.Result{}, err
	}
	computer, err := p.Master.FullComputerInformation(ctx, p.ComputerID)
	if err != nil {
		return pass.Result{}, err
	}
	r := &report{node: p}
	for _, t := range p.openProcessed(ctx, computer.Partitions) {
		defer t.close()
		r.partitions = append(r.partitions, &reportedPartition{collectedUsage: collectedUsage{partition: t}})
	}
	p.Logger.Info("Aggregating and sending usage reports...")
	if err := r.run(ctx); err != nil {
		return r.result(), err
	}
	p.Logger.Info("Finished usage reports.")
	return r.result(), nil
}

// A report is one run of it.
type report struct {
	*node
	partitions []*reportedPartition
	failed     []pass.Failure // that are of no partition
}

// A reportedPartition is a partition, what was used in it, and what failed.
type reportedPartition struct {
	collectedUsage
	failures []error
}

// run is the report in its order: scripts and collection, what is sent, which
// is one call for all partitions, then destruction.
func (r *report) run(ctx context.Context) error {
	shared, err := r.openSharedUsage()
	if err != nil {
		return err
	}
	if shared != nil {
		defer shared.Close()
	}
	err = r.eachPartition(ctx, func(u *reportedPartition, ctx context.Context) error {
		return errors.Join(u.partition.runReportScripts(ctx), u.collect(shared))
	})
	if err != nil {
		return err
	}
	r.send(ctx, shared)
	return r.eachPartition(ctx, (*reportedPartition).retire)
}

// send sends what was collected. A failure that concerns all partitions is told
// as that of the last one, which is not destroyed then (GRID-83).
func (r *report) send(ctx context.Context, shared *confined.Directory) {
	if err := r.sendComputerUsage(ctx, shared); err != nil {
		r.Logger.Error(err.Error())
		r.failed = append(r.failed, pass.Failure{Item: r.ComputerID, Err: err})
	}
	var collected []*collectedUsage
	for _, u := range r.partitions {
		collected = append(collected, &u.collectedUsage)
	}
	if err := r.sendUsage(ctx, collected); err != nil {
		last := r.partitions[len(r.partitions)-1]
		last.unsent = true
		last.fail(ctx, err)
	}
	for _, u := range r.partitions {
		if u.refused != nil {
			u.fail(ctx, u.refused)
		}
	}
}

// eachPartition does some work for all partitions, several at once. The
// failure of one concerns no other.
func (r *report) eachPartition(ctx context.Context, work func(*reportedPartition, context.Context) error) error {
	return r.each(ctx, len(r.partitions), func(ctx context.Context, i int, log *slog.Logger) error {
		u := r.partitions[i]
		u.partition.log = log.With("partition", u.partition.id.Partition)
		if err := work(u, ctx); err != nil {
			u.fail(ctx, err)
		}
		return ctx.Err()
	})
}

// fail tells the log and the master of a failure.
func (u *reportedPartition) fail(ctx context.Context, failure error) {
	u.failures = append(u.failures, failure)
	t := u.partition
	t.log.Error(failure.Error())
	t.node.tellInstanceError(ctx, t.log, t.id, failure)
}

func (r *report) result() pass.Result {
	result := pass.Result{Failed: r.failed}
	for _, u := range r.partitions {
		if err := errors.Join(u.failures...); err != nil {
			t := u.partition
			result.Failed = append(result.Failed, pass.Failure{Item: t.id.Partition, Type: softwareType(t.wanted), Err: err})
		}
	}
	return result
}
