// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// The worked examples of FMT-33; "" is an error.
// FMT-27, FMT-28, FMT-29, FMT-30, FMT-31, FMT-32.
func TestAddressPlan(t *testing.T) {
	tests := []struct {
		base                       string
		shift, partition           int
		address, ipRange, tap, tun string
	}{
		{"2001:db8:1:2::1/64", 16, 0, "2001:db8:1:2::2", "2001:db8:1:2:4001::/80", "2001:db8:1:2:8001:ffff:ffff:ffff", "2001:db8:1:2:c001::/80"},
		{"2001:db8:1:2::1/64", 16, 1, "2001:db8:1:2::3", "2001:db8:1:2:4002::/80", "2001:db8:1:2:8002:ffff:ffff:ffff", "2001:db8:1:2:c002::/80"},
		{"2001:db8:1:2::1/48", 16, 19, "2001:db8:1::15", "2001:db8:1:4014::/64", "2001:db8:1:8014:ffff:ffff:ffff:ffff", "2001:db8:1:c014::/64"},
		{"2001:db8:1:2::1/64", 8, 0, "2001:db8:1:2::2", "2001:db8:1:2:4100::/72", "2001:db8:1:2:81ff:ffff:ffff:ffff", "2001:db8:1:2:c100::/72"},
		{"2001:db8:1:2::1/80", 12, 5, "2001:db8:1:2::7", "2001:db8:1:2:0:4060::/92", "2001:db8:1:2:0:806f:ffff:ffff", "2001:db8:1:2:0:c060::/92"},
		{"2001:db8:1:2::1/112", 16, 0, "2001:db8:1:2::2", "", "", ""},
		{"2001:db8:1:2::1/120", 16, 300, "2001:db8:1:2::30", "", "", ""},
		{"2001:db8:1:2::1/126", 16, 0, "2001:db8:1:2::2", "", "", ""},
		{"2001:db8:1:2::1/126", 16, 1, "2001:db8:1:2::3", "", "", ""},
		{"2001:db8:1:2::1/126", 16, 2, "2001:db8:1:2::2", "", "", ""},
		{"2001:db8:1:2::1/127", 16, 0, "2001:db8:1:2::", "", "", ""},
		{"2001:db8:1:2::1/128", 16, 7, "2001:db8:1:2::1", "", "", ""},
	}
	for _, test := range tests {
		base := netip.MustParsePrefix(test.base)
		address := partitionAddress(base, test.partition)
		if got := address.Addr().String(); got != test.address || address.Bits() != base.Bits() {
			t.Errorf("%s, %d: address %s, want %s", test.base, test.partition, address, test.address)
		}
		for kind, want := range map[subnetKind]string{rangeSubnet: test.ipRange, tapSubnet: test.tap, tunSubnet: test.tun} {
			prefix, err := subnetAddress(base, test.shift, kind, test.partition)
			got := ""
			switch {
			case err != nil:
			case kind == tapSubnet:
				got = prefix.Addr().String()
			default:
				got = prefix.String()
			}
			if got != want {
				t.Errorf("%s, %d, kind %d: %q, want %q (%v)", test.base, test.partition, kind, got, want, err)
			}
		}
	}
}

// Whatever the configured network and shift, the ranges of all partitions are
// in the network, and none overlaps another.
func TestAddressPlanProperties(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		partitions := 1 + random.IntN(40)
		shift := 8 + random.IntN(10)
		length := random.IntN(127 - shift)
		var bytes [16]byte
		for i := range bytes {
			bytes[i] = byte(random.Uint32())
		}
		base := netip.PrefixFrom(netip.AddrFrom16(bytes), length)
		var networks []netip.Prefix
		addresses := map[netip.Addr]bool{}
		for i := range partitions {
			address := partitionAddress(base, i)
			if !base.Masked().Contains(address.Addr()) || addresses[address.Addr()] && 128-length > 7 {
				t.Fatalf("base %s: address %s of partition %d", base, address, i)
			}
			addresses[address.Addr()] = true
			for _, kind := range []subnetKind{rangeSubnet, tapSubnet, tunSubnet} {
				subnet, err := subnetAddress(base, shift, kind, i)
				if err != nil {
					t.Fatalf("base %s, shift %d, partition %d: %v", base, shift, i, err)
				}
				if subnet.Bits() != length+shift || !base.Masked().Contains(subnet.Addr()) {
					t.Fatalf("base %s, shift %d: subnet %s", base, shift, subnet)
				}
				if first := firstAddress(subnet); !subnet.Masked().Contains(first) {
					t.Fatalf("first address %s is not in %s", first, subnet)
				}
				networks = append(networks, subnet.Masked())
			}
		}
		slices.SortFunc(networks, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
		for i := 1; i < len(networks); i++ {
			if networks[i-1].Overlaps(networks[i]) {
				t.Fatalf("base %s, shift %d: %s overlaps %s", base, shift, networks[i-1], networks[i])
			}
		}
	}
}

// As many partitions as the shift allows get their ranges, except the last tun,
// whose number has one bit too many.
func TestSubnetAddressNumbersOverflow(t *testing.T) {
	base := netip.MustParsePrefix("2001:db8::1/64")
	if _, err := subnetAddress(base, 4, tunSubnet, 3); err == nil {
		t.Error("no error")
	}
	if _, err := subnetAddress(base, 4, tunSubnet, 2); err != nil {
		t.Error(err)
	}
}

