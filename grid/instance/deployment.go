// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"fmt"

	"slapos/grid/buildout"
	"slapos/grid/firewall"
	"slapos/grid/partition"
	"slapos/slap/confined"
)

// A deployment is one partition during a pass.
type deployment struct {
	*partition.Partition
	options  *Options
	firewall *firewall.Firewall // nil: partitions have no rules
	releases *releases
	// url and release, a directory, belong to the Software Release; empty if
	// the master names none.
	url, release string
	// software is the opened release, nil until needed: see openRelease.
	software *confined.Directory

	supplied bool // the master wants the release on this node
	started  bool // the services, in this pass
}

func (p *instancePass) newDeployment(opened *partition.Partition) *deployment {
	d := &deployment{
		Partition: opened, options: &p.options, firewall: p.firewall, releases: &p.releases, url: opened.SoftwareURL(),
	}
	if d.url != "" {
		d.release = buildout.ReleaseDirectory(p.node.SoftwareRoot, d.url)
	}
	return d
}

// openRelease opens the directory of the release, from which the rest of the
// deployment reads (D-31).
func (d *deployment) openRelease() (err error) {
	if d.software == nil {
		d.software, err = d.releases.open(d.release)
	}
	if confined.IsAbsent(err) {
		return &unbuiltError{fmt.Errorf("Software Release %s is not present on system.\nCannot deploy instance.", d.url)}
	}
	return err
}

// Close closes everything that is open.
func (d *deployment) Close() {
	if d.software != nil {
		d.software.Close()
	}
	d.Partition.Close()
}

// environment returns the environment of the partition's children, not yet
// cleaned (GRID-12).
func (d *deployment) environment() []string {
	own := d.Node.Environment
	return append(own[:len(own):len(own)], "SLAPGRID_INSTANCE_ROOT="+d.Node.InstanceRoot)
}
