// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
)

// The number of tries before a random choice of an address gives up (FMT-36, FMT-39).
const allocationTries = 10

// WantedAddress is an address that must be on an interface.
type WantedAddress struct {
	LinkAddress
	Partition int // or theComputer
	// Device means that the interface is a tap or tun of the partition.
	Device bool
	// Restored means that the address is known from an earlier run.
	Restored bool
}

// theComputer stands in place of a partition for an address of the computer itself.
const theComputer = -1

// allocator hands out addresses. It changes nothing but its copy of the
// interfaces, to which it adds them.
type allocator struct {
	computer *Computer
	log      *slog.Logger
	links    map[string]*Link
	holders  map[netip.Addr][]LinkAddress // who has it, or will
	global   []netip.Prefix               // addresses of the IPv6 interface (FMT-21)
	base     netip.Prefix                 // the widest of them
	refused  map[LinkAddress]bool
	ranges   map[netip.Prefix]bool // handed out in this run
	stored   map[netip.Addr]bool   // of partitions of earlier runs
	given    map[LinkAddress]bool
	wanted   []WantedAddress
}

func newAllocator(computer *Computer, present *NetworkState, global []netip.Prefix, refused map[LinkAddress]bool, log *slog.Logger) *allocator {
	a := &allocator{computer: computer, log: log, links: present.Links, global: global, base: widest(global), refused: refused,
		holders: map[netip.Addr][]LinkAddress{}, ranges: map[netip.Prefix]bool{}, stored: map[netip.Addr]bool{}, given: map[LinkAddress]bool{}}
	for name, link := range present.Links {
		for _, address := range link.Addresses {
			a.holders[address.Addr()] = append(a.holders[address.Addr()], LinkAddress{Link: name, Address: address})
		}
	}
	for _, partition := range computer.Partitions {
		for _, stored := range partition.Addresses {
			if address, err := netip.ParseAddr(stored.Address); err == nil {
				a.stored[address] = true
			}
		}
	}
	return a
}

// globalAddresses returns those addresses of an interface from which partitions
// can get theirs (FMT-21); it fails if there are none.
func globalAddresses(name string, network *NetworkState) ([]netip.Prefix, error) {
	link := network.Links[name]
	if link == nil {
		return nil, fmt.Errorf("there is no network interface %s", name)
	}
	hasIPv6 := false
	var global []netip.Prefix
	for _, address := range link.Addresses {
		hasIPv6 = hasIPv6 || address.Addr().Is6()
		if address.Addr().Is6() && isGlobalScope(address.Addr()) {
			global = append(global, address)
		}
	}
	if !hasIPv6 {
		return nil, fmt.Errorf("%s must have at least one IPv6 address assigned%s", name, waysToIPv6)
	}
	if len(global) == 0 {
		return nil, fmt.Errorf("No IPv6 found on interface %s to construct IPv6 with.%s", name, waysToIPv6) //nolint:staticcheck,revive // FMT-21
	}
	return global, nil
}

const waysToIPv6 = " Give it one, name another interface in ipv6_interface, or a network in ipv6_local_network"

// HasGlobalIPv6 reports whether an interface has an address from which
// partitions can get theirs.
func HasGlobalIPv6(ctx context.Context, name string) (bool, error) {
	present, err := kernelNetwork{}.Present(ctx)
	if err != nil {
		return false, err
	}
	if name = present.name(name); present.Links[name] == nil {
		return false, fmt.Errorf("there is no network interface %s", name)
	}
	_, err = globalAddresses(name, present)
	return err == nil, nil
}

