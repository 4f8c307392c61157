// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sort"
	"strings"

	"slapos/grid/buildout"
	"slapos/grid/pass"
	"slapos/promise"
	"slapos/slap"
)

// InstancePass brings the partitions of this node to the states that the master
// wants (GRID-40 to GRID-60). A partition that fails is reported to the master
// and in the result. When the master can't be reached, what runs is kept
// running (GRID-70), which the result tells as well. The error is that of the
// pass itself, which could not begin or was interrupted.
func InstancePass(ctx context.Context, options Options) (pass.Result, error) {
	p := newNode(options)
	defer p.close()
	result, err := p.processInstances(ctx)
	if ctx.Err() != nil {
		return result, ctx.Err()
	}
	if err != nil && isOffline(err) {
		p.Logger.Error(err.Error())
		result.Offline, result.OfflineErr = true, p.workOffline(ctx)
		if result.OfflineErr != nil {
			p.Logger.Error(fmt.Sprintf("Error in offline mode while starting partitions: %v", result.OfflineErr))
		}
		return result, nil
	}
	return result, err
}

func (p *node) processInstances(ctx context.Context) (pass.Result, error) {
	p.Logger.Info("Processing computer partitions...")
	if err := p.supervision.Start(ctx); err != nil {
		return pass.Result{}, err
	}
	p.supervision.FindIdle(ctx)
	partitions, err := p.openWanted(ctx)
	if err != nil {
		return pass.Result{}, err
	}
	failures := make([]error, len(partitions))
	p.Progress.Plan(len(partitions))
	err = p.each(ctx, len(partitions), func(ctx context.Context, i int, log *slog.Logger) error {
		t := partitions[i]
		defer t.close()
		p.Progress.Begin(t.id.Partition)
		defer p.Progress.End(t.id.Partition)
		t.log = log.With("partition", t.id.Partition)
		failures[i] = t.process(ctx)
		if isOffline(failures[i]) {
			return failures[i]
		}
		if failures[i] != nil {
			t.reportFailure(ctx, failures[i])
		}
		return nil
	})
	for _, t := range partitions {
		t.close()
	}
	result := sortFailures(partitions, failures)
	if err != nil {
		return result, err
	}
	if err := p.supervision.Finish(ctx); err != nil {
		p.Logger.Warn(err.Error())
	}
	if len(p.Only) == 0 && len(result.Failed) == 0 {
		if err := p.supervision.NoteSeen(); err != nil {
			p.Logger.Warn(err.Error())
		}
	}
	result.LogSummary(p.Logger)
	return result, nil
}

// openWanted opens the partitions to be processed: those that are not free, and
// that Only names if it names any.
func (p *node) openWanted(ctx context.Context) ([]*partition, error) {
	computer, err := p.Master.FullComputerInformation(ctx, p.ComputerID)
	if err != nil {
		return nil, err
	}
	if err := checkNames(p.Only, computer.Partitions); err != nil {
		return nil, err
	}
	var chosen []*partition
	for _, t := range p.openProcessed(ctx, computer.Partitions) {
		if len(p.Only) > 0 && !slices.Contains(p.Only, t.id.Partition) {
			t.close()
			continue
		}
		chosen = append(chosen, t)
	}
	return chosen, nil
}

// checkNames refuses names that the master doesn't know (GRID-41).
func checkNames(names []string, partitions []*slap.Partition) error {
	known := map[string]bool{}
	for _, partition := range partitions {
		known[partition.Reference] = true
	}
	var unknown []string
	for _, name := range names {
		if !known[name] && !slices.Contains(unknown, name) {
			unknown = append(unknown, name)
		}
	}
	sort.Strings(unknown)
	switch len(unknown) {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("Unknown partition: %s", unknown[0])
	}
	return fmt.Errorf("Unknown partitions: %s", strings.Join(unknown, ", "))
}

// reportFailure tells the log and the master. The log has the output of a
// build already (GRID-54).
func (t *partition) reportFailure(ctx context.Context, failure error) {
	var failed *buildout.Error
	if !errors.As(failure, &failed) {
		t.log.Error(failure.Error())
	}
	t.node.tellInstanceError(ctx, t.log, t.id, failure)
}

// sortFailures tells failed promises from other failures.
func sortFailures(partitions []*partition, failures []error) pass.Result {
	var result pass.Result
	for i, failure := range failures {
		if failure == nil {
			continue
		}
		f := pass.Failure{Item: partitions[i].id.Partition, Type: softwareType(partitions[i].wanted), Err: failure}
		var failed *promise.Error
		if errors.As(failure, &failed) {
			result.PromiseFailed = append(result.PromiseFailed, f)
		} else {
			result.Failed = append(result.Failed, f)
		}
	}
	return result
}
