// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
)

// network plans the devices, addresses and routes of one partition (FMT-50 to
// FMT-59); the route to its range comes later.
func (p *planner) network(i int, partition *Partition) error {
	if tap := &partition.Tap; p.definition.CreateTap {
		if err := p.device(tap.Name, TapMode, partition.User); err != nil {
			return err
		}
		p.missing(i, tap.Name, TapMode)
		if err := p.tapRoutes(tap); err != nil {
			return err
		}
	}
	if tun := partition.Tun; tun != nil {
		if err := p.device(tun.Name, TunMode, partition.User); err != nil {
			return err
		}
		p.missing(i, tun.Name, TunMode)
	}
	p.missing(i, "", "")
	return nil
}

// missing plans the missing addresses of a partition on one of its devices,
// or, without one, on the interfaces of the machine.
func (p *planner) missing(i int, device string, mode DeviceMode) {
	for _, address := range p.addresses[i] {
		if address.Device != (device != "") || address.Device && address.Link != device {
			continue
		}
		key := withoutPrefix(address.LinkAddress)
		if !p.there[key] {
			p.address(address, mode)
		} else if p.unsettled[address.LinkAddress] && !address.Device {
			p.probe.found = append(p.probe.found, address.LinkAddress)
		}
		p.there[key] = true
	}
}

// routeTarget is what routes are replaced by.
type routeTarget struct {
	destination netip.Prefix
	link        string
}

// index makes what is there, and what is wanted, quick to find.
func (p *planner) index() {
	p.there, p.unsettled = map[LinkAddress]bool{}, map[LinkAddress]bool{}
	p.routes, p.addresses = map[routeTarget][]Route{}, map[int][]WantedAddress{}
	for name, link := range p.present.Network.Links {
		for _, address := range link.Addresses {
			p.there[withoutPrefix(LinkAddress{name, address})] = true
		}
		for _, address := range link.Unsettled {
			p.unsettled[LinkAddress{name, address}] = true
		}
	}
	for _, route := range p.present.Network.Routes {
		target := routeTarget{route.Destination, route.Link}
		p.routes[target] = append(p.routes[target], route)
	}
	for _, address := range p.wanted.Addresses {
		p.addresses[address.Partition] = append(p.addresses[address.Partition], address)
	}
}

// withoutPrefix: an interface that has an address in another network has it.
func withoutPrefix(address LinkAddress) LinkAddress {
	address.Address = netip.PrefixFrom(address.Address.Addr(), address.Address.Addr().BitLen())
	return address
}

// rangeRoute makes the addresses of a partition's range the machine's own.
func (p *planner) rangeRoute(partition *Partition) error {
	if !p.definition.AlterNetwork || partition.Range == nil {
		return nil
	}
	network, err := netip.ParsePrefix(partition.Range.Network)
	if err != nil {
		return fmt.Errorf("partition %s: its range: %w", partition.Reference, err)
	}
	p.route(Route{Destination: network.Masked(), Link: "lo", Local: true})
	return nil
}

// device plans a tap or tun that belongs to the partition's user, to root where
// there is no such user (FMT-50, FMT-51).
func (p *planner) device(name string, mode DeviceMode, user string) error {
	if name == "" {
		return fmt.Errorf("its %s has no name", mode)
	}
	owner, found := p.present.Accounts.Users[user]
	if !found {
		user, owner = "root", p.present.Accounts.Users["root"]
	}
	link := p.present.Network.Links[name]
	if link == nil {
		p.add("make-device", fmt.Sprintf("ip tuntap add dev %s mode %s user %s && ip link set %s up", name, mode, user, name), func(ctx context.Context) error {
			owner, err := p.machine.user(ctx, user)
			if err != nil {
				return err
			}
			return p.machine.Network.AddTunTap(ctx, name, mode, owner.UID)
		})
		return nil
	}
	if !link.TunTap {
		return fmt.Errorf("network interface %s is there but is no %s: rename or remove it", name, mode)
	}
	switch {
	case owner.UID < 0: // the user is new, so the device is somebody else's
		p.log.Warn(fmt.Sprintf("Wrong owner of TUN/TAP interface %s! Not touching it.Expected %s got %d", name, user, link.Owner))
	case link.Owner != owner.UID:
		p.log.Warn(fmt.Sprintf("Wrong owner of TUN/TAP interface %s! Not touching it.Expected %d got %d", name, owner.UID, link.Owner))
	case !link.Up: // a run was stopped here; no route can lead there
		p.add("make-device", fmt.Sprintf("ip link set %s up", name), func(ctx context.Context) error {
			return p.machine.Network.SetUp(ctx, name)
		})
	}
	return nil
}