// baseAddresses are the global addresses of the IPv6 interface. One that has none
// but of ipv6_local_network gets the first address of that network, which is
// given then (FMT-92).
func baseAddresses(d *Definition, link string, network *NetworkState) (global []netip.Prefix, given netip.Prefix, err error) {
	global, err = globalAddresses(link, network)
	if d.IPv6LocalNetwork == "" || !d.AlterNetwork || network.Links[link] == nil {
		return global, given, err
	}
	local, err := parseIPv6Network(d.IPv6LocalNetwork, d.PrefixShift)
	if err != nil {
		return nil, given, err
	}
	if slices.ContainsFunc(global, func(address netip.Prefix) bool { return !local.Contains(address.Addr()) }) {
		return global, given, nil
	}
	given = netip.PrefixFrom(firstAddress(local), local.Bits())
	if !slices.Contains(global, given) {
		global = append(global, given)
	}
	return global, given, nil
}

// add requests an address on an interface, unless another interface has it, or
// it turned out to be taken (FMT-35).
func (a *allocator) add(address WantedAddress) bool {
	for _, holder := range a.holders[address.Address.Addr()] {
		if holder.Link != address.Link {
			a.log.Warn(fmt.Sprintf("Cannot add address %s to %s as it already exists on interface %s.", address.Address.Addr(), address.Link, holder.Link))
			return false
		}
	}
	if a.refused[address.LinkAddress] {
		return false
	}
	a.want(address)
	return true
}

func (a *allocator) want(address WantedAddress) {
	ip := address.Address.Addr()
	if !a.isOn(address.Link, ip) {
		a.holders[ip] = append(a.holders[ip], address.LinkAddress)
		if address.Link == a.computer.Interface.IPv6Interface && isGlobalScope(ip) {
			a.global = append(a.global, address.Address)
			a.base = widest([]netip.Prefix{a.base, address.Address})
		}
	}
	a.given[address.LinkAddress] = true
	a.wanted = append(a.wanted, address)
}

func (a *allocator) isOn(link string, address netip.Addr) bool {
	return slices.ContainsFunc(a.holders[address], func(holder LinkAddress) bool { return holder.Link == link })
}

// restore requests the addresses of an earlier run unchanged, even if the
// interface isn't in their network now, or another interface still has them:
// services keep their addresses when interface_name changes. It stops at the
// first one that still exists: then the machine was not restarted (FMT-44).
func (a *allocator) restore(partition int, addresses []Address) {
	for _, stored := range addresses {
		address, err := parsePair(stored.Address, stored.Netmask)
		if err != nil {
			return
		}
		link := a.computer.Interface.Name
		if address.Addr().Is6() {
			link = a.computer.Interface.IPv6Interface
		}
		wanted := WantedAddress{LinkAddress: LinkAddress{Link: link, Address: address}, Partition: partition}
		if a.isOn(link, address.Addr()) || a.links[link] == nil || a.refused[wanted.LinkAddress] {
			return
		}
		a.want(wanted)
	}
}

// ipv4 returns the IPv4 address of a partition (FMT-36, FMT-37).
func (a *allocator) ipv4(partition int, stored string) (Address, error) {
	link := a.computer.Interface.Name
	if a.links[link] == nil {
		return Address{}, fmt.Errorf("there is no network interface %s", link)
	}
	network, err := parseLocalNetwork(a.computer.Interface.IPv4LocalNetwork)
	if err != nil {
		return Address{}, err
	}
	if stored != "" {
		address, err := netip.ParseAddr(stored)
		if err != nil {
			return Address{}, err
		}
		wanted := WantedAddress{LinkAddress: LinkAddress{Link: link, Address: netip.PrefixFrom(address, 32)}, Partition: partition}
		if slices.Contains(a.holders[address], wanted.LinkAddress) && network.Contains(address) {
			a.want(wanted)
			return addressOf(wanted.Address), nil
		}
		if a.add(wanted) {
			return addressOf(wanted.Address), nil
		}
		a.log.Warn(fmt.Sprintf("Impossible to add old local IPv4 %s. Generating new IPv4 address.", stored))
	}
	return a.newIPv4(partition, link, network)
}

