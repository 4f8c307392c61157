// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strings"
)

// The address plan of a computer. P is the prefix length of the base network
// and S the prefix shift; i counts partitions from 0:
//
//	partition address  | P bits | i+2 in all other bits          |
//	range              | P bits | S bits: 01.. + i+1 | zeros      |
//	tap address        | P bits | S bits: 10.. + i+1 | ones       |
//	tun range          | P bits | S bits: 11.. + i+1 | zeros      |
//
// (FMT-27 to FMT-30)
type subnetKind uint64

// The meaning of the first two of the S bits.
const (
	rangeSubnet subnetKind = 1 + iota
	tapSubnet
	tunSubnet
)

// globalScopes are the networks whose addresses partitions may get (FMT-22).
var globalScopes = []netip.Prefix{
	netip.MustParsePrefix("2000::/3"),
	netip.MustParsePrefix("fc00::/7"),
	netip.MustParsePrefix("fec0::/10"),
}

func isGlobalScope(address netip.Addr) bool {
	return slices.ContainsFunc(globalScopes, func(p netip.Prefix) bool { return p.Contains(address) })
}

// widest returns the address in the largest network, the lowest if there are
// several (FMT-23). There must be at least one.
func widest(addresses []netip.Prefix) netip.Prefix {
	return slices.MinFunc(addresses, func(a, b netip.Prefix) int {
		if a.Bits() != b.Bits() {
			return a.Bits() - b.Bits()
		}
		return a.Addr().Compare(b.Addr())
	})
}

