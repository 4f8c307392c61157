// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"context"

	"slapos/grid/firewall"
	"slapos/grid/pass"
)

// openFirewall gives the partition the rules that its addresses, its peers and
// its user's wishes make (GRID-80).
func (t *partition) openFirewall(ctx context.Context) (pass.Outcome, error) {
	if t.node.firewall == nil {
		return pass.Skipped, nil
	}
	t.log.Info("Configuring firewall...")
	peers, err := t.node.Master.IPList(ctx, t.id)
	if err != nil {
		return "", err
	}
	traffic := firewall.Traffic{
		Addresses: append(t.wanted.Addresses(), t.wanted.FullAddresses()...), Peers: peers,
		Filter: t.filter(), Authorized: t.node.Firewall.AuthorizedSources,
	}
	return pass.Done, t.node.firewall.Set(ctx, t.root, t.id.Partition, traffic.Rules(t.log), t.log)
}

// closeFirewall takes all rules of the partition away.
func (t *partition) closeFirewall(ctx context.Context) (pass.Outcome, error) {
	if t.node.firewall == nil {
		return pass.Skipped, nil
	}
	t.log.Info("Removing firewall configuration...")
	return pass.Done, t.node.firewall.Set(ctx, t.root, t.id.Partition, nil, t.log)
}
