// SPDX-License-Identifier: GPL-3.0-or-later

// Package partition is what the passes over partitions have in common, those of
// packages instance and report. An [Opener] opens the partitions that the master
// lists; a [Partition] is one of them, open: its directory as a confined root,
// its owner, its certificate, its services, and the lock that keeps it from being
// destroyed. What a pass does with it, step by step, is the pass's.
//
// The directory belongs to a user who may mean harm: all that is read and written
// in it goes through [Partition.Root].
package partition

import (
	"context"
	"fmt"
	"log/slog"

	"slapos/grid/pass"
	"slapos/grid/supervision"
	"slapos/manager"
	"slapos/promise/process"
	"slapos/slap"
	"slapos/slap/confined"
)

// A Partition is one partition while a pass works on it.
type Partition struct {
	Node *pass.Node
	ID   slap.PartitionID
	Path string // its directory
	// Wanted is what the master says of it.
	Wanted *slap.Partition
	Log    *slog.Logger
	Root   *confined.Directory
	// KeyFile and CertificateFile are empty without a repository (GRID-44).
	KeyFile, CertificateFile string
	Services                 *supervision.Partition

	user *process.User // see Owner
}

// Close closes the directory.
func (p *Partition) Close() { p.Root.Close() }

// LogTo makes log the one that is told of the partition.
func (p *Partition) LogTo(log *slog.Logger) { p.Log = log.With("partition", p.ID.Partition) }

// Step tells the watching user what is being done now.
func (p *Partition) Step(doing string) { p.Node.Progress.Step(p.ID.Partition, doing) }

// Owner is the user of the partition. Root is refused (GRID-13).
func (p *Partition) Owner() (*process.User, error) {
	if p.user == nil {
		user, err := process.LookupUser(p.Root.UID, p.Root.GID)
		if err != nil {
			return nil, fmt.Errorf("partition %s: %w", p.ID.Partition, err)
		}
		p.user = user
	}
	return p.user, nil
}

// SoftwareURL is that of the Software Release, empty when the master names none.
func (p *Partition) SoftwareURL() string { return softwareURL(p.Wanted) }

func softwareURL(w *slap.Partition) string {
	if w.SoftwareRelease == nil {
		return ""
	}
	return w.SoftwareRelease.URL
}

// SoftwareType is told in summaries (GRID-55).
func (p *Partition) SoftwareType() string { return typeText(p.Wanted) }

func typeText(wanted *slap.Partition) string {
	if name := wanted.SoftwareType(); name != "" {
		return name
	}
	return "(not ready)"
}

// Filter is what the user asked for beside parameters.
func (p *Partition) Filter() slap.Dict {
	filter, _ := p.Wanted.Extra["_filter_dict"].(slap.Dict)
	return filter
}

// Addresses are those of the partition, then those of the networks it reaches.
func (p *Partition) Addresses() []slap.Address {
	return append(p.Wanted.Addresses(), p.Wanted.FullAddresses()...)
}

// TellError reports to the master what went wrong, without secrets.
func (p *Partition) TellError(ctx context.Context, failure error) {
	tellError(ctx, p.Node, p.Log, p.ID, failure)
}

func tellError(ctx context.Context, node *pass.Node, log *slog.Logger, id slap.PartitionID, failure error) {
	node.Tell(ctx, log, func(ctx context.Context) error {
		return node.Master.InstanceError(ctx, id, node.Hide(failure.Error()))
	})
}

// ReportStopped tells the master, whatever it answers (GRID-52).
func (p *Partition) ReportStopped(ctx context.Context) (pass.Outcome, error) {
	if err := p.Node.Master.Stopped(ctx, p.ID); err != nil {
		p.Log.Debug("Ignored failure to report a stopped partition", "error", err)
		if ctx.Err() != nil {
			return pass.Failed, ctx.Err()
		}
		return pass.Skipped, nil
	}
	return pass.Done, nil
}

// Managed is the partition as managers see it.
func (p *Partition) Managed() *manager.Partition {
	name := ""
	if user, err := p.Owner(); err == nil {
		name = user.Name
	}
	return &manager.Partition{
		ID: p.ID.Partition, Path: p.Path, Directory: p.Root,
		UID: p.Root.UID, GID: p.Root.GID, User: name,
		State:      p.Wanted.RequestedState,
		Addresses:  p.Addresses(),
		Supervisor: &managedServices{p},
	}
}