// newIPv4 draws an address from the whole network. The draw depends only on the
// names of computer and partition, so that if a run ends before saving its
// state, the next one draws the same.
func (a *allocator) newIPv4(partition int, link string, network netip.Prefix) (Address, error) {
	size := uint64(1) << (32 - network.Bits())
	first := a.draw(partition, "IPv4", size)
	for i := range min(size, 1<<16) {
		address := netip.PrefixFrom(nthIPv4(network, (first+i)%size), 32)
		wanted := WantedAddress{LinkAddress: LinkAddress{Link: link, Address: address}, Partition: partition}
		if !a.isGiven(wanted.LinkAddress) && a.add(wanted) {
			return addressOf(address), nil
		}
	}
	return Address{}, fmt.Errorf("no address is left in ipv4_local_network %s", network)
}

// isGiven reports whether the address belongs to a partition already, or is the
// interface's own.
func (a *allocator) isGiven(address LinkAddress) bool {
	if a.stored[address.Address.Addr()] {
		return true
	}
	own := func(holder LinkAddress) bool { return holder.Link == address.Link && holder.Address.Bits() != 32 }
	return a.given[address] || slices.ContainsFunc(a.holders[address.Address.Addr()], own)
}

// draw returns a number below limit that looks random but is always the same.
func (a *allocator) draw(partition int, purpose string, limit uint64) uint64 {
	sum := sha256.Sum256([]byte(a.computer.Reference + "\x00" + a.computer.Partitions[partition].Reference + "\x00" + purpose))
	return binary.BigEndian.Uint64(sum[:]) % limit
}

// ipv6 returns the IPv6 address of a partition, or of its tap if named: the
// stored one if it can stay, else the one of the partition's number, else a
// random one (FMT-38, FMT-39).
func (a *allocator) ipv6(partition int, stored Address, tap string) (Address, error) {
	link := a.computer.Interface.IPv6Interface
	if tap != "" {
		link = tap
	}
	base := a.base
	if stored.Address != "" {
		address, err := parsePair(stored.Address, stored.Netmask)
		if err != nil {
			return Address{}, err
		}
		base = nearest(a.global, address.Addr())
		if a.keep(WantedAddress{LinkAddress: LinkAddress{Link: link, Address: address}, Partition: partition, Device: tap != "", Restored: true}, base) {
			return Address{Address: stored.Address, Netmask: withoutLength(stored.Netmask)}, nil
		}
	}
	find := a.newAddress
	if tap != "" {
		find = a.newTapAddress
	}
	address, err := find(partition, base, link)
	if err != nil {
		return Address{}, err
	}
	return addressOf(address), nil
}

// keep reports whether an address of an earlier run can be reused.
func (a *allocator) keep(stored WantedAddress, base netip.Prefix) bool {
	for _, link := range []string{a.computer.Interface.IPv6Interface, stored.Link} {
		if slices.Contains(a.holders[stored.Address.Addr()], LinkAddress{Link: link, Address: stored.Address}) {
			stored.Link = link
			a.want(stored)
			return true
		}
	}
	sameLength := stored.Address.Bits() == base.Bits() || stored.Device && stored.Address.Bits() == 128
	if !sameLength || !base.Masked().Contains(stored.Address.Addr()) {
		return false
	}
	if a.add(stored) {
		return true
	}
	a.log.Warn(fmt.Sprintf("Impossible to add old public IPv6 %s. Generating new IPv6 address.", stored.Address.Addr()))
	return false
}

// newAddress finds a new address for a partition.
func (a *allocator) newAddress(partition int, base netip.Prefix, link string) (netip.Prefix, error) {
	return a.choose(partition, choice{
		owner: strconv.Itoa(partition),
		usual: partitionAddress(base, partition),
		random: func(number uint64) (netip.Prefix, error) {
			return netip.PrefixFrom(fill(netip.PrefixFrom(base.Addr(), 112), 16, number, zeros), base.Bits()), nil
		},
		take: func(address netip.Prefix) bool {
			return a.add(WantedAddress{LinkAddress: LinkAddress{Link: link, Address: address}, Partition: partition})
		},
	})
}