// nearest returns the address in the same network as preferred: preferred
// itself if it is there, else the lowest (FMT-24); the widest if there is none.
//
// The original always takes the lowest, so a computer's address changes once a
// partition has a lower one (FMT-25). Here it doesn't change.
func nearest(addresses []netip.Prefix, preferred netip.Addr) netip.Prefix {
	var candidates []netip.Prefix
	for _, address := range addresses {
		if address.Addr() == preferred {
			return address
		}
		if address.Masked().Contains(preferred) {
			candidates = append(candidates, address)
		}
	}
	if len(candidates) == 0 {
		return widest(addresses)
	}
	return slices.MinFunc(candidates, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
}

// padding fills the rest of an address.
type padding int

const (
	zeros padding = iota
	ones
)

// fill returns the address with base's network bits, then value in width bits,
// then the padding.
func fill(base netip.Prefix, width int, value uint64, rest padding) netip.Addr {
	bytes := base.Masked().Addr().As16()
	set := func(bit int) { bytes[bit/8] |= 0x80 >> (bit % 8) }
	for i := range width {
		if value>>(width-1-i)&1 == 1 {
			set(base.Bits() + i)
		}
	}
	if rest == ones {
		for bit := base.Bits() + width; bit < 128; bit++ {
			set(bit)
		}
	}
	return netip.AddrFrom16(bytes)
}

// partitionAddress returns the IPv6 address of a partition. The numbers 0 and 1
// are reserved for the computer; narrow networks are shared (FMT-27, FMT-31).
func partitionAddress(base netip.Prefix, partition int) netip.Prefix {
	rest := 128 - base.Bits()
	number := uint64(partition) + 2
	if rest < 64 && number>>rest != 0 {
		if rest >= 2 {
			number = uint64(partition)%(1<<rest-2) + 2
		} else {
			number &= 1<<rest - 1
		}
	}
	return netip.PrefixFrom(fill(base, rest, number, zeros), base.Bits())
}

// subnetAddress returns the address of a partition's range, tap or tun, with
// the prefix length of its network (FMT-28 to FMT-30).
func subnetAddress(base netip.Prefix, shift int, kind subnetKind, partition int) (netip.Prefix, error) {
	length := base.Bits() + shift
	if length >= 128 { // FMT-32
		return netip.Prefix{}, fmt.Errorf("network %s is too small for ranges of %d bits more: use a larger network, a smaller ipv6_prefixshift, or partition_has_ipv6_range = false", base.Masked(), shift)
	}
	number := uint64(kind)<<(shift-2) + uint64(partition) + 1
	if bits.Len64(number) > shift {
		return netip.Prefix{}, fmt.Errorf("ipv6_prefixshift %d is too small for partition %d", shift, partition)
	}
	rest := zeros
	if kind == tapSubnet {
		rest = ones
	}
	return netip.PrefixFrom(fill(base, shift, number, rest), length), nil
}

// firstAddress returns the network of prefix with the last bit set (FMT-34).
func firstAddress(prefix netip.Prefix) netip.Addr {
	return fill(prefix, 128-prefix.Bits(), 1, zeros)
}

// Network of all tuns (FMT-57).
var tunNetwork = netip.MustParsePrefix("172.16.0.0/12")

// tunAddress returns the first host of a partition's part of the tun network.
// That has equal parts; their number is a power of two, at least the number of
// partitions.
func tunAddress(partitions, part int) netip.Prefix {
	length := tunNetwork.Bits() + bits.Len(uint(max(partitions, 1)-1))
	return netip.PrefixFrom(nthIPv4(tunNetwork, uint64(part)<<(32-length)+1), length)
}

// nthIPv4 returns the address n places after the first one of an IPv4 network.
func nthIPv4(network netip.Prefix, n uint64) netip.Addr {
	first := network.Masked().Addr().As4()
	var address [4]byte
	binary.BigEndian.PutUint32(address[:], binary.BigEndian.Uint32(first[:])+uint32(n))
	return netip.AddrFrom4(address)
}

// netmask returns the text of a prefix length in the computer description: an
// address, never a number (FMT-26).
func netmask(prefix netip.Prefix) string {
	all := fill(netip.PrefixFrom(netip.IPv6Unspecified(), 0), 0, 0, ones)
	if prefix.Addr().Is4() {
		all = netip.MustParseAddr("255.255.255.255")
	}
	return netip.PrefixFrom(all, prefix.Bits()).Masked().Addr().String()
}

// interfaceNetmask returns the netmask of the computer itself. The original
// gets its text from another source, which also leaves out a single zero at the
// end.
func interfaceNetmask(prefix netip.Prefix) string {
	text := netmask(prefix)
	if short, found := strings.CutSuffix(text, ":0"); found {
		return short + "::"
	}
	return text
}

// prefixLength reads a netmask, even in the form ffff::/16 (FMT-38).
func prefixLength(netmask string) (int, error) {
	if _, length, found := strings.Cut(netmask, "/"); found {
		prefix, err := netip.ParsePrefix("::/" + length)
		if err != nil {
			return 0, fmt.Errorf("netmask %q: %w", netmask, err)
		}
		return prefix.Bits(), nil
	}
	address, err := netip.ParseAddr(netmask)
	if err != nil {
		return 0, fmt.Errorf("netmask %q: %w", netmask, err)
	}
	length := 0
	rest := false
	for _, b := range address.AsSlice() {
		ones := bits.LeadingZeros8(^b)
		if b<<ones != 0 || rest && ones > 0 {
			return 0, fmt.Errorf("netmask %q has a hole", netmask)
		}
		length, rest = length+ones, rest || ones < 8
	}
	return length, nil
}

// parseLocalNetwork reads the pool of IPv4 addresses: a network with its length
// or netmask, or a single address.
func parseLocalNetwork(text string) (netip.Prefix, error) {
	address, mask, found := strings.Cut(text, "/")
	if !found {
		mask = "255.255.255.255"
	}
	network, err := netip.ParsePrefix(text)
	if err != nil {
		network, err = parsePair(address, mask)
	}
	if err != nil || !network.Addr().Is4() {
		return netip.Prefix{}, fmt.Errorf("ipv4_local_network %q is not a network such as 10.0.0.0/16", text)
	}
	return network, nil
}

// parseIPv6Network reads ipv6_local_network, which has room for prefixes that
// are longer by shift.
func parseIPv6Network(text string, shift int) (netip.Prefix, error) {
	network, err := netip.ParsePrefix(text)
	if err != nil || !isGlobalScope(network.Addr()) || network.Bits()+shift >= 128 {
		return netip.Prefix{}, fmt.Errorf("ipv6_local_network %q is not an IPv6 network such as fd12:3456:789a::/48", text)
	}
	return network, nil
}

// CheckIPv4Network and CheckIPv6Network tell whether formatting can use the
// value of ipv4_local_network and ipv6_local_network.
func CheckIPv4Network(text string) error { _, err := parseLocalNetwork(text); return err }

// CheckIPv6Network is CheckIPv4Network for ipv6_local_network.
func CheckIPv6Network(text string) error { _, err := parseIPv6Network(text, 0); return err }

// parsePair reads an address and a netmask in the description's format.
func parsePair(address, netmask string) (netip.Prefix, error) {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Prefix{}, err
	}
	length, err := prefixLength(netmask)
	if err != nil {
		return netip.Prefix{}, err
	}
	if length > ip.BitLen() {
		return netip.Prefix{}, fmt.Errorf("netmask %s does not fit address %s", netmask, address)
	}
	return netip.PrefixFrom(ip, length), nil
}
