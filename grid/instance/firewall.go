// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"context"

	"slapos/grid/firewall"
	"slapos/grid/pass"
)

// openFirewall sets the partition's rules, which follow from its addresses, its
// peers and its user's parameters (GRID-80).
func (d *deployment) openFirewall(ctx context.Context) pass.Outcome {
	if d.firewall == nil {
		return pass.Skipped
	}
	d.Log.Info("Configuring firewall...")
	peers, err := d.Node.Master.IPList(ctx, d.ID)
	if err != nil {
		return pass.Failed(err)
	}
	traffic := firewall.Traffic{
		Addresses: d.Addresses(), Peers: peers,
		Filter: d.Filter(), Authorized: d.options.Firewall.AuthorizedSources,
	}
	return pass.Ended(d.setRules(ctx, traffic.Rules(d.Log)))
}

// closeFirewall removes all rules of the partition.
func (d *deployment) closeFirewall(ctx context.Context) pass.Outcome {
	if d.firewall == nil {
		return pass.Skipped
	}
	d.Log.Info("Removing firewall configuration...")
	return pass.Ended(d.setRules(ctx, nil))
}

func (d *deployment) setRules(ctx context.Context, rules []firewall.Rule) error {
	state, err := d.Node.OpenState()
	if err != nil {
		return err
	}
	defer state.Close()
	place := firewall.Place{Partition: d.ID.Partition, State: state, Directory: d.Root, Addresses: d.Addresses()}
	return d.firewall.Set(ctx, place, rules, d.Log)
}
