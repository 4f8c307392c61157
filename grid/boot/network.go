// SPDX-License-Identifier: GPL-3.0-or-later

package boot

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
)

// waitForIPv6 returns once the interface has a global IPv6 address. The kernel
// announces new addresses; meanwhile a line is logged now and then (CLI-71).
func (b *boot) waitForIPv6(ctx context.Context) error {
	link, err := netlink.LinkByName(b.Interface)
	if err != nil {
		return fmt.Errorf("interface %s: %w", b.Interface, err)
	}
	b.log.Info("[BOOT] Checking if '" + b.Interface + "' has IPv6...")
	updates := make(chan netlink.AddrUpdate, 64)
	done := make(chan struct{})
	defer close(done)
	if err := netlink.AddrSubscribe(updates, done); err != nil {
		b.log.Debug("[BOOT] No events of addresses, asking every time: " + err.Error())
		updates = nil
	}
	retry := time.NewTicker(max(b.NetworkPause, time.Millisecond))
	defer retry.Stop()
	for {
		addresses, err := netlink.AddrList(link, netlink.FAMILY_V6)
		if err != nil {
			return fmt.Errorf("addresses of interface %s: %w", b.Interface, err)
		}
		for _, address := range addresses {
			if ip, ok := netip.AddrFromSlice(address.IP); ok && isGlobalIPv6(ip) {
				return nil
			}
		}
		b.log.Error(fmt.Sprintf("[BOOT] No IPv6 found on interface '%s', try again in %v seconds...", b.Interface, b.NetworkPause.Seconds()))
		if err := awaitAddress(ctx, updates, retry.C, link.Attrs().Index); err != nil {
			return err
		}
	}
}

// awaitAddress returns at the next new address of an interface, or at a tick.
func awaitAddress(ctx context.Context, updates <-chan netlink.AddrUpdate, tick <-chan time.Time, index int) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick:
			return nil
		case update, open := <-updates:
			if !open {
				updates = nil // the ticks go on
			}
			ip, ok := netip.AddrFromSlice(update.LinkAddress.IP)
			if ok && update.NewAddr && update.LinkIndex == index && isGlobalIPv6(ip) {
				return nil
			}
		}
	}
}

// globalIPv6 are the unicast prefixes that are neither reserved nor local to a
// link or host: global, unique local, and the deprecated site-local ones.
var globalIPv6 = []netip.Prefix{
	netip.MustParsePrefix("2000::/3"), netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fec0::/10"),
}

func isGlobalIPv6(ip netip.Addr) bool {
	if ip.Is4In6() {
		return false
	}
	for _, prefix := range globalIPv6 {
		if prefix.Contains(ip) {
			return true
		}
	}
	return false
}