// FMT-22.
func TestGlobalScope(t *testing.T) {
	for text, want := range map[string]bool{
		"2001:db8::1": true, "2000::": true, "3fff:ffff::1": true, "fc00::1": true, "fd00::1": true, "fec0::1": true, "feff::1": true,
		"fe80::1": false, "::1": false, "::": false, "ff02::1": false, "100::1": false, "4000::1": false, "e000::1": false, "fe00::1": false,
		"64:ff9b::1": false, "10.0.0.1": false,
	} {
		if got := isGlobalScope(netip.MustParseAddr(text)); got != want {
			t.Errorf("isGlobalScope(%s) = %v", text, got)
		}
	}
}

// FMT-24.
func TestChoiceOfBase(t *testing.T) {
	example := prefixes("2001:db8:1:2::1/64", "2001:db8:7::1/48", "2001:db8:6::9/48") // FMT-23
	if got := widest(example); got != example[2] {
		t.Errorf("widest: %s", got)
	}
	tests := []struct {
		name      string
		addresses []netip.Prefix
		preferred string
		want      string
	}{
		{"lowest with the preferred in its network", prefixes("2001:db8:a::9/48", "2001:db8:a::3/64", "2001:db8::1/32"), "2001:db8:a::7", "2001:db8::1/32"},
		{"none has it", prefixes("2001:db8:a::9/48", "2001:db8:b::3/64"), "2001:db8:c::7", "2001:db8:a::9/48"},
		// FMT-25: partition 0 has the lower address; the computer keeps its own.
		{"itself", prefixes("2001:db8:42::2/48", "2001:db8:42:1::1/48"), "2001:db8:42:1::1", "2001:db8:42:1::1/48"},
		{"itself was lost", prefixes("2001:db8:42::2/48", "2001:db8:42:1::7/48"), "2001:db8:42:1::1", "2001:db8:42::2/48"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := nearest(test.addresses, netip.MustParseAddr(test.preferred)); got.String() != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

// FMT-57.
func TestTunAddress(t *testing.T) {
	for _, test := range []struct {
		partitions, part int
		want, mask       string
	}{
		{1, 0, "172.16.0.1/12", "255.240.0.0"},
		{2, 0, "172.16.0.1/13", "255.248.0.0"},
		{2, 1, "172.24.0.1/13", "255.248.0.0"},
		{3, 2, "172.24.0.1/14", "255.252.0.0"},
		{100, 99, "172.28.96.1/19", "255.255.224.0"},
	} {
		got := tunAddress(test.partitions, test.part)
		if got.String() != test.want || netmask(got) != test.mask {
			t.Errorf("tun %d of %d: %s, %s, want %s", test.part, test.partitions, got, netmask(got), test.want)
		}
	}
	// Parts are side by side in the network of all tuns.
	for partitions := 1; partitions < 200; partitions++ {
		for i := range partitions {
			part := tunAddress(partitions, i).Masked()
			if !tunNetwork.Overlaps(part) || part.Bits() < tunNetwork.Bits() || i > 0 && part.Overlaps(tunAddress(partitions, i-1)) {
				t.Fatalf("tun %d of %d: %s", i, partitions, part)
			}
		}
	}
}

// FMT-26.
func TestNetmasks(t *testing.T) {
	for length := range 129 {
		prefix := netip.PrefixFrom(netip.MustParseAddr("2001:db8::1"), length)
		if got, err := prefixLength(netmask(prefix)); err != nil || got != length {
			t.Errorf("/%d: netmask %s is read as %d, %v", length, netmask(prefix), got, err)
		}
		if got, err := prefixLength(interfaceNetmask(prefix)); err != nil || got != length {
			t.Errorf("/%d: netmask %s is read as %d, %v", length, interfaceNetmask(prefix), got, err)
		}
	}
	for text, want := range map[string]int{
		"255.255.255.255": 32, "255.248.0.0": 13, "0.0.0.0": 0, "ffff::/16": 16, "ffff:ffff:ffff:ffff::": 64, "ffff:ffff::/32": 32,
		"ff0f::": -1, "255.0.255.0": -1, "": -1, "x": -1, "ffff::/129": -1, "ffff::/": -1,
	} {
		got, err := prefixLength(text)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("prefixLength(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	if got := interfaceNetmask(netip.MustParsePrefix("2001:db8::1/110")); got != "ffff:ffff:ffff:ffff:ffff:ffff:fffc::" {
		t.Errorf("netmask of /110: %s", got)
	}
}

func TestParseLocalNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/16": "10.0.0.0/16", "10.0.0.5/24": "10.0.0.5/24", "10.0.0.0/255.255.254.0": "10.0.0.0/23", "10.0.0.7": "10.0.0.7/32",
		"": "", "10.0.0.0/": "", "10.0.0.0/33": "", "10.0.0.0/255.0.255.0": "", "10/8": "", "2001:db8::/64": "",
	} {
		network, err := parseLocalNetwork(text)
		if (err != nil) != (want == "") || err == nil && network.String() != want {
			t.Errorf("%q: %s, %v", text, network, err)
		}
	}
}

func FuzzParsePair(f *testing.F) {
	f.Add("2001:db8::1", "ffff::")
	f.Add("10.0.0.1", "255.0.0.0")
	f.Add("10.0.0.1", "ffff::/16")
	f.Fuzz(func(t *testing.T, address, mask string) {
		if pair, err := parsePair(address, mask); err == nil && !pair.IsValid() {
			t.Errorf("parsePair(%q, %q) = %v", address, mask, pair)
		}
	})
}
