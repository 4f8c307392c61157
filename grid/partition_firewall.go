// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import "context"

// openFirewall gives the partition the rules that its addresses, its peers and
// its user's wishes make (GRID-80).
func (t *partition) openFirewall(ctx context.Context) (outcome, error) {
	if t.pass.firewall == nil {
		return skipped, nil
	}
	t.log.Info("Configuring firewall...")
	peers, err := t.pass.Master.IPList(ctx, t.id)
	if err != nil {
		return "", err
	}
	traffic := firewallTraffic{
		addresses: append(t.wanted.Addresses(), t.wanted.FullAddresses()...), peers: peers,
		filter: t.filter(), authorized: t.pass.Firewall.AuthorizedSources,
	}
	return done, t.pass.firewall.set(ctx, t.root, t.id.Partition, traffic.rules(t.log), t.log)
}

// closeFirewall takes all rules of the partition away.
func (t *partition) closeFirewall(ctx context.Context) (outcome, error) {
	if t.pass.firewall == nil {
		return skipped, nil
	}
	t.log.Info("Removing firewall configuration...")
	return done, t.pass.firewall.set(ctx, t.root, t.id.Partition, nil, t.log)
}
