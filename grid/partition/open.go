// SPDX-License-Identifier: GPL-3.0-or-later

package partition

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"slapos/grid/pass"
	"slapos/grid/supervision"
	"slapos/grid/supervisor"
	"slapos/slap"
	"slapos/slap/confined"
)

// An Opener opens the partitions of a node.
type Opener struct {
	Node        *pass.Node
	Supervision *supervision.Supervision
	// CertificateRepository is the directory of the partitions' keys and
	// certificates; if empty, partitions have none.
	CertificateRepository string
	// Refused are partitions that exist but that [Opener.OpenProcessed] didn't
	// open.
	Refused []pass.Failure

	place *confined.Place // of the partitions, opened at first use
}

// Close closes the directory of partitions.
func (o *Opener) Close() {
	if o.place != nil {
		o.place.Close()
		o.place = nil
	}
}

var (
	errNoName = errors.New("is not the name of a partition")
	errRoots  = errors.New("running as root is too dangerous")
)

// Open opens the directory of a partition; close it after use. Only one
// goroutine may use the opener at a time.
func (o *Opener) Open(wanted *slap.Partition, log *slog.Logger) (*Partition, error) {
	name := wanted.Reference
	path := filepath.Join(o.Node.InstanceRoot, name)
	root, err := o.openDirectory(name)
	if err != nil {
		return nil, err
	}
	p := &Partition{
		Node: o.Node, ID: slap.PartitionID{Computer: o.Node.ComputerID, Partition: name},
		Path: path, Wanted: wanted, Root: root, Services: o.Supervision.Partition(name, path),
	}
	p.LogTo(log)
	if o.CertificateRepository != "" {
		p.KeyFile, p.CertificateFile = CertificateFiles(o.CertificateRepository, name)
	}
	return p, nil
}

// openDirectory opens the directory of a partition. It must belong to a user if
// partitions have users (GRID-101), and must not be one of the supervisor's
// beside them (GRID-102).
func (o *Opener) openDirectory(name string) (*confined.Directory, error) {
	if !confined.IsName(name) || supervisor.IsLayout(name) {
		return nil, fmt.Errorf("%q %w", name, errNoName)
	}
	if o.place == nil {
		place, err := confined.OpenPlace(o.Node.InstanceRoot)
		if err != nil {
			return nil, fmt.Errorf("partition %s: %w", name, err)
		}
		o.place = place
	}
	root, err := o.place.Open(name, confined.Anybody)
	if err != nil {
		return nil, fmt.Errorf("partition %s: %w", name, err)
	}
	if os.Geteuid() == 0 && root.UID == 0 {
		root.Close()
		return nil, fmt.Errorf("partition %s: %w: give %s to a user of its own", name, errRoots, o.place.Path(name))
	}
	return root, nil
}

// OpenProcessed opens the partitions to process, in the master's order; the
// caller closes them. It tidies up free ones and leaves them out. It also
// leaves out partitions that it can't open, and reports them to the master
// (GRID-42).
func (o *Opener) OpenProcessed(ctx context.Context, wanted []*slap.Partition) []*Partition {
	var opened []*Partition
	for _, w := range wanted {
		p, err := o.Open(w, o.Node.Logger)
		switch {
		case errors.Is(err, errRoots) && (isFree(w) || !o.isNamed(w.Reference)):
			continue // root's, where format may not change owners; or not selected
		case err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errNoName):
			if o.isNamed(w.Reference) {
				o.Refused = append(o.Refused, pass.Failure{Item: w.Reference, Type: typeText(w), Err: err})
			}
		case errors.Is(err, fs.ErrNotExist):
			err = fmt.Errorf("Partition directory %s does not exist.", filepath.Join(o.Node.InstanceRoot, w.Reference))
		}
		if err == nil && isFree(w) {
			err = p.tidyFree(ctx)
			p.Close()
		} else if err == nil {
			opened = append(opened, p)
		}
		if err == nil {
			continue
		}
		o.Node.Logger.Error(err.Error())
		reportError(ctx, o.Node, o.Node.Logger, slap.PartitionID{Computer: o.Node.ComputerID, Partition: w.Reference}, err)
	}
	return opened
}

// tidyFree removes files from a free partition that other commands may have
// written since its destruction.
func (p *Partition) tidyFree(ctx context.Context) error {
	for _, name := range []string{".slapgrid", ".timestamp"} {
		if err := p.Root.RemoveTree(ctx, name); err != nil {
			return err
		}
	}
	entries, err := p.Root.Entries(".")
	if len(entries) > 1 || len(entries) == 1 && entries[0].Name() != ".slapos-resource" {
		p.Log.Warn(fmt.Sprintf("Free partition %s contains file(s) in %s.", p.ID.Partition, p.Path))
	}
	return err
}

// isFree reports whether the master has allocated a partition to nobody.
func isFree(w *slap.Partition) bool {
	return w.RequestedState == slap.StateDestroyed && softwareURL(w) == ""
}

// isNamed reports whether Only names a partition, or is empty.
func (o *Opener) isNamed(partition string) bool {
	return len(o.Node.Only) == 0 || slices.Contains(o.Node.Only, partition)
}
