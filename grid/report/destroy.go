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
	maxDestroyLog        = 1 << 20 // how much of its output is logged, in bytes
)

// errRetained postpones a destruction until the retention lock ends.
const errRetained = postponement("Impossible to destroy partition yet because of retention lock.")

// destroySteps free a partition for its next user, after its services were
// stopped (GRID-84). The next report continues a destruction that was
// interrupted, wherever that was.
var destroySteps = []pass.Step[*reportedPartition]{
	{Name: "retention", Do: (*reportedPartition).checkRetention},
	{Name: "destroy script", Do: (*reportedPartition).runDestroyScript},
	{Name: "services", Do: (*reportedPartition).ForgetServices},
	{Name: "certificate", Do: (*reportedPartition).removeCertificate},
	{Name: "data", Do: (*reportedPartition).emptyData},
	{Name: "directory", Do: (*reportedPartition).empty},
}

func (p *reportedPartition) destroy(ctx context.Context) pass.Outcome {
	p.Log.Info("Destroying Computer Partition " + p.ID.Partition + "...")
	return pass.Ended(pass.RunSteps(ctx, p, p.Log, destroySteps))
}

func (p *reportedPartition) checkRetention(context.Context) pass.Outcome {
	over, err := p.RetentionOver()
	if err == nil && !over {
		err = errRetained
	}
	return pass.Ended(err)
}

// runDestroyScript lets the instance clean up itself. Afterwards the script is
// removed first, because it would fail without the rest of the instance.
func (p *reportedPartition) runDestroyScript(ctx context.Context) pass.Outcome {
	there, err := p.hasDestroyScript()
	if err != nil {
		return pass.Failed(err)
	}
	if !there {
		return pass.Skipped
	}
	user, err := p.Owner()
	if err != nil {
		return pass.Failed(err)
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
		return pass.Failed(fmt.Errorf("Failed to destroy Computer Partition in '%s': %w", p.Path, err))
	}
	_ = p.Root.Remove(destroyScript) // impossible if sbin is a link to elsewhere
	return pass.Done
}

// hasDestroyScript looks as the partition's user: the script may be a link to the
// release's, and what that user can't reach is none.
func (p *reportedPartition) hasDestroyScript() (there bool, err error) {
	var groups []int
	if user, err := p.Owner(); err == nil {
		groups = user.Groups
	}
	rights, err := confined.TakeRights(p.Root.UID, p.Root.GID, groups)
	if err != nil {
		return false, err
	}
	defer rights.Close()
	err = rights.Do(func() error {
		info, err := os.Stat(p.Root.Join(destroyScript))
		there = err == nil && info.Mode().IsRegular()
		if confined.IsAbsent(err) || errors.Is(err, fs.ErrPermission) {
			return nil
		}
		return err
	})
	return there, err
}

func (p *reportedPartition) removeCertificate(context.Context) pass.Outcome {
	if p.KeyFile == "" {
		return pass.Skipped
	}
	for _, path := range []string{p.KeyFile, p.CertificateFile} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return pass.Failed(err)
		}
	}
	return pass.Done
}

// emptyData empties the partition's place on every data disk, even if its user
// removed the link in DATA.
func (p *reportedPartition) emptyData(ctx context.Context) pass.Outcome {
	home := p.options.StorageHome
	if home == "" {
		return pass.Skipped
	}
	disks, err := os.ReadDir(home)
	if errors.Is(err, fs.ErrNotExist) {
		return pass.Skipped
	}
	if err != nil {
		return pass.Failed(fmt.Errorf("data disks: %w", err))
	}
	for _, disk := range disks {
		place := filepath.Join(home, disk.Name(), p.ID.Partition)
		if info, err := os.Lstat(place); err != nil || !info.IsDir() {
			continue
		}
		if err := confined.Empty(ctx, place); err != nil {
			return pass.Failed(err)
		}
	}
	return pass.Done
}

// empty empties the directory. It removes the lock's delay before its date: in
// the other order, an interruption between the two would restart the lock.
func (p *reportedPartition) empty(ctx context.Context) pass.Outcome {
	_ = p.Root.Remove(partition.RetentionDelayFile) // if this fails, it is removed with the rest
	if err := p.Root.Empty(ctx); err != nil {
		return pass.Failed(err)
	}
	return pass.Ended(p.ForgetState())
}