// address plans an address. Taps are routed by hand, through the first address
// of their range; failures on tuns do not matter (FMT-56).
func (p *planner) address(address WantedAddress, mode DeviceMode) {
	is6 := address.Address.Addr().Is6()
	options := AddressOptions{NoPrefixRoute: mode == TapMode && is6}
	command := fmt.Sprintf("ip addr add %s dev %s", address.Address, address.Link)
	if options.NoPrefixRoute {
		command += " noprefixroute"
	}
	probed := is6 && !address.Device
	if probed {
		p.probe.added = append(p.probe.added, address.LinkAddress)
	}
	p.add("add-address", command, func(ctx context.Context) error {
		if probed {
			if err := p.probe.start(ctx, p.machine.Network); err != nil {
				return err
			}
		}
		err := p.machine.Network.AddAddress(ctx, address.Link, address.Address, options)
		switch {
		case err != nil && mode == TunMode:
			p.log.Debug("address of tun is not added", "error", err)
		case err != nil:
			return err
		case address.Restored:
			p.log.Info(fmt.Sprintf("Successfully added IPv6 %s to %s.", address.Address.Addr(), address.Link))
		}
		return nil
	})
}

// tapRoutes plans the routes to what is behind a tap (FMT-55).
func (p *planner) tapRoutes(tap *Device) error {
	if tap.IPv4.Address != "" {
		address, err := netip.ParseAddr(tap.IPv4.Address)
		if err != nil {
			return err
		}
		p.route(Route{Destination: netip.PrefixFrom(address, address.BitLen()), Link: tap.Name})
	}
	if tap.IPv6.Network == "" {
		return nil
	}
	gateway, err := netip.ParseAddr(tap.IPv6.Gateway)
	if err != nil {
		return err
	}
	network, err := netip.ParsePrefix(tap.IPv6.Network)
	if err != nil {
		return err
	}
	p.route(Route{Destination: netip.PrefixFrom(gateway, 128), Link: tap.Name})
	p.route(Route{Destination: network.Masked(), Link: tap.Name, Gateway: gateway})
	return nil
}

// route plans a route, in the place of one to the same network on the same
// interface that has another gateway.
func (p *planner) route(wanted Route) {
	for _, present := range p.routes[routeTarget{wanted.Destination, wanted.Link}] {
		if present == wanted {
			return
		}
		if wanted.Gateway.IsValid() && !present.Local {
			p.add("delete-route", routeCommand("del", present), func(ctx context.Context) error {
				return p.machine.Network.DeleteRoute(ctx, present)
			})
		}
	}
	p.add("add-route", routeCommand("add", wanted), func(ctx context.Context) error {
		return p.machine.Network.AddRoute(ctx, wanted)
	})
}

func routeCommand(verb string, route Route) string {
	words := []string{"ip"}
	if route.Destination.Addr().Is6() {
		words = append(words, "-6")
	}
	words = append(words, "route", verb)
	if route.Local {
		words = append(words, "local")
	}
	destination := route.Destination.String()
	if route.Destination.IsSingleIP() {
		destination = route.Destination.Addr().String()
	}
	words = append(words, destination, "dev", route.Link)
	if route.Gateway.IsValid() {
		words = append(words, "via", route.Gateway.String())
	}
	return strings.Join(words, " ")
}
