// SPDX-License-Identifier: GPL-3.0-or-later

// Package software installs and removes a node's Software Releases as the
// master wants. [Pass] gets the list from the master and works on up to Jobs
// releases at once. The drawing shows what happens to each; the file .completed
// in its directory marks a complete release:
//
//	             ┌ complete: nothing
//	available ───┤
//	             └ announce ─ .completed goes ─ free space ─ cache ─┬─ found ──────────────────────────┐
//	                                                                └─ directory ─ netrc ─ profile     │
//	                                                                   ─ bootstrap ─ buildout ─ upload ┤
//	                                                                                                   │
//	                                                                    tell the master ─ .completed ──┘
//	destroyed ─── remove ─ tell the master
//
// .completed is written after the master was informed, and removed before
// anything else changes: if a pass is killed, the next one does everything
// again. Uploads run beside the pass, which waits for them at its end. Package
// buildout builds; a [Cache] has earlier builds.
package software

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"sync"

	"slapos/grid/buildout"
	"slapos/grid/pass"
	"slapos/grid/supervision"
	"slapos/slap"
	"slapos/slap/confined"
)

// A releasePass is one pass over the releases.
type releasePass struct {
	options Options
	node    *pass.Node      // of options
	place   *confined.Place // software_root
	uploads uploads
}

// Pass makes this node's Software Releases match the master's list (GRID-20 to
// GRID-38). It reports a failed release to the master and in the result. The
// error is the pass's own: it could not begin, or was interrupted.
func Pass(ctx context.Context, options Options) (pass.Result, error) {
	options.Node = options.Node.WithDefaults()
	p := &releasePass{options: options, node: &options.Node, uploads: newUploads()}
	place, err := confined.OpenPlace(p.node.SoftwareRoot)
	if confined.IsAbsent(err) {
		return pass.Result{}, fmt.Errorf("%s does not exist.", p.node.SoftwareRoot)
	}
	if err != nil {
		return pass.Result{}, err
	}
	defer place.Close()
	p.place = place
	if err := p.writeSupervisor(ctx); err != nil {
		return pass.Result{}, err
	}
	p.node.Logger.Info("Processing software releases...")
	computer, err := p.node.Computer(ctx)
	if err != nil {
		return pass.Result{}, err
	}
	result, err := p.processReleases(ctx, computer.SoftwareReleases)
	p.uploads.running.Wait()
	if err != nil {
		return result, err
	}
	if p.options.GarbageCollect {
		p.removeUnlisted(ctx, computer.SoftwareReleases)
	}
	p.node.Logger.Info("Finished software releases.")
	return result, ctx.Err()
}

// writeSupervisor writes the supervisor's configuration, which other commands
// read, too.
func (p *releasePass) writeSupervisor(ctx context.Context) error {
	s := supervision.New(p.node.InstanceRoot, p.options.Supervisor, p.node.Logger)
	defer s.Close()
	return s.WriteConfiguration(ctx)
}

func (p *releasePass) processReleases(ctx context.Context, wanted []*slap.SoftwareRelease) (pass.Result, error) {
	p.warnOfUnknown(wanted)
	failures := make([]error, len(wanted))
	p.node.Progress.Plan(len(wanted))
	err := p.node.Each(ctx, len(wanted), func(ctx context.Context, i int, log *slog.Logger) error {
		r := p.newRelease(wanted[i], log)
		p.node.Progress.Begin(r.url)
		defer p.node.Progress.End(r.url)
		failures[i] = r.process(ctx)
		if failures[i] != nil {
			r.reportFailure(ctx, failures[i])
		}
		return nil
	})
	var result pass.Result
	for i, failure := range failures {
		if failure != nil {
			result.Failed = append(result.Failed, pass.Failure{Item: wanted[i].URL, Err: failure})
		}
	}
	return result, err
}

// warnOfUnknown names what Only names and the master does not: nothing is done for it.
func (p *releasePass) warnOfUnknown(wanted []*slap.SoftwareRelease) {
	for _, name := range p.node.Only {
		if !slices.ContainsFunc(wanted, func(r *slap.SoftwareRelease) bool { return name == r.URL || name == buildout.ReleaseName(r.URL) }) {
			p.node.Logger.Warn("The master does not want this Software Release here: " + name)
		}
	}
}

// reportFailure reports a failure to the log and the master. The log already
// has the output of a build (GRID-24).
func (r *release) reportFailure(ctx context.Context, failure error) {
	var failed *buildout.Error
	if !errors.As(failure, &failed) {
		r.log.Error(failure.Error())
	}
	r.node.Report(ctx, r.log, func(ctx context.Context) error {
		return r.node.Master.ReleaseError(ctx, r.url, r.node.ComputerID, r.node.Hide(failure.Error()))
	})
}

var releaseName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9a-f]{32}$`) })

// removeUnlisted removes the releases that the master doesn't list as available
// (GRID-25). Failures are only logged.
func (p *releasePass) removeUnlisted(ctx context.Context, wanted []*slap.SoftwareRelease) {
	available := map[string]bool{}
	for _, w := range wanted {
		if w.State() == slap.StateAvailable {
			available[buildout.ReleaseName(w.URL)] = true
		}
	}
	names, err := p.place.Names()
	if err != nil {
		p.node.Logger.Error(fmt.Sprintf("Problem while listing software releases: %v", err))
	}
	for _, name := range names {
		if !releaseName().MatchString(name) || available[name] {
			continue
		}
		r := &release{node: p.node, options: &p.options, place: p.place, name: name, directory: p.place.Path(name), log: p.node.Logger}
		if !r.has("buildout.cfg") {
			continue
		}
		directory := r.directory
		p.node.Logger.Info(fmt.Sprintf("Destroying garbage collected software folder %s ...", directory))
		err := r.removeDirectory(ctx)
		r.close()
		if err != nil {
			p.node.Logger.Error(fmt.Sprintf("Problem while destroying garbage collected software folder %s: %v", directory, err))
			continue
		}
		p.node.Logger.Info(fmt.Sprintf("Destroyed %s .", directory))
	}
}

// step shows the user what is being done.
func (r *release) step(doing string) { r.node.Progress.Step(r.url, doing) }
