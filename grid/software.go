// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"

	"slapos/grid/buildout"
	"slapos/grid/pass"
	"slapos/slap"
)

// SoftwarePass makes the Software Releases of this node those that the master
// wants (GRID-20 to GRID-38). A release that fails is reported to the master
// and in the result; the error is that of the pass itself, which could not
// begin or was interrupted.
func SoftwarePass(ctx context.Context, options Options) (pass.Result, error) {
	p := newNode(options)
	defer p.close()
	if info, err := os.Stat(p.SoftwareRoot); err != nil || !info.IsDir() {
		return pass.Result{}, fmt.Errorf("%s does not exist.", p.SoftwareRoot)
	}
	if err := p.supervision.WriteConfiguration(ctx); err != nil {
		return pass.Result{}, err
	}
	p.Logger.Info("Processing software releases...")
	computer, err := p.Master.FullComputerInformation(ctx, p.ComputerID)
	if err != nil {
		return pass.Result{}, err
	}
	result, err := p.processReleases(ctx, computer.SoftwareReleases)
	p.uploads.running.Wait()
	if err != nil {
		return result, err
	}
	if p.Software.GarbageCollect {
		p.removeUnlisted(ctx, computer.SoftwareReleases)
	}
	p.Logger.Info("Finished software releases.")
	return result, ctx.Err()
}

func (p *node) processReleases(ctx context.Context, wanted []*slap.SoftwareRelease) (pass.Result, error) {
	failures := make([]error, len(wanted))
	p.Progress.Plan(len(wanted))
	err := p.each(ctx, len(wanted), func(ctx context.Context, i int, log *slog.Logger) error {
		r := p.newRelease(wanted[i], log)
		p.Progress.Begin(r.url)
		defer p.Progress.End(r.url)
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

// reportFailure tells the log and the master. The log has the output of a
// build already (GRID-24).
func (r *release) reportFailure(ctx context.Context, failure error) {
	var failed *buildout.Error
	if !errors.As(failure, &failed) {
		r.log.Error(failure.Error())
	}
	r.node.tell(ctx, r.log, func(ctx context.Context) error {
		return r.node.Master.ReleaseError(ctx, r.url, r.node.ComputerID, r.node.Hide(failure.Error()))
	})
}

var releaseName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9a-f]{32}$`) })

// removeUnlisted removes the releases that the master doesn't list as available
// (GRID-25). Failures are told and change nothing.
func (p *node) removeUnlisted(ctx context.Context, wanted []*slap.SoftwareRelease) {
	available := map[string]bool{}
	for _, w := range wanted {
		if w.State() == slap.StateAvailable {
			available[md5Sum(w.URL)] = true
		}
	}
	entries, err := os.ReadDir(p.SoftwareRoot)
	if err != nil {
		p.Logger.Error(fmt.Sprintf("Problem while listing software releases: %v", err))
	}
	for _, entry := range entries {
		directory := filepath.Join(p.SoftwareRoot, entry.Name())
		if !releaseName().MatchString(entry.Name()) || available[entry.Name()] {
			continue
		}
		if _, err := os.Stat(filepath.Join(directory, "buildout.cfg")); err != nil {
			continue
		}
		p.Logger.Info(fmt.Sprintf("Destroying garbage collected software folder %s ...", directory))
		r := &release{node: p, directory: directory, log: p.Logger}
		err := r.removeDirectory(ctx)
		r.close()
		if err != nil {
			p.Logger.Error(fmt.Sprintf("Problem while destroying garbage collected software folder %s: %v", directory, err))
			continue
		}
		p.Logger.Info(fmt.Sprintf("Destroyed %s .", directory))
	}
}

// step tells the watching user what is being done now.
func (r *release) step(doing string) { r.node.Progress.Step(r.url, doing) }
