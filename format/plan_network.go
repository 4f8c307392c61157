// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// network plans the devices, addresses and routes of one partition (FMT-50 to
// FMT-59); the route to its range comes later.
func (p *planner) network(i int, partition *Partition) error {
	if tap := &partition.Tap; p.wanted.Definition.CreateTap {
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

// ownAddress plans the computer's own address (FMT-92). The loopback interface
// takes one only when IPv6 is on there; that is harmless, unlike elsewhere.
func (p *planner) ownAddress() {
	addresses := p.addresses[theComputer]
	if len(addresses) > 0 && addresses[0].Link == "lo" && p.present.LoopbackWithoutIPv6 {
		p.add("sysctl", "sysctl "+strings.ReplaceAll(loopbackWithoutIPv6, "/", ".")+"=0", setSysctl{name: loopbackWithoutIPv6, value: "0"})
	}
	p.missing(theComputer, "", "")
}

// missing plans a partition's missing addresses on one of its devices or, if
// device is empty, on the interfaces of the machine.
func (p *planner) missing(i int, device string, mode DeviceMode) {
	for _, address := range p.addresses[i] {
		if address.Device != (device != "") || address.Device && address.Link != device {
			continue
		}
		key := withoutPrefix(address.LinkAddress)
		if !p.there[key] {
			p.address(address, mode)
		} else if p.unsettled[address.LinkAddress] && !address.Device {
			p.probed.found = append(p.probed.found, address.LinkAddress)
		}
		p.there[key] = true
	}
}

// routeTarget is the key by which a new route replaces another.
type routeTarget struct {
	destination netip.Prefix
	link        string
}

// index makes present and wanted things quick to find.
func (p *planner) index() {
	p.there, p.unsettled = map[LinkAddress]bool{}, map[LinkAddress]bool{}
	p.routes, p.addresses = map[routeTarget][]Route{}, map[int][]WantedAddress{}
	for name, link := range p.present.Network.Links {
		for _, address := range link.Addresses {
			p.there[withoutPrefix(LinkAddress{Link: name, Address: address})] = true
		}
		for _, address := range link.Unsettled {
			p.unsettled[LinkAddress{Link: name, Address: address}] = true
		}
	}
	for _, route := range p.present.Network.Routes {
		target := routeTarget{destination: route.Destination, link: route.Link}
		p.routes[target] = append(p.routes[target], route)
	}
	for _, address := range p.wanted.Addresses {
		p.addresses[address.Partition] = append(p.addresses[address.Partition], address)
	}
}

// withoutPrefix ignores the network: an interface has an address whatever its network.
func withoutPrefix(address LinkAddress) LinkAddress {
	address.Address = netip.PrefixFrom(address.Address.Addr(), address.Address.Addr().BitLen())
	return address
}

// rangeRoute makes the addresses of a partition's range local to the machine.
func (p *planner) rangeRoute(partition *Partition) error {
	if !p.wanted.Definition.AlterNetwork || partition.Range == nil {
		return nil
	}
	network, err := netip.ParsePrefix(partition.Range.Network)
	if err != nil {
		return fmt.Errorf("partition %s: its range: %w", partition.Reference, err)
	}
	p.route(Route{Destination: network.Masked(), Link: "lo", Local: true})
	return nil
}

// device plans a tap or tun that belongs to the partition's user, or to root if
// users are not managed (FMT-50, FMT-51).
func (p *planner) device(name string, mode DeviceMode, user string) error {
	if name == "" {
		return fmt.Errorf("its %s has no name", mode)
	}
	owner, found := p.accounts.Users[user]
	if !found {
		user, owner = "root", p.accounts.Users["root"]
	}
	if p.devices[name] {
		return nil // another partition has the same
	}
	link := p.present.Network.Links[name]
	if link == nil {
		p.devices[name] = true
		p.add("make-device", fmt.Sprintf("ip tuntap add dev %s mode %s user %s && ip link set %s up", name, mode, user, name), makeDevice{name: name, mode: mode, user: user})
		return nil
	}
	if !link.TunTap {
		return fmt.Errorf("network interface %s exists but is not a %s: rename or remove it", name, mode)
	}
	switch {
	case owner.UID == unknownID: // the user is new, so the device belongs to somebody else
		p.warn("Wrong owner of TUN/TAP interface %s! Not touching it.Expected %s got %d", name, user, link.Owner)
	case link.Owner != owner.UID:
		p.warn("Wrong owner of TUN/TAP interface %s! Not touching it.Expected %d got %d", name, owner.UID, link.Owner)
	case !link.Up: // an earlier run stopped here; no route can use it
		p.add("make-device", fmt.Sprintf("ip link set %s up", name), setDeviceUp{name: name})
	}
	return nil
}

// address plans an address. Taps are routed explicitly, through the first
// address of their range; failures on tuns are ignored (FMT-56).
func (p *planner) address(address WantedAddress, mode DeviceMode) {
	is6 := address.Address.Addr().Is6()
	c := addAddress{WantedAddress: address, options: AddressOptions{NoPrefixRoute: mode == TapMode && is6}, probed: is6 && !address.Device, optional: mode == TunMode}
	command := fmt.Sprintf("ip addr add %s dev %s", address.Address, address.Link)
	if c.options.NoPrefixRoute {
		command += " noprefixroute"
	}
	if c.probed {
		p.probed.added = append(p.probed.added, address.LinkAddress)
	}
	p.add("add-address", command, c)
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

// route plans a route, which replaces one to the same network on the same
// interface with another gateway.
func (p *planner) route(wanted Route) {
	target := routeTarget{destination: wanted.Destination, link: wanted.Link}
	if slices.Contains(p.routes[target], wanted) {
		return
	}
	left := []Route{wanted}
	for _, present := range p.routes[target] {
		if wanted.Gateway.IsValid() && !present.Local {
			p.add("delete-route", routeCommand("del", present), deleteRoute{Route: present})
		} else {
			left = append(left, present)
		}
	}
	p.add("add-route", routeCommand("add", wanted), addRoute{Route: wanted})
	p.routes[target] = left
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
