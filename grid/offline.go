// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"slapos/slap"
)

// legacyState is where agents of old kept the wanted state of a partition.
const legacyState = ".requested_state"

// workOffline keeps running what runs on this node (GRID-70). A partition that
// was stopped has no configuration any more, and stays so.
func (p *node) workOffline(ctx context.Context) error {
	p.Logger.Info("Processing computer partitions offline...")
	entries, err := os.ReadDir(p.InstanceRoot)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		// Its user may have put anything there: the others must go on.
		if err := p.takeLegacyState(ctx, entry.Name()); err != nil {
			p.Logger.Warn(fmt.Sprintf("partition %s: %v", entry.Name(), err))
		}
	}
	return p.supervision.StartAll(ctx)
}

// takeLegacyState removes the file, and stops a partition that it says is to be
// stopped.
func (p *node) takeLegacyState(ctx context.Context, name string) error {
	if _, err := os.Lstat(filepath.Join(p.InstanceRoot, name, legacyState)); errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	t, err := p.openPartition(&slap.Partition{Reference: name}, p.Logger)
	if err != nil {
		return err
	}
	defer t.close()
	state, err := t.root.Read(legacyState)
	if err != nil {
		return err
	}
	if slap.State(strings.TrimSpace(string(state))) == slap.StateStopped {
		if _, err := t.stopServices(ctx); err != nil {
			return err
		}
	}
	return t.root.Clear(legacyState)
}
