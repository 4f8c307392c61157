// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"slapos/grid/pass"
	"slapos/promise"
	"slapos/slap"
	"slapos/slap/confined"
)

// PromisePass runs all promises of started partitions and changes nothing else:
// it reports nothing to the master but to one that wants it (GRID-111), and counts
// every failure as a promise's (GRID-61).
func PromisePass(ctx context.Context, options Options) (pass.Result, error) {
	p := newPass(options)
	defer p.close()
	p.node.Logger.Info("Processing promises...")
	deployments, err := p.openWanted(ctx)
	if err != nil {
		return pass.Result{}, err
	}
	failures := make([]error, len(deployments))
	err = p.node.Each(ctx, len(deployments), func(ctx context.Context, i int, log *slog.Logger) error {
		d := deployments[i]
		defer d.Close()
		d.LogTo(log)
		if failures[i] = d.reviewPromises(ctx); failures[i] != nil {
			d.Log.Error(failures[i].Error())
		}
		return nil
	})
	for _, d := range deployments {
		d.Close()
	}
	result := sortFailures(deployments, failures)
	result.PromiseFailed = append(append(result.PromiseFailed, p.partitions.Refused...), result.Failed...)
	result.Failed = nil
	if len(result.PromiseFailed) > 0 {
		p.node.Logger.Info("Finished computer partitions.")
		for _, f := range result.PromiseFailed {
			p.node.Logger.Info(fmt.Sprintf("  %s[%s]: %s", f.Item, f.Type, f.Err))
		}
	}
	return result, err
}

// StoredPromises gives observer the last results of the promises of all
// partitions below the instance root, in order, without running any.
func StoredPromises(options Options) error {
	entries, err := os.ReadDir(options.Node.InstanceRoot)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name, path := entry.Name(), filepath.Join(options.Node.InstanceRoot, entry.Name())
		if len(options.Node.Only) > 0 && !slices.Contains(options.Node.Only, name) {
			continue
		}
		failure := lastFailure(path, name)
		if failure == nil && !mayHavePromises(path) {
			continue
		}
		report, err := promise.Stored(promise.Options{
			Directory: path, Logger: options.Node.Logger, Observer: options.Promises.Partition(name),
		})
		if err == nil {
			err = report.Err()
		}
		if err == nil { // it failed before its promises
			err = failure
		}
		options.Promises.Finished(name, report, err)
	}
	return nil
}

// lastFailure is why the last processing of a partition failed, nil if it didn't.
func lastFailure(path, name string) error {
	directory, err := confined.Open(path)
	if err != nil {
		return nil
	}
	defer directory.Close()
	text, err := directory.ReadOwn(errorFileOf(name))
	if err != nil {
		return nil
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	return errors.New("processing failed: " + line)
}

func mayHavePromises(path string) bool {
	return slices.ContainsFunc(promise.Kinds(), func(kind promise.Kind) bool {
		_, err := os.Lstat(filepath.Join(path, kind.Folder()))
		return err == nil
	})
}

// reviewPromises runs all promises of a partition that should be started, and
// logs a summary of the results.
func (d *deployment) reviewPromises(ctx context.Context) error {
	d.Log.Info(fmt.Sprintf("Processing Promises for Computer Partition %s.", d.ID.Partition))
	d.logPlaces()
	if d.Wanted.RequestedState != slap.StateStarted {
		return nil
	}
	report, err := d.runPromises(ctx, promise.Forced)
	if len(report.Promises) > 0 {
		d.Log.Info(fmt.Sprintf("%s: %s", d.ID.Partition, report))
	}
	return err
}
