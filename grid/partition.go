// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"fmt"
	"log/slog"
	"path/filepath"

	"slapos/grid/supervision"
	"slapos/manager"
	"slapos/promise/process"
	"slapos/slap"
	"slapos/slap/confined"
)

// A partition is one partition while a pass works on it.
type partition struct {
	node   *node
	id     slap.PartitionID
	path   string // its directory
	wanted *slap.Partition
	log    *slog.Logger
	root   *confined.Directory
	// url and release are of the Software Release, empty when the master named
	// none.
	url, release string
	// keyFile and certificateFile are empty without a repository (GRID-44).
	keyFile, certificateFile string

	user     *process.User // see owner
	services *supervision.Partition
	started  bool // the services, in this pass
}

// openPartition opens the directory of a partition; close it after use.
func (p *node) openPartition(wanted *slap.Partition, log *slog.Logger) (*partition, error) {
	name := wanted.Reference
	path := filepath.Join(p.InstanceRoot, name)
	if name != filepath.Base(path) {
		return nil, fmt.Errorf("%q is not the name of a partition", name)
	}
	root, err := confined.Open(path)
	if err != nil {
		return nil, fmt.Errorf("partition %s: %w", name, err)
	}
	t := &partition{
		node: p, id: slap.PartitionID{Computer: p.ComputerID, Partition: name},
		path: path, wanted: wanted, root: root, services: p.supervision.Partition(name, path), log: log.With("partition", name),
	}
	if wanted.SoftwareRelease != nil && wanted.SoftwareRelease.URL != "" {
		t.url = wanted.SoftwareRelease.URL
		t.release = p.releaseDirectory(t.url)
	}
	if p.CertificateRepository != "" {
		t.keyFile = filepath.Join(p.CertificateRepository, name+".key")
		t.certificateFile = filepath.Join(p.CertificateRepository, name+".crt")
	}
	return t, nil
}

func (t *partition) close() { t.root.Close() }

// step tells the watching user what is being done now.
func (t *partition) step(doing string) { t.node.Progress.Step(t.id.Partition, doing) }

// owner is the user of the partition. Root is refused (GRID-13).
func (t *partition) owner() (*process.User, error) {
	if t.user == nil {
		user, err := process.LookupUser(t.root.UID, t.root.GID)
		if err != nil {
			return nil, fmt.Errorf("partition %s: %w", t.id.Partition, err)
		}
		t.user = user
	}
	return t.user, nil
}

// environment of the partition's children, before it is cleaned (GRID-12).
func (t *partition) environment() []string { return t.node.partitionEnvironment() }

func (p *node) partitionEnvironment() []string {
	return append(p.Environment[:len(p.Environment):len(p.Environment)], "SLAPGRID_INSTANCE_ROOT="+p.InstanceRoot)
}

// softwareType is told in summaries (GRID-55).
func softwareType(wanted *slap.Partition) string {
	if name := wanted.SoftwareType(); name != "" {
		return name
	}
	return "(not ready)"
}

// managed is the partition as managers see it.
func (t *partition) managed() *manager.Partition {
	name := ""
	if user, err := t.owner(); err == nil {
		name = user.Name
	}
	return &manager.Partition{
		ID: t.id.Partition, Path: t.path, Directory: t.root,
		UID: t.root.UID, GID: t.root.GID, User: name,
		State:      t.wanted.RequestedState,
		Addresses:  append(t.wanted.Addresses(), t.wanted.FullAddresses()...),
		Supervisor: &managedServices{t},
	}
}
