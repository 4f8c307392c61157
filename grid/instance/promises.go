// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"slapos/grid/pass"
	"slapos/promise"
)

// requirePromises runs all promises of a newly deployed instance, and fails if
// one of them does.
func (d *deployment) requirePromises(ctx context.Context) pass.Outcome {
	if d.options.ForceStop {
		return pass.Skipped
	}
	_, err := d.runPromises(ctx, promise.Forced)
	return pass.Ended(err)
}

// runPromises runs the promises that mode selects, and returns the first failure.
func (d *deployment) runPromises(ctx context.Context, mode promise.Mode) (report promise.Report, err error) {
	d.Log.Info(fmt.Sprintf("Checking %s promises...", d.ID.Partition))
	var observer promise.Observer
	if o := d.options.Promises; o != nil {
		observer = o.Partition(d.ID.Partition)
		defer func() { o.Finished(d.ID.Partition, report, err) }()
	}
	if has, err := d.hasPromises(); err != nil {
		return report, err
	} else if !has {
		d.tellPromises(ctx, report)
		return report, d.makeResults()
	}
	d.Step("checking promises of")
	interpreter, err := d.releases.interpreter(d.release)
	if err != nil {
		return report, err
	}
	parallel := 0
	if d.Node.Jobs == 1 {
		parallel = 1
	}
	report, err = promise.Run(ctx, promise.Options{
		Directory: d.Path, Root: d.Root, PartitionID: d.ID.Partition, ComputerID: d.ID.Computer,
		MasterURL: d.Node.MasterURL, CertFile: d.CertificateFile, KeyFile: d.KeyFile,
		Interpreter: interpreter, Python: d.Node.Python, Environ: d.environment(),
		Mode: mode, Timeout: d.options.PromiseTimeout, Parallel: parallel,
		Logger: d.Log, Now: d.Node.Now, Observer: observer,
		Bang: func(ctx context.Context, message string) error {
			return d.Node.Master.InstanceBang(ctx, d.ID, message)
		},
	})
	if err != nil {
		return report, err
	}
	d.tellPromises(ctx, report)
	return report, report.Err()
}

// hasPromises spares partitions without promises the rest of the work.
func (d *deployment) hasPromises() (bool, error) {
	for _, kind := range promise.Kinds() {
		entries, err := d.Root.Entries(kind.Folder())
		if len(entries) > 0 || err != nil {
			return true, err
		}
	}
	return false, nil
}

// makeResults makes the directory of results, which monitoring lists even if
// there are no promises (PROM-21).
func (d *deployment) makeResults() error {
	for _, directory := range []struct {
		name string
		mode fs.FileMode
	}{{stateDirectory, 0o777}, {stateDirectory + "/promise", 0o777}, {stateDirectory + "/promise/result", 0o700}} {
		if err := d.Root.MakeDirectory(directory.name, directory.mode); err != nil {
			return err
		}
	}
	return nil
}

// checkAnomalies runs the due promises of an up-to-date partition, and reports
// a change to the master (GRID-60).
func (d *deployment) checkAnomalies(ctx context.Context) error {
	_, err := d.runPromises(ctx, promise.Anomaly)
	var failed *promise.Error
	if err != nil && !errors.As(err, &failed) {
		return err
	}
	wrong := strings.HasPrefix(d.Wanted.AccessStatus, "#error")
	if failed != nil {
		d.Log.Error(failed.Error())
	}
	if d.Wanted.HasAccessStatus && wrong == (failed != nil) {
		return nil
	}
	if err := d.RefreshCertificate(ctx).Err(); err != nil {
		return err
	}
	if failed == nil {
		return d.Node.Master.Started(ctx, d.ID)
	}
	d.ReportError(ctx, failed)
	return nil
}
