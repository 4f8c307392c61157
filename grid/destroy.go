// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"slapos/grid/pass"
	"slapos/promise/process"
	"slapos/slap/confined"
)

const (
	destroyScript        = "sbin/destroy"
	destroyScriptTimeout = 30 * time.Minute
)

// errRetained keeps a partition until its retention lock is over.
const errRetained = postponement("Impossible to destroy partition yet because of retention lock.")

// destroySteps free a partition for its next user (GRID-84). They follow the
// stop of its services. A partition of which the destruction was interrupted,
// anywhere, is destroyed by the next report.
var destroySteps = []pass.Step[*partition]{
	{Name: "retention", Do: (*partition).checkRetention},
	{Name: "destroy script", Do: (*partition).runDestroyScript},
	{Name: "services", Do: (*partition).forgetServices},
	{Name: "certificate", Do: (*partition).removeCertificate},
	{Name: "data", Do: (*partition).emptyData},
	{Name: "directory", Do: (*partition).empty},
}

func (t *partition) destroy(ctx context.Context) error {
	t.log.Info("Destroying Computer Partition " + t.id.Partition + "...")
	return pass.RunSteps(ctx, t, t.log, destroySteps)
}

func (t *partition) checkRetention(context.Context) (pass.Outcome, error) {
	over, err := retentionOver(t.root, t.node.Now())
	if err == nil && !over {
		err = errRetained
	}
	return pass.Done, err
}

// runDestroyScript has the instance clean up itself. Once that is done the
// script goes first, because it would fail without the rest of the instance.
func (t *partition) runDestroyScript(ctx context.Context) (pass.Outcome, error) {
	// It may be a link to the release's: it is the user who follows it.
	info, err := os.Stat(t.root.Join(destroyScript))
	if confined.IsAbsent(err) || errors.Is(err, fs.ErrPermission) || err == nil && !info.Mode().IsRegular() {
		return pass.Skipped, nil // or its user can't reach it either
	}
	user, err := t.owner()
	if err != nil {
		return "", err
	}
	command := process.Command{
		Path:    t.root.Join(destroyScript),
		Dir:     t.path,
		Env:     process.CleanEnvironment(t.node.Environment, user.Home),
		User:    user,
		Output:  func(line string) { t.log.Info(line) },
		Timeout: destroyScriptTimeout,
	}
	result, err := command.Run(ctx)
	if err == nil && result.ExitCode != 0 {
		err = fmt.Errorf("%s ended with exit code %d", command.Path, result.ExitCode)
	}
	if err != nil {
		return "", fmt.Errorf("Failed to destroy Computer Partition in '%s': %w", t.path, err)
	}
	_ = t.root.Remove(destroyScript) // not possible where sbin is a link to elsewhere
	return pass.Done, nil
}

func (t *partition) removeCertificate(context.Context) (pass.Outcome, error) {
	if t.keyFile == "" {
		return pass.Skipped, nil
	}
	for _, path := range []string{t.keyFile, t.certificateFile} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return pass.Done, nil
}

// emptyData empties the partition's place on every data disk, also on those
// that its user hides by taking away the link in DATA.
func (t *partition) emptyData(ctx context.Context) (pass.Outcome, error) {
	home := t.node.Instance.StorageHome
	if home == "" {
		return pass.Skipped, nil
	}
	disks, err := os.ReadDir(home)
	if errors.Is(err, fs.ErrNotExist) {
		return pass.Skipped, nil
	}
	if err != nil {
		return "", fmt.Errorf("data disks: %w", err)
	}
	for _, disk := range disks {
		place := filepath.Join(home, disk.Name(), t.id.Partition)
		if info, err := os.Lstat(place); err != nil || !info.IsDir() {
			continue
		}
		if err := confined.Empty(ctx, place); err != nil {
			return "", err
		}
	}
	return pass.Done, nil
}

// empty empties the directory. The lock's delay goes before its date: were it
// the other way round, an interruption between them would start the lock anew.
func (t *partition) empty(ctx context.Context) (pass.Outcome, error) {
	_ = t.root.Remove(retentionDelayFile) // what can't be removed alone is below
	return pass.Done, t.root.Empty(ctx)
}
