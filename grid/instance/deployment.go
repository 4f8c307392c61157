// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"slapos/grid/buildout"
	"slapos/grid/firewall"
	"slapos/grid/partition"
)

// A deployment is one partition while the pass works on it.
type deployment struct {
	*partition.Partition
	options  *Options
	firewall *firewall.Firewall // nil: partitions have no rules
	releases *releases
	// url and release, a directory, are of the Software Release, empty when the
	// master named none.
	url, release string

	started bool // the services, in this pass
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

// environment of the partition's children, before it is cleaned (GRID-12).
func (d *deployment) environment() []string {
	own := d.Node.Environment
	return append(own[:len(own):len(own)], "SLAPGRID_INSTANCE_ROOT="+d.Node.InstanceRoot)
}
