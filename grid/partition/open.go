// SPDX-License-Identifier: GPL-3.0-or-later

package partition

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"

	"slapos/grid/pass"
	"slapos/grid/supervision"
	"slapos/slap"
	"slapos/slap/confined"
)

// An Opener opens the partitions of a node.
type Opener struct {
	Node        *pass.Node
	Supervision *supervision.Supervision
	// CertificateRepository is the directory of the partitions' keys and
	// certificates; empty: partitions have none.
	CertificateRepository string
}

// Open opens the directory of a partition; close it after use.
func (o *Opener) Open(wanted *slap.Partition, log *slog.Logger) (*Partition, error) {
	name := wanted.Reference
	path := filepath.Join(o.Node.InstanceRoot, name)
	if name != filepath.Base(path) {
		return nil, fmt.Errorf("%q is not the name of a partition", name)
	}
	root, err := confined.Open(path)
	if err != nil {
		return nil, fmt.Errorf("partition %s: %w", name, err)
	}
	p := &Partition{
		Node: o.Node, ID: slap.PartitionID{Computer: o.Node.ComputerID, Partition: name},
		Path: path, Wanted: wanted, Root: root, Services: o.Supervision.Partition(name, path),
	}
	p.LogTo(log)
	if o.CertificateRepository != "" {
		p.KeyFile = filepath.Join(o.CertificateRepository, name+".key")
		p.CertificateFile = filepath.Join(o.CertificateRepository, name+".crt")
	}
	return p, nil
}

// OpenProcessed opens the partitions that are processed, in the master's order;
// the caller closes them. Free ones are tidied up and left out, as is one that
// can't be opened, which is told to the master (GRID-42).
func (o *Opener) OpenProcessed(ctx context.Context, wanted []*slap.Partition) []*Partition {
	var opened []*Partition
	for _, w := range wanted {
		p, err := o.Open(w, o.Node.Logger)
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("Partition directory %s does not exist.", filepath.Join(o.Node.InstanceRoot, w.Reference))
		}
		if err == nil && w.RequestedState == slap.StateDestroyed && p.SoftwareURL() == "" {
			err = p.tidyFree(ctx)
			p.Close()
		} else if err == nil {
			opened = append(opened, p)
		}
		if err == nil {
			continue
		}
		o.Node.Logger.Error(err.Error())
		tellError(ctx, o.Node, o.Node.Logger, slap.PartitionID{Computer: o.Node.ComputerID, Partition: w.Reference}, err)
	}
	return opened
}

// tidyFree removes from a free partition what other commands may have written
// since it was destroyed.
func (p *Partition) tidyFree(ctx context.Context) error {
	for _, name := range []string{".slapgrid", ".timestamp"} {
		if err := confined.Remove(ctx, p.Root.Join(name)); err != nil {
			return err
		}
	}
	entries, err := p.Root.Entries(".")
	if len(entries) > 1 || len(entries) == 1 && entries[0].Name() != ".slapos-resource" {
		p.Log.Warn(fmt.Sprintf("Free partition %s contains file(s) in %s.", p.ID.Partition, p.Path))
	}
	return err
}
