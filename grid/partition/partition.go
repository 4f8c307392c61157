// SPDX-License-Identifier: GPL-3.0-or-later

// Package partition is what the passes over partitions, in packages instance
// and report, share. An [Opener] opens the partitions that the master lists. A
// [Partition] is an open one: its directory as a confined root, its owner, its
// certificate, its services, and the lock that protects it from destruction.
// The passes themselves decide what to do with it, step by step.
//
// The directory belongs to a user who may be hostile: everything in it is read
// and written through [Partition.Root].
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
	// Wanted is the master's description of it.
	Wanted *slap.Partition
	Log    *slog.Logger
	Root   *confined.Directory
	// KeyFile and CertificateFile are empty without a repository (GRID-44).
	KeyFile, CertificateFile string
	Services                 *supervision.Partition

	user *process.User // see Owner
}

// Close closes the directory, and gives up the services.
func (p *Partition) Close() {
	p.Services.Release()
	p.Root.Close()
}

// LogTo sets the partition's log.
func (p *Partition) LogTo(log *slog.Logger) { p.Log = log.With("partition", p.ID.Partition) }

// Step shows the user what is being done.
func (p *Partition) Step(doing string) { p.Node.Progress.Step(p.ID.Partition, doing) }

// Owner returns the user of the partition. It refuses root (GRID-13).
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

// SoftwareURL returns the Software Release's URL, or "" if the master names none.
func (p *Partition) SoftwareURL() string { return softwareURL(p.Wanted) }

func softwareURL(w *slap.Partition) string {
	if w.SoftwareRelease == nil {
		return ""
	}
	return w.SoftwareRelease.URL
}

// SoftwareType returns the type shown in summaries (GRID-55).
func (p *Partition) SoftwareType() string { return typeText(p.Wanted) }

func typeText(wanted *slap.Partition) string {
	if name := wanted.SoftwareType(); name != "" {
		return name
	}
	return "(not ready)"
}

// Filter returns the parameters with which the instance was requested to be placed.
func (p *Partition) Filter() slap.Dict {
	filter, _ := p.Wanted.Extra["_filter_dict"].(slap.Dict)
	return filter
}

// Addresses returns the partition's addresses, then those of the networks it reaches.
func (p *Partition) Addresses() []slap.Address {
	return append(p.Wanted.Addresses(), p.Wanted.FullAddresses()...)
}

// ReportError reports a failure to the master, without secrets.
func (p *Partition) ReportError(ctx context.Context, failure error) {
	reportError(ctx, p.Node, p.Log, p.ID, failure)
}

func reportError(ctx context.Context, node *pass.Node, log *slog.Logger, id slap.PartitionID, failure error) {
	node.Report(ctx, log, func(ctx context.Context) error {
		return node.Master.InstanceError(ctx, id, node.Hide(failure.Error()))
	})
}

// ReportStopped reports the partition as stopped and ignores a failure of that
// call (GRID-52).
func (p *Partition) ReportStopped(ctx context.Context) pass.Outcome {
	if err := p.Node.Master.Stopped(ctx, p.ID); err != nil {
		p.Log.Debug("Ignored failure to report a stopped partition", "error", err)
		if ctx.Err() != nil {
			return pass.Failed(ctx.Err())
		}
		return pass.Skipped
	}
	return pass.Done
}

// Managed returns the partition as managers see it.
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
