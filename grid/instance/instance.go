// SPDX-License-Identifier: GPL-3.0-or-later

// Package instance brings the partitions of a node into the states that the
// master wants, and runs their promises. [Pass] gets the list from the master
// and works on up to Jobs partitions at once; [PromisePass] only runs promises.
//
// This is what a pass does with a partition. It depends on the wanted state and
// on whether .timestamp says that it has been reached (GRID-43 to GRID-60):
//
//	                        ┌ started: promises, in anomaly mode
//	         ┌ up to date ──┴ other: nothing ──────────────────────────┐
//	managers─┤                                                         ├─ managers
//	         └ changed: .timestamp goes                                │
//	             started:   certificate ─ install ─ start ─ firewall   │
//	                          ─ promises ─ tell started ─ tell requests┤
//	             stopped:   certificate ─ install ─ firewall           │
//	                          ─ stop ─ tell stopped ─ tell requests ───┤
//	             destroyed: certificate ─ stop ─ no firewall           │
//	                          ─ tell stopped ──────────────────────────┤
//	                                                                   │
//	             success: .timestamp is written, after the managers ───┘
//
// A partition is up to date by its .timestamp, which is removed before
// everything else and written after it. So if an agent is killed in between,
// the next pass does everything again. A destroyed partition is only stopped
// here; package report empties it. Without a master, running services are kept
// running.
package instance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sort"
	"strings"

	"slapos/grid/buildout"
	"slapos/grid/firewall"
	"slapos/grid/partition"
	"slapos/grid/pass"
	"slapos/grid/supervision"
	"slapos/promise"
	"slapos/slap"
)

// An instancePass is one pass over the partitions.
type instancePass struct {
	options     Options
	node        *pass.Node // of options
	supervision *supervision.Supervision
	partitions  *partition.Opener
	firewall    *firewall.Firewall // nil: partitions have no rules
	releases    releases
}

func newPass(options Options) *instancePass {
	options.Node = options.Node.WithDefaults()
	p := &instancePass{options: options, node: &options.Node}
	p.supervision = supervision.New(p.node.InstanceRoot, options.Supervisor, p.node.Logger)
	p.partitions = &partition.Opener{
		Node: p.node, Supervision: p.supervision, CertificateRepository: options.CertificateRepository,
	}
	if options.Firewall != nil {
		p.firewall = firewall.New(*options.Firewall, p.node.Environment, p.node.Logger)
	}
	p.releases = newReleases(p.node.SoftwareRoot, options.MaximumPeriodicity, p.node.Logger)
	return p
}

func (p *instancePass) close() {
	p.supervision.Close()
	p.partitions.Close()
	p.releases.close()
}

// Pass brings the partitions of this node into the states that the master wants
// (GRID-40 to GRID-60). It reports a failed partition to the master and in the
// result. If the master is unreachable, it keeps running services running
// (GRID-70), and the result says so. The error is the pass's own: it could not
// begin, or was interrupted.
func Pass(ctx context.Context, options Options) (pass.Result, error) {
	p := newPass(options)
	defer p.close()
	result, err := p.process(ctx)
	if ctx.Err() != nil {
		return result, ctx.Err()
	}
	if err != nil && pass.IsOffline(err) {
		p.node.Logger.Error(err.Error())
		result.Offline, result.OfflineErr = true, p.workOffline(ctx)
		if result.OfflineErr != nil {
			p.node.Logger.Error(fmt.Sprintf("Error in offline mode while starting partitions: %v", result.OfflineErr))
		}
		return result, nil
	}
	return result, err
}

func (p *instancePass) process(ctx context.Context) (pass.Result, error) {
	p.node.Logger.Info("Processing computer partitions...")
	if err := p.supervision.Start(ctx); err != nil {
		return pass.Result{}, err
	}
	p.supervision.FindIdle(ctx)
	deployments, err := p.openWanted(ctx)
	if err != nil {
		return pass.Result{}, err
	}
	failures := make([]error, len(deployments))
	p.node.Progress.Plan(len(deployments))
	err = p.node.Each(ctx, len(deployments), func(ctx context.Context, i int, log *slog.Logger) error {
		d := deployments[i]
		defer d.Close()
		p.node.Progress.Begin(d.ID.Partition)
		defer p.node.Progress.End(d.ID.Partition)
		d.LogTo(log)
		failures[i] = d.process(ctx)
		if pass.IsOffline(failures[i]) {
			return failures[i]
		}
		if failures[i] != nil {
			failures[i] = d.reportFailure(ctx, failures[i])
		}
		return nil
	})
	for _, d := range deployments {
		d.Close()
	}
	result := sortFailures(deployments, failures)
	result.Failed = append(p.partitions.Refused, result.Failed...)
	if err != nil {
		return result, err
	}
	if err := p.supervision.Finish(ctx); err != nil {
		p.node.Logger.Warn(err.Error())
	}
	if len(p.node.Only) == 0 && !p.options.Partial && len(result.Failed)+len(result.Waiting) == 0 {
		if err := p.supervision.NoteSeen(); err != nil {
			p.node.Logger.Warn(err.Error())
		}
	}
	result.LogSummary(p.node.Logger)
	return result, nil
}

// openWanted opens the partitions to process: those that are not free and that
// Only names, if it names any.
func (p *instancePass) openWanted(ctx context.Context) ([]*deployment, error) {
	computer, err := p.node.Computer(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkNames(p.node.Only, computer.Partitions); err != nil {
		return nil, err
	}
	available := map[string]bool{}
	for _, release := range computer.SoftwareReleases {
		available[release.URL] = release.State() == slap.StateAvailable
	}
	var chosen []*deployment
	for _, opened := range p.partitions.OpenProcessed(ctx, computer.Partitions) {
		if len(p.node.Only) > 0 && !slices.Contains(p.node.Only, opened.ID.Partition) {
			opened.Close()
			continue
		}
		d := p.newDeployment(opened)
		d.supplied = available[d.url]
		chosen = append(chosen, d)
	}
	return chosen, nil
}

// checkNames refuses names of partitions that the master doesn't know (GRID-41).
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

// reportFailure reports a failure to the log and the master, and returns it as the
// result has it. The log already has the output of a build (GRID-54). A master gets
// the text that it knows, also from who only waits.
func (d *deployment) reportFailure(ctx context.Context, failure error) error {
	var failed *buildout.Error
	var waits *pass.WaitError
	reported := failure
	failure = d.waiting(failure)
	switch {
	case errors.As(failure, &waits):
		d.Log.Info(d.ID.Partition + " " + waits.Reason)
	case !errors.As(failure, &failed):
		d.Log.Error(failure.Error())
	}
	d.ReportError(ctx, reported)
	return failure
}

// sortFailures separates failed promises from other failures.
func sortFailures(deployments []*deployment, failures []error) pass.Result {
	var result pass.Result
	for i, failure := range failures {
		if failure == nil {
			continue
		}
		f := pass.Failure{Item: deployments[i].ID.Partition, Type: deployments[i].SoftwareType(), Err: failure}
		var failed *promise.Error
		var waits *pass.WaitError
		switch {
		case errors.As(failure, &failed):
			result.PromiseFailed = append(result.PromiseFailed, f)
		case errors.As(failure, &waits):
			result.Waiting = append(result.Waiting, f)
		default:
			result.Failed = append(result.Failed, f)
		}
	}
	return result
}
