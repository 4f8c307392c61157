// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"

	"slapos/grid/buildout"
	"slapos/grid/pass"
	"slapos/promise"
)

// testPromises runs all promises; the first that fails is the error.
func (t *partition) testPromises(ctx context.Context) (pass.Outcome, error) {
	if t.node.Instance.ForceStop {
		return pass.Skipped, nil
	}
	return pass.Done, t.runPromises(ctx, promise.Forced)
}

func (t *partition) runPromises(ctx context.Context, mode promise.Mode) error {
	_, err := t.checkPromises(ctx, mode)
	return err
}

// checkPromises runs the promises; the first that fails is the error.
func (t *partition) checkPromises(ctx context.Context, mode promise.Mode) (report promise.Report, err error) {
	t.log.Info(fmt.Sprintf("Checking %s promises...", t.id.Partition))
	var observer promise.Observer
	if o := t.node.Instance.Promises; o != nil {
		observer = o.Partition(t.id.Partition)
		defer func() { o.Finished(t.id.Partition, report, err) }()
	}
	if has, err := t.hasPromises(); err != nil {
		return report, err
	} else if !has {
		return report, t.makeResults()
	}
	t.step("checking promises of")
	interpreter, err := t.node.interpreter(t.release)
	if err != nil {
		return report, err
	}
	parallel := 0
	if t.node.Jobs == 1 {
		parallel = 1
	}
	report, err = promise.Run(ctx, promise.Options{
		Directory: t.path, PartitionID: t.id.Partition, ComputerID: t.id.Computer,
		MasterURL: t.node.MasterURL, CertFile: t.certificateFile, KeyFile: t.keyFile,
		Interpreter: interpreter, Python: t.node.Python, Environ: t.environment(),
		Mode: mode, Timeout: t.node.Instance.PromiseTimeout, Parallel: parallel,
		Logger: t.log, Now: t.node.Now, Observer: observer,
		Bang: func(ctx context.Context, message string) error {
			return t.node.Master.InstanceBang(ctx, t.id, message)
		},
	})
	if err != nil {
		return report, err
	}
	return report, report.Err()
}

// hasPromises spares partitions without any the rest of the work.
func (t *partition) hasPromises() (bool, error) {
	for _, kind := range promise.Kinds() {
		entries, err := t.root.Entries(kind.Folder())
		if len(entries) > 0 || err != nil {
			return true, err
		}
	}
	return false, nil
}

// makeResults makes the directory of results, which monitoring lists whether
// there are promises or not (PROM-21).
func (t *partition) makeResults() error {
	for _, directory := range []struct {
		name string
		mode fs.FileMode
	}{{stateDirectory, 0o777}, {stateDirectory + "/promise", 0o777}, {stateDirectory + "/promise/result", 0o700}} {
		if err := t.root.MakeDirectory(directory.name, directory.mode); err != nil {
			return err
		}
	}
	return nil
}

// checkAnomalies runs the promises that are due of a partition that is up to
// date. The master is told when it doesn't know yet (GRID-60).
func (t *partition) checkAnomalies(ctx context.Context) error {
	err := t.runPromises(ctx, promise.Anomaly)
	var failed *promise.Error
	if err != nil && !errors.As(err, &failed) {
		return err
	}
	wrong := strings.HasPrefix(t.wanted.AccessStatus, "#error")
	if failed != nil {
		t.log.Error(failed.Error())
	}
	if t.wanted.HasAccessStatus && wrong == (failed != nil) {
		return nil
	}
	if _, err := t.refreshCertificate(ctx); err != nil {
		return err
	}
	if failed == nil {
		return t.node.Master.Started(ctx, t.id)
	}
	t.node.tellInstanceError(ctx, t.log, t.id, failed)
	return nil
}

// interpreters of releases, read once in a pass.
type interpreters struct{ known sync.Map }

// interpreter is the Python of a release, empty when it names none (GRID-44).
func (p *node) interpreter(release string) (string, error) {
	if release == "" {
		return "", nil
	}
	read, _ := p.interpreters.known.LoadOrStore(release, sync.OnceValues(func() (string, error) {
		name, err := buildout.Interpreter(filepath.Join(release, buildoutScript))
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		return name, err
	}))
	return read.(func() (string, error))()
}
