// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"fmt"

	"slapos/grid/buildout"
	"slapos/grid/firewall"
	"slapos/grid/partition"
	"slapos/slap/confined"
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
	// software is the release, opened, once it is needed: see openRelease.
	software *confined.Directory

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

// openRelease opens the directory of the release, which is what all the rest of
// the deployment reads (D-31).
func (d *deployment) openRelease() (err error) {
	if d.software == nil {
		d.software, err = d.releases.open(d.release)
	}
	if confined.IsAbsent(err) {
		return fmt.Errorf("Software Release %s is not present on system.\nCannot deploy instance.", d.url)
	}
	return err
}

// Close closes what is open.
func (d *deployment) Close() {
	if d.software != nil {
		d.software.Close()
	}
	d.Partition.Close()
}

// environment of the partition's children, before it is cleaned (GRID-12).
func (d *deployment) environment() []string {
	own := d.Node.Environment
	return append(own[:len(own):len(own)], "SLAPGRID_INSTANCE_ROOT="+d.Node.InstanceRoot)
}
