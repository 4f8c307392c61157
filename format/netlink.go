// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// kernelNetwork is the kernel's Network, in the process's network namespace.
type kernelNetwork struct{}

func (kernelNetwork) Present(context.Context) (*NetworkState, error) {
	links, err := dump(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	addresses, err := dump(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	filter := &netlink.Route{Table: unix.RT_TABLE_UNSPEC}
	routes, err := dump(func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(netlink.FAMILY_ALL, filter, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	state := &NetworkState{Links: map[string]*Link{}, Alternatives: map[string]string{}}
	names := map[int]string{}
	for _, link := range links {
		name := link.Attrs().Name
		names[link.Attrs().Index] = name
		for _, alternative := range link.Attrs().AltNames {
			state.Alternatives[alternative] = name
		}
		state.Links[name] = &Link{Owner: -1, Up: link.Attrs().RawFlags&unix.IFF_UP != 0}
		if device, ok := link.(*netlink.Tuntap); ok {
			state.Links[name].TunTap = true
			state.Links[name].Owner = int(int32(device.Owner)) // without an owner, all bits are set
		}
	}
	for _, address := range addresses {
		if link := state.Links[names[address.LinkIndex]]; link != nil {
			own := prefixOf(address.IPNet)
			if address.Peer != nil { // the length belongs to the peer
				own = netip.PrefixFrom(own.Addr(), prefixOf(address.Peer).Bits())
			}
			link.Addresses = append(link.Addresses, own)
			if isTentative(address.Flags) || address.Flags&unix.IFA_F_DADFAILED != 0 {
				link.Unsettled = append(link.Unsettled, own)
			}
		}
	}
	for _, route := range routes {
		local := route.Table == unix.RT_TABLE_LOCAL
		if route.Dst == nil || !local && route.Table != unix.RT_TABLE_MAIN {
			continue
		}
		gateway, _ := netip.AddrFromSlice(route.Gw)
		if route.Dst.IP.To4() != nil {
			gateway = gateway.Unmap()
		}
		state.Routes = append(state.Routes, Route{Destination: prefixOf(route.Dst), Link: names[route.LinkIndex], Gateway: gateway, Local: local})
	}
	return state, nil
}

// dump lists again if something changed while the kernel listed.
func dump[T any](list func() ([]T, error)) (all []T, err error) {
	for range 50 {
		if all, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return all, err
}

func prefixOf(network *net.IPNet) netip.Prefix {
	address, _ := netip.AddrFromSlice(network.IP)
	length, size := network.Mask.Size()
	if size == 32 {
		address = address.Unmap()
	}
	return netip.PrefixFrom(address, length)
}

func ipNet(prefix netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())}
}

func (kernelNetwork) AddAddress(_ context.Context, name string, address netip.Prefix, options AddressOptions) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	// A zero broadcast address keeps the library from choosing one.
	wanted := &netlink.Addr{IPNet: ipNet(address), Broadcast: net.IPv4zero}
	if address.Addr().Is6() {
		wanted.Broadcast = nil
	}
	if options.NoPrefixRoute {
		wanted.Flags = unix.IFA_F_NOPREFIXROUTE
	}
	return netlink.AddrAdd(link, wanted)
}

func (kernelNetwork) DeleteAddress(_ context.Context, name string, address netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	err = netlink.AddrDel(link, &netlink.Addr{IPNet: ipNet(address)})
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		return nil
	}
	return err
}

// AddTunTap makes the device with its own system calls: the library would give
// it to a group, too, and then its owner alone couldn't open it.
func (kernelNetwork) AddTunTap(ctx context.Context, name string, mode DeviceMode, owner int) error {
	device, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /dev/net/tun: %w", err)
	}
	defer func() { _ = unix.Close(device) }()
	request, err := unix.NewIfreq(name)
	if err != nil {
		return fmt.Errorf("name %q: %w", name, err)
	}
	flags := uint16(unix.IFF_NO_PI)
	if mode == TapMode {
		flags |= unix.IFF_TAP
	} else {
		flags |= unix.IFF_TUN
	}
	request.SetUint16(flags)
	if err := unix.IoctlIfreq(device, unix.TUNSETIFF, request); err != nil {
		return fmt.Errorf("make it: %w", err)
	}
	if err := unix.IoctlSetInt(device, unix.TUNSETOWNER, owner); err != nil {
		return fmt.Errorf("set its owner: %w", err)
	}
	if err := unix.IoctlSetInt(device, unix.TUNSETPERSIST, 1); err != nil {
		return fmt.Errorf("make it persistent: %w", err)
	}
	return kernelNetwork{}.SetUp(ctx, name)
}

func (kernelNetwork) SetUp(_ context.Context, name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}

func (kernelNetwork) AddRoute(_ context.Context, route Route) error {
	wanted, err := kernelRoute(route)
	if err != nil {
		return err
	}
	return netlink.RouteAdd(wanted)
}

func (kernelNetwork) DeleteRoute(_ context.Context, route Route) error {
	present, err := kernelRoute(route)
	if err != nil {
		return err
	}
	present.Protocol = 0 // whoever made it
	return netlink.RouteDel(present)
}

// kernelRoute returns a route as ip would request it.
func kernelRoute(route Route) (*netlink.Route, error) {
	link, err := netlink.LinkByName(route.Link)
	if err != nil {
		return nil, err
	}
	wanted := &netlink.Route{
		LinkIndex: link.Attrs().Index,
		Dst:       ipNet(route.Destination),
		Protocol:  unix.RTPROT_BOOT,
	}
	if route.Gateway.IsValid() {
		wanted.Gw = route.Gateway.AsSlice()
	}
	switch {
	case route.Local:
		wanted.Table, wanted.Type = unix.RT_TABLE_LOCAL, unix.RTN_LOCAL
	case route.Destination.Addr().Is4() && wanted.Gw == nil:
		wanted.Scope = netlink.SCOPE_LINK
	}
	return wanted, nil
}
