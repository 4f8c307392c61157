// SPDX-License-Identifier: GPL-3.0-or-later

package report

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"slapos/grid/partition"
	"slapos/grid/pass"
	"slapos/promise/process"
	"slapos/slap/confined"
)

const (
	destroyScript        = "sbin/destroy"
	destroyScriptTimeout = 30 * time.Minute
	maxDestroyLog        = 1 << 20 // bytes of its output that are logged
)

// errRetained keeps a partition until its retention lock is over.
const errRetained = postponement("Impossible to destroy partition yet because of retention lock.")

// destroySteps free a partition for its next user (GRID-84). They follow the
// stop of its services. A partition of which the destruction was interrupted,
// anywhere, is destroyed by the next report.
var destroySteps = []pass.Step[*reportedPartition]{
	{Name: "retention", Do: (*reportedPartition).checkRetention},
	{Name: "destroy script", Do: (*reportedPartition).runDestroyScript},
	{Name: "services", Do: (*reportedPartition).ForgetServices},
	{Name: "certificate", Do: (*reportedPartition).removeCertificate},
	{Name: "data", Do: (*reportedPartition).emptyData},
	{Name: "directory", Do: (*reportedPartition).empty},
}

func (p *reportedPartition) destroy(ctx context.Context) (pass.Outcome, error) {
	p.Log.Info("Destroying Computer Partition " + p.ID.Partition + "...")
	return pass.Ended(pass.RunSteps(ctx, p, p.Log, destroySteps))
}

func (p *reportedPartition) checkRetention(context.Context) (pass.Outcome, error) {
	over, err := p.RetentionOver()
	if err == nil && !over {
		err = errRetained
	}
	return pass.Ended(err)
}

// runDestroyScript has the instance clean up itself. Once that is done the
// script goes first, because it would fail without the rest of the instance.
func (p *reportedPartition) runDestroyScript(ctx context.Context) (pass.Outcome, error) {
	// It may be a link to the release's: it is the user who follows it.
	info, err := os.Stat(p.Root.Join(destroyScript))
	if confined.IsAbsent(err) || errors.Is(err, fs.ErrPermission) || err == nil && !info.Mode().IsRegular() {
		return pass.Skipped, nil // or its user can't reach it either
	}
	user, err := p.Owner()
	if err != nil {
		return pass.Failed, err
	}
	limited, end := process.Limit(func(line string) { p.Log.Info(line) }, maxDestroyLog)
	command := process.Command{
		Path:    p.Root.Join(destroyScript),
		In:      p.Root,
		Env:     process.CleanEnvironment(p.Node.Environment, user.Home),
		User:    user,
		Output:  limited,
		Timeout: destroyScriptTimeout,
	}
	result, err := command.Run(ctx)
	end()
	if err == nil && result.ExitCode != 0 {
		err = fmt.Errorf("%s ended with exit code %d", command.Path, result.ExitCode)
	}
	if err != nil {
		return pass.Failed, fmt.Errorf("Failed to destroy Computer Partition in '%s': %w", p.Path, err)
	}
	_ = p.Root.Remove(destroyScript) // not possible where sbin is a link to elsewhere
	return pass.Done, nil
}

func (p *reportedPartition) removeCertificate(context.Context) (pass.Outcome, error) {
	if p.KeyFile == "" {
		return pass.Skipped, nil
	}
	for _, path := range []string{p.KeyFile, p.CertificateFile} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return pass.Failed, err
		}
	}
	return pass.Done, nil
}

// emptyData empties the partition's place on every data disk, also on those
// that its user hides by taking away the link in DATA.
func (p *reportedPartition) emptyData(ctx context.Context) (pass.Outcome, error) {
	home := p.options.StorageHome
	if home == "" {
		return pass.Skipped, nil
	}
	disks, err := os.ReadDir(home)
	if errors.Is(err, fs.ErrNotExist) {
		return pass.Skipped, nil
	}
	if err != nil {
		return pass.Failed, fmt.Errorf("data disks: %w", err)
	}
	for _, disk := range disks {
		place := filepath.Join(home, disk.Name(), p.ID.Partition)
		if info, err := os.Lstat(place); err != nil || !info.IsDir() {
			continue
		}
		if err := confined.Empty(ctx, place); err != nil {
			return pass.Failed, err
		}
	}
	return pass.Done, nil
}

// empty empties the directory. The lock's delay goes before its date: were it
// the other way round, an interruption between them would start the lock anew.
func (p *reportedPartition) empty(ctx context.Context) (pass.Outcome, error) {
	_ = p.Root.Remove(partition.RetentionDelayFile) // what can't be removed alone is below
	if err := p.Root.Empty(ctx); err != nil {
		return pass.Failed, err
	}
	return pass.Ended(p.ForgetState())
}
