// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"slapos/slap"
	"slapos/slap/confined"
)

// openProcessed opens the partitions that are processed, in the master's order;
// the caller closes them. Free ones are tidied up and left out, as is one that
// can't be opened, which is told to the master (GRID-42).
func (p *node) openProcessed(ctx context.Context, wanted []*slap.Partition) []*partition {
	var opened []*partition
	for _, w := range wanted {
		t, err := p.openPartition(w, p.Logger)
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("Partition directory %s does not exist.", filepath.Join(p.InstanceRoot, w.Reference))
		}
		if err == nil && w.RequestedState == slap.StateDestroyed && t.url == "" {
			err = t.tidyFree(ctx)
			t.close()
		} else if err == nil {
			opened = append(opened, t)
		}
		if err == nil {
			continue
		}
		p.Logger.Error(err.Error())
		p.tellInstanceError(ctx, p.Logger, slap.PartitionID{Computer: p.ComputerID, Partition: w.Reference}, err)
	}
	return opened
}

// tidyFree removes from a free partition what other commands may have written
// since it was destroyed.
func (t *partition) tidyFree(ctx context.Context) error {
	for _, name := range []string{".slapgrid", ".timestamp"} {
		if err := confined.Remove(ctx, t.root.Join(name)); err != nil {
			return err
		}
	}
	entries, err := t.root.Entries(".")
	if len(entries) > 1 || len(entries) == 1 && entries[0].Name() != ".slapos-resource" {
		t.log.Warn(fmt.Sprintf("Free partition %s contains file(s) in %s.", t.id.Partition, t.path))
	}
	return err
}
