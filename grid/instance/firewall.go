// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"context"

	"slapos/grid/firewall"
	"slapos/grid/pass"
)

// openFirewall gives the partition the rules that its addresses, its peers and
// its user's wishes make (GRID-80).
func (d *deployment) openFirewall(ctx context.Context) (pass.Outcome, error) {
	if d.firewall == nil {
		return pass.Skipped, nil
	}
	d.Log.Info("Configuring firewall...")
	peers, err := d.Node.Master.IPList(ctx, d.ID)
	if err != nil {
		return pass.Failed, err
	}
	traffic := firewall.Traffic{
		Addresses: d.Addresses(), Peers: peers,
		Filter: d.Filter(), Authorized: d.options.Firewall.AuthorizedSources,
	}
	return pass.Ended(d.firewall.Set(ctx, d.Root, d.ID.Partition, traffic.Rules(d.Log), d.Log))
}

// closeFirewall takes all rules of the partition away.
func (d *deployment) closeFirewall(ctx context.Context) (pass.Outcome, error) {
	if d.firewall == nil {
		return pass.Skipped, nil
	}
	d.Log.Info("Removing firewall configuration...")
	return pass.Ended(d.firewall.Set(ctx, d.Root, d.ID.Partition, nil, d.Log))
}
