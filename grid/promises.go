// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"slapos/grid/pass"
	"slapos/promise"
	"slapos/slap"
)

// PromisePass runs all promises of started partitions and changes nothing else:
// nothing is told to the master, and every failure counts as one of a promise
// (GRID-61).
func PromisePass(ctx context.Context, options Options) (pass.Result, error) {
	p := newNode(options)
	defer p.close()
	p.Logger.Info("Processing promises...")
	partitions, err := p.openWanted(ctx)
	if err != nil {
		return pass.Result{}, err
	}
	failures := make([]error, len(partitions))
	err = p.each(ctx, len(partitions), func(ctx context.Context, i int, log *slog.Logger) error {
		t := partitions[i]
		defer t.close()
		t.log = log.With("partition", t.id.Partition)
		if failures[i] = t.processPromises(ctx); failures[i] != nil {
			t.log.Error(failures[i].Error())
		}
		return nil
	})
	for _, t := range partitions {
		t.close()
	}
	result := sortFailures(partitions, failures)
	result.PromiseFailed = append(result.PromiseFailed, result.Failed...)
	result.Failed = nil
	if len(result.PromiseFailed) > 0 {
		p.Logger.Info("Finished computer partitions.")
		for _, f := range result.PromiseFailed {
			p.Logger.Info(fmt.Sprintf("  %s[%s]: %s", f.Item, f.Type, f.Err))
		}
	}
	return result, err
}

// A PromiseObserver is told how the promises of partitions come out, for
// somebody who watches. Its methods are called from several goroutines, and must
// not wait.
type PromiseObserver interface {
	// Partition begins the promises of a partition; what it returns is told how
	// they go.
	Partition(name string) promise.Observer
	// Finished tells what became of them. An error that is no *promise.Error means
	// that not all could be run.
	Finished(partition string, report promise.Report, err error)
}

// StoredPromises tells observer the last results of the promises of all
// partitions below the instance root, in order, and runs none.
func StoredPromises(options Options) error {
	entries, err := os.ReadDir(options.InstanceRoot)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name, path := entry.Name(), filepath.Join(options.InstanceRoot, entry.Name())
		if !mayHavePromises(path) || len(options.Only) > 0 && !slices.Contains(options.Only, name) {
			continue
		}
		report, err := promise.Stored(promise.Options{
			Directory: path, Logger: options.Logger, Observer: options.Instance.Promises.Partition(name),
		})
		if err == nil {
			err = report.Err()
		}
		options.Instance.Promises.Finished(name, report, err)
	}
	return nil
}

func mayHavePromises(path string) bool {
	return slices.ContainsFunc(promise.Kinds(), func(kind promise.Kind) bool {
		_, err := os.Lstat(filepath.Join(path, kind.Folder()))
		return err == nil
	})
}

func (t *partition) processPromises(ctx context.Context) error {
	t.log.Info(fmt.Sprintf("Processing Promises for Computer Partition %s.", t.id.Partition))
	t.logPlaces()
	if t.wanted.RequestedState != slap.StateStarted {
		return nil
	}
	report, err := t.checkPromises(ctx, promise.Forced)
	if len(report.Promises) > 0 {
		t.log.Info(fmt.Sprintf("%s: %s", t.id.Partition, report))
	}
	return err
}
