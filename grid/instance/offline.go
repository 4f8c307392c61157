// SPDX-License-Identifier: GPL-3.0-or-later

package instance

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

// legacyState is where old agents kept a partition's wanted state.
const legacyState = ".requested_state"

// workOffline keeps this node's running services running (GRID-70). A stopped
// partition has no supervisor configuration, and stays stopped.
func (p *instancePass) workOffline(ctx context.Context) error {
	p.node.Logger.Info("Processing computer partitions offline...")
	entries, err := os.ReadDir(p.node.InstanceRoot)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		// Its user may have put anything there; the other partitions must go on.
		if err := p.takeLegacyState(ctx, entry.Name()); err != nil {
			p.node.Logger.Warn(fmt.Sprintf("partition %s: %v", entry.Name(), err))
		}
	}
	return p.supervision.StartAll(ctx)
}

// takeLegacyState removes the file, and stops a partition whose state was
// stopped.
func (p *instancePass) takeLegacyState(ctx context.Context, name string) error {
	if _, err := os.Lstat(filepath.Join(p.node.InstanceRoot, name, legacyState)); errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	opened, err := p.partitions.Open(&slap.Partition{Reference: name}, p.node.Logger)
	if err != nil {
		return err
	}
	defer opened.Close()
	state, err := opened.Root.Read(legacyState)
	if err != nil {
		return err
	}
	if slap.State(strings.TrimSpace(string(state))) == slap.StateStopped {
		if err := opened.StopServices(ctx).Err(); err != nil {
			return err
		}
	}
	return opened.Root.Clear(legacyState)
}