// newTapAddress finds an address for a partition's tap, and takes its range,
// too.
func (a *allocator) newTapAddress(partition int, base netip.Prefix, tap string) (netip.Prefix, error) {
	usual, err := subnetAddress(base, a.computer.Interface.PrefixShift, tapSubnet, partition)
	if err != nil {
		return usual, err
	}
	return a.choose(partition, choice{
		owner:  strconv.Itoa(partition) + " tap",
		usual:  usual,
		random: func(number uint64) (netip.Prefix, error) { return randomSubnet(base, number, ones) },
		take: func(address netip.Prefix) bool {
			if a.ranges[address.Masked()] || !a.add(WantedAddress{LinkAddress: LinkAddress{Link: tap, Address: address}, Partition: partition, Device: true}) {
				return false
			}
			a.ranges[address.Masked()] = true
			return true
		},
	})
}

// A choice is a way to find a new address.
type choice struct {
	owner  string                                    // for the log, and for the draw
	usual  netip.Prefix                              // the address of the partition's number
	random func(number uint64) (netip.Prefix, error) // another one
	take   func(address netip.Prefix) (isTaken bool) // requests the address, unless that is impossible
}

func (a *allocator) choose(partition int, c choice) (netip.Prefix, error) {
	address := c.usual
	if c.take(address) {
		return address, nil
	}
	if err := a.mayFallBack(c.owner, "Address "+address.String()); err != nil {
		return address, err
	}
	a.log.Warn(fmt.Sprintf("Falling back to random address selection for partition %s because %s is already taken", c.owner, address))
	for try := range allocationTries {
		var err error
		if address, err = c.random(1 + a.draw(partition, fmt.Sprintf("%s %d", c.owner, try), 65000)); err != nil {
			return address, err
		}
		if c.take(address) {
			return address, nil
		}
	}
	return address, fmt.Errorf("Generated IPv6 %s seems not to be a valid IP.", address.Addr()) //nolint:staticcheck,revive // FMT-39
}

// mayFallBack allows random addresses only with the usual prefix shift. With
// other shifts, the administrator relies on the plan.
func (a *allocator) mayFallBack(owner, what string) error {
	if shift := a.computer.Interface.PrefixShift; shift != 16 {
		return fmt.Errorf("%s for partition %s is already taken; aborting because IPv6 prefixshift is %d != 16", what, owner, shift)
	}
	return nil
}

// randomSubnet returns one of 2^16 parts of a network.
func randomSubnet(base netip.Prefix, number uint64, rest padding) (netip.Prefix, error) {
	length := base.Bits() + 16
	if length >= 128 {
		return netip.Prefix{}, fmt.Errorf("network %s is too small for ranges", base.Masked())
	}
	return netip.PrefixFrom(fill(base, 16, number, rest), length), nil
}

// network returns a range of a partition or of its tun. Ranges are only kept
// apart from each other; the machine's addresses don't matter (FMT-40).
func (a *allocator) network(partition int, kind subnetKind) (netip.Prefix, error) {
	prefix, err := subnetAddress(a.base, a.computer.Interface.PrefixShift, kind, partition)
	if err != nil {
		return prefix, err
	}
	owner := strconv.Itoa(partition)
	if kind == tunSubnet {
		owner += " tun"
	}
	if !a.ranges[prefix] {
		a.ranges[prefix] = true
		return prefix, nil
	}
	if err := a.mayFallBack(owner, "Address "+prefix.String()); err != nil {
		return prefix, err
	}
	a.log.Warn(fmt.Sprintf("Falling back to random IPv6 range selection for partition %s because %s is already taken", owner, prefix))
	for try := range allocationTries {
		if prefix, err = randomSubnet(a.base, 1+a.draw(partition, fmt.Sprintf("%s range %d", owner, try), 65000), zeros); err != nil {
			return prefix, err
		}
		if !a.ranges[prefix] {
			a.ranges[prefix] = true
			return prefix, nil
		}
	}
	return prefix, errors.New("no IPv6 range is left in " + a.base.Masked().String())
}
