// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

type netipPrefix = netip.Prefix

var netipAddr = netip.MustParseAddr

// want computes what a node wants, without changing anything.
func (n *node) want(t *testing.T, previous *Computer, refused map[LinkAddress]bool) *Wanted {
	t.Helper()
	present, err := n.options.Machine.Present(t.Context(), &n.options.Definition, previous)
	if err != nil {
		t.Fatal(err)
	}
	wanted, err := Want(&n.options.Definition, previous, present, refused, cmp.Or(n.options.Logger, testLog()))
	if err != nil {
		t.Fatal(err)
	}
	return wanted
}

func (w *Wanted) ipv6(partition int) string {
	return w.Computer.Partitions[partition].Addresses[1].Address
}
func (w *Wanted) ipv4(partition int) string {
	return w.Computer.Partitions[partition].Addresses[0].Address
}

func newBareNode(t *testing.T, partitions int) *node {
	n := newNode(t, partitions)
	n.options.CreateTap, n.options.CreateTun = false, false
	n.options.Machine.setDefaults()
	return n
}

// FMT-36.
func TestNewAddresses(t *testing.T) {
	n := newBareNode(t, 300)
	wanted := n.want(t, nil, nil)
	if wanted.Fault != nil || wanted.Computer.Address != "2001:db8:1:2::1" || wanted.Computer.Netmask != "ffff:ffff:ffff:ffff::" {
		t.Fatalf("computer %s/%s, fault %v", wanted.Computer.Address, wanted.Computer.Netmask, wanted.Fault)
	}
	seen := map[string]bool{}
	for i, partition := range wanted.Computer.Partitions {
		for _, address := range partition.Addresses {
			if seen[address.Address] {
				t.Errorf("partition %d: %s is given twice", i, address.Address)
			}
			seen[address.Address] = true
		}
		local := netip.MustParsePrefix("10.0.0.0/16")
		if ip := netipAddr(wanted.ipv4(i)); !local.Contains(ip) || partition.Addresses[0].Netmask != "255.255.255.255" {
			t.Errorf("partition %d: IPv4 %v", i, partition.Addresses[0])
		}
	}
	if again := n.want(t, nil, nil); again.ipv4(7) != wanted.ipv4(7) {
		t.Error("a second look draws other addresses")
	}
}

// A network with just enough addresses is used up; one more partition is an error.

// However a computer grows, partitions keep what they have, nothing overlaps,
// and IPv6 doesn't depend on how it grew.
func TestGrowth(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 30 {
		n := newNode(t, 1+random.IntN(20))
		n.network.Links["gw0"].Addresses = prefixes("10.9.0.1/20")
		n.network.Links["eth0"].Addresses = prefixes(fmt.Sprintf("2001:db8:1:2::1/%d", 32+random.IntN(60)))
		n.options.Machine.setDefaults()
		var former *Computer
		for range 4 {
			grown := n.want(t, former, nil)
			if grown.Fault != nil {
				t.Fatal(grown.Fault.Err)
			}
			fresh := n.want(t, nil, nil)
			seen := map[string]bool{}
			for i, partition := range grown.Computer.Partitions {
				if former != nil && i < len(former.Partitions) && !reflect.DeepEqual(partition, former.Partitions[i]) {
					t.Fatalf("partition %d was %+v, is %+v", i, former.Partitions[i], partition)
				}
				other := fresh.Computer.Partitions[i]
				if partition.Addresses[1] != other.Addresses[1] || *partition.Range != *other.Range || partition.Tap.IPv6 != other.Tap.IPv6 || partition.Tun.IPv6 != other.Tun.IPv6 {
					t.Fatalf("partition %d: %+v, on a new computer %+v", i, partition, other)
				}
				for _, text := range []string{partition.Addresses[0].Address, partition.Addresses[1].Address, partition.Range.Network,
					partition.Tap.IPv4.Address, partition.Tap.IPv6.Network, partition.Tun.IPv4.Address, partition.Tun.IPv6.Network} {
					if seen[text] {
						t.Fatalf("partition %d: %s is given twice", i, text)
					}
					seen[text] = true
				}
			}
			former = grown.Computer
			n.options.PartitionAmount += random.IntN(20)
		}
	}
}

func TestSmallLocalNetwork(t *testing.T) {
	n := newBareNode(t, 4)
	n.options.IPv4LocalNetwork = "10.44.3.0/30"
	wanted := n.want(t, nil, nil)
	var got []string
	for i := range 4 {
		got = append(got, wanted.ipv4(i))
	}
	slices.Sort(got)
	if want := []string{"10.44.3.0", "10.44.3.1", "10.44.3.2", "10.44.3.3"}; !slices.Equal(got, want) {
		t.Errorf("addresses %q", got)
	}
	n.options.PartitionAmount = 5
	if wanted := n.want(t, nil, nil); wanted.Fault == nil || wanted.Fault.Partition != 4 {
		t.Errorf("fault %+v", wanted.Fault)
	}
}

// FMT-39, FMT-35.
func TestTakenAddresses(t *testing.T) {
	t.Run("on another interface", func(t *testing.T) {
		n := newBareNode(t, 2)
		n.network.Links["eth1"] = &Link{Addresses: prefixes("2001:db8:1:2::2/64")}
		var log bytes.Buffer
		n.options.Logger = slog.New(slog.NewTextHandler(&log, nil))
		wanted := n.want(t, nil, nil)
		if got := netipAddr(wanted.ipv6(0)); got == netipAddr("2001:db8:1:2::2") || !netip.MustParsePrefix("2001:db8:1:2::/112").Contains(got) {
			t.Errorf("partition 0 has %s", got)
		}
		if wanted.ipv6(1) != "2001:db8:1:2::3" {
			t.Errorf("partition 1 has %s", wanted.ipv6(1))
		}
		if want := "Cannot add address 2001:db8:1:2::2 to eth0 as it already exists on interface eth1."; !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, &log)
		}
	})
	t.Run("with another prefix shift", func(t *testing.T) {
		n := newBareNode(t, 2)
		n.options.PrefixShift = 8
		n.network.Links["eth1"] = &Link{Addresses: prefixes("2001:db8:1:2::3/64")}
		wanted := n.want(t, nil, nil)
		if wanted.Fault == nil || wanted.Fault.Partition != 1 || !strings.Contains(wanted.Fault.Err.Error(),
			"Address 2001:db8:1:2::3/64 for partition 1 is already taken; aborting because IPv6 prefixshift is 8 != 16") {
			t.Errorf("fault %+v", wanted.Fault)
		}
	})
	t.Run("by other machines", func(t *testing.T) {
		n := newBareNode(t, 1)
		n.network.others[netipAddr("2001:db8:1:2::2")] = true
		result := n.format(t)
		address := netipAddr(result.Computer.Partitions[0].Addresses[1].Address)
		if address == netipAddr("2001:db8:1:2::2") || !n.network.has("eth0", address) || n.network.has("eth0", netipAddr("2001:db8:1:2::2")) {
			t.Errorf("partition has %s, eth0 %v", address, n.network.Links["eth0"].Addresses)
		}
		if again := n.format(t); again.Computer.Partitions[0].Addresses[1].Address != address.String() {
			t.Error("the next run changes the address")
		}
	})
	t.Run("all of them", func(t *testing.T) {
		n := newBareNode(t, 1)
		everything := map[LinkAddress]bool{}
		for {
			wanted := n.want(t, nil, everything)
			if wanted.Fault != nil {
				if len(everything) != 1+allocationTries || !strings.Contains(wanted.Fault.Err.Error(), "seems not to be a valid IP") {
					t.Errorf("%d tries, %v", len(everything), wanted.Fault.Err)
				}
				return
			}
			everything[wanted.Addresses[len(wanted.Addresses)-1].LinkAddress] = true
		}
	})
}

// stored is a computer of an earlier run with one partition.
func stored(ipv4, ipv6, mask string) *Computer {
	return &Computer{Address: "2001:db8:1:2::1", Netmask: "ffff:ffff:ffff:ffff::", Partitions: []*Partition{{
		Reference: "slappart0", User: "slapuser0", Tap: Device{Name: "slaptap0"},
		Addresses: []Address{{Address: ipv4, Netmask: "255.255.255.255"}, {Address: ipv6, Netmask: mask}},
	}}}
}

// FMT-37, FMT-38, FMT-59.
func TestStoredAddresses(t *testing.T) {
	const mask64 = "ffff:ffff:ffff:ffff::"
	tests := []struct {
		name       string
		present    []netip.Prefix // beside 2001:db8:1:2::1/64
		previous   *Computer
		ipv4, ipv6 string
		elsewhere  []netip.Prefix // on another interface
	}{
		{"still there", prefixes("10.0.9.9/32", "2001:db8:1:2::77/64"), stored("10.0.9.9", "2001:db8:1:2::77", mask64), "10.0.9.9", "2001:db8:1:2::77", nil},
		{"gone", nil, stored("10.0.9.9", "2001:db8:1:2::77", mask64), "10.0.9.9", "2001:db8:1:2::77", nil},
		{"IPv6 gone", prefixes("10.0.9.9/32"), stored("10.0.9.9", "2001:db8:1:2::77", mask64), "10.0.9.9", "2001:db8:1:2::77", nil},
		{"netmask with length", prefixes("10.0.9.9/32", "2001:db8:1:2::77/64"), stored("10.0.9.9", "2001:db8:1:2::77", mask64+"/64"), "10.0.9.9", "2001:db8:1:2::77", nil},
		{"another network now, addresses there", prefixes("10.0.9.9/32", "2001:db8:ff::77/64"), stored("10.0.9.9", "2001:db8:ff::77", mask64), "10.0.9.9", "2001:db8:ff::77", nil},
		{"another prefix length now", prefixes("10.0.9.9/32"), stored("10.0.9.9", "2001:db8:1:2::77", "ffff:ffff:ffff::"), "10.0.9.9", "2001:db8:1:2::2", nil},
		{"IPv4 outside of the local network, there", prefixes("10.99.9.9/32"), stored("10.99.9.9", "2001:db8:1:2::2", mask64), "10.99.9.9", "2001:db8:1:2::2", nil},
		{"still on the former interface", nil, stored("10.0.9.9", "2001:db8:ff::77", mask64), "10.0.9.9", "2001:db8:ff::77", prefixes("10.0.9.9/32", "2001:db8:ff::77/64")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			n := newBareNode(t, 1)
			n.network.Links["eth0"].Addresses = append(n.network.Links["eth0"].Addresses, test.present...)
			n.network.Links["old0"] = &Link{Addresses: test.elsewhere}
			wanted := n.want(t, test.previous, nil)
			if wanted.Fault != nil {
				t.Fatal(wanted.Fault.Err)
			}
			if wanted.ipv4(0) != test.ipv4 || wanted.ipv6(0) != test.ipv6 || strings.Contains(wanted.Computer.Partitions[0].Addresses[1].Netmask, "/") {
				t.Errorf("addresses %v, want %s and %s", wanted.Computer.Partitions[0].Addresses, test.ipv4, test.ipv6)
			}
			// The stored order stays.
			slices.Reverse(test.previous.Partitions[0].Addresses)
			if got := n.want(t, test.previous, nil).ipv6(0); got != test.ipv4 {
				t.Errorf("the second address is %s", got)
			}
		})
	}
}

// FMT-59.
func TestBadStoredAddresses(t *testing.T) {
	for _, addresses := range [][]Address{
		{{Address: "10.0.0.1", Netmask: "255.255.255.255"}},
		{{Address: "10.0.0.1", Netmask: "255.255.255.255"}, {Address: "10.0.0.2", Netmask: "255.255.255.255"}},
		{{Address: "2001:db8::1", Netmask: "ffff::"}, {Address: "2001:db8::2", Netmask: "ffff::"}},
		{{Address: "x", Netmask: "255.255.255.255"}, {Address: "2001:db8::2", Netmask: "ffff::"}},
	} {
		n := newBareNode(t, 1)
		previous := stored("", "", "")
		previous.Partitions[0].Addresses = addresses
		if wanted := n.want(t, previous, nil); wanted.Fault == nil {
			t.Errorf("%v: no fault", addresses)
		}
	}
}

// FMT-83.
func TestFewerPartitions(t *testing.T) {
	d := newNode(t, 0).options.Definition
	if _, err := describe(&d, stored("", "", "")); !errors.Is(err, ErrFewerPartitions) ||
		!strings.Contains(err.Error(), "Requested amount of computer partitions (0) is lower than already configured (1), cannot continue") {
		t.Errorf("error %v", err)
	}
}

// Saved names and roots win over changed ones in the configuration. FMT-81.
func TestInherited(t *testing.T) {
	n := newBareNode(t, 2)
	previous := stored("10.0.9.9", "2001:db8:1:2::77", "ffff:ffff:ffff:ffff::")
	previous.InstanceRoot, previous.SoftwareUser = "/old", "builder"
	n.options.PartitionBaseName, n.options.UserBaseName, n.options.TapBaseName = "part", "user", "tap"
	computer := n.want(t, previous, nil).Computer
	if computer.InstanceRoot != "/old" || computer.SoftwareUser != "builder" || computer.SoftwareRoot != n.options.SoftwareRoot {
		t.Errorf("computer %+v", computer)
	}
	second := computer.Partitions[1]
	if computer.Partitions[0].Path != "/old/slappart0" || second.Reference != "part1" || second.Path != "/old/part1" || second.User != "user1" || second.Tap.Name != "tap1" {
		t.Errorf("partitions %+v, %+v", computer.Partitions[0], second)
	}
}

// FMT-58: from two to three tuns, no address is given twice.
func TestTunsAfterGrowth(t *testing.T) {
	n := newNode(t, 2)
	n.format(t)
	for _, count := range []int{3, 5, 6, 9, 17} {
		n.options.PartitionAmount = count
		seen := map[string]bool{}
		for i, partition := range n.format(t).Computer.Partitions {
			if seen[partition.Tun.IPv4.Address] {
				t.Errorf("%d partitions: tun %d has %s, as another", count, i, partition.Tun.IPv4.Address)
			}
			seen[partition.Tun.IPv4.Address] = true
		}
		if !seen["172.16.0.1"] || !seen["172.24.0.1"] {
			t.Errorf("%d partitions: the first two tuns have lost their addresses", count)
		}
	}
}

// Tuns stay even if create_tun becomes false, and get IPv6 once that is
// enabled. FMT-82.
func TestStoredTuns(t *testing.T) {
	n := newNode(t, 1)
	n.options.TunIPv6 = false
	if tun := n.format(t).Computer.Partitions[0].Tun; tun.IPv6 != (DeviceNetwork{}) {
		t.Errorf("tun %+v", tun)
	}
	n.options.TunIPv6, n.options.CreateTun = true, false
	if tun := n.format(t).Computer.Partitions[0].Tun; tun == nil || tun.IPv6.Network != "2001:db8:1:2:c001::1/80" {
		t.Errorf("tun %+v", tun)
	}
}

// FMT-53.
func TestTapNetworks(t *testing.T) {
	n := newNode(t, 0)
	n.network.Links["gw0"].Addresses = prefixes("10.9.0.2/29")
	got, err := tapNetworks("gw0", &n.network.NetworkState, 6)
	if err != nil {
		t.Fatal(err)
	}
	var addresses []string
	for _, network := range got {
		addresses = append(addresses, network.Address)
	}
	if want := []string{"10.9.0.1", "10.9.0.3", "10.9.0.4", "10.9.0.5", "10.9.0.6", "10.9.0.7"}; !slices.Equal(addresses, want) {
		t.Errorf("addresses %q", addresses)
	}
	n.network.Links["bare"] = &Link{}
	for name, count := range map[string]int{"gw0": 7, "none": 1, "bare": 1} {
		if _, err := tapNetworks(name, &n.network.NetworkState, count); err == nil {
			t.Errorf("%s, %d taps: no error", name, count)
		}
	}
}

// An interface without an address of its own gets the first one of
// ipv6_local_network, again after a restart (FMT-92).
func TestIPv6LocalNetwork(t *testing.T) {
	const network, own = "fd12:3456:789a::/48", "fd12:3456:789a::1/48"
	for name, c := range map[string]struct {
		link, addresses, computer, partition string
		added                                bool
	}{
		"no address at all":         {"eth0", "", "fd12:3456:789a::1", "fd12:3456:789a::2", true},
		"none but of the link":      {"eth0", "192.0.2.1/24 fe80::1/64", "fd12:3456:789a::1", "fd12:3456:789a::2", true},
		"the loopback":              {"lo", "127.0.0.1/8 ::1/128", "fd12:3456:789a::1", "fd12:3456:789a::2", true},
		"there already":             {"eth0", own, "fd12:3456:789a::1", "fd12:3456:789a::2", false},
		"a partition's alone":       {"eth0", "fd12:3456:789a::2/48", "fd12:3456:789a::1", "fd12:3456:789a::2", true},
		"an address of its own":     {"eth0", "2001:db8:1:2::1/64", "2001:db8:1:2::1", "2001:db8:1:2::2", false},
		"one of its own and of its": {"eth0", own + " 2001:db8:1:2::1/32", "2001:db8:1:2::1", "2001:db8::2", false},
	} {
		n := newNode(t, 2)
		n.options.InterfaceName, n.options.IPv6LocalNetwork = c.link, network
		n.network.Links[c.link].Addresses = prefixes(strings.Fields(c.addresses)...)
		testkit.WriteFile(t, filepath.Join(n.directory, "sys", loopbackWithoutIPv6), "1\n")
		first := n.format(t)
		if got := first.Computer; got.Address != c.computer || got.Partitions[0].Addresses[1].Address != c.partition {
			t.Errorf("%s: the computer has %s, its first partition %v", name, got.Address, got.Partitions[0].Addresses)
		}
		var steps []string
		for _, step := range first.Plan {
			steps = append(steps, step.Command)
		}
		at := slices.Index(steps, "ip addr add "+own+" dev "+c.link)
		if (at >= 0) != c.added || slices.Contains(steps, "sysctl net.ipv6.conf.lo.disable_ipv6=0") != (c.link == "lo") {
			t.Errorf("%s: the plan is %q", name, steps)
		}
		if first := slices.IndexFunc(steps, func(step string) bool { return strings.Contains(step, c.partition+"/") }); at > first && first >= 0 {
			t.Errorf("%s: %q comes before %q", name, steps[first], steps[at])
		}
		n.network.Links[c.link].Addresses = prefixes(strings.Fields(c.addresses)...) // a restart
		if second := n.format(t).Computer; !reflect.DeepEqual(second.Partitions, first.Computer.Partitions) || second.Address != c.computer {
			t.Errorf("%s: after a restart %s, %+v", name, second.Address, second.Partitions[0])
		}
	}
	for text, want := range map[string]string{
		"fd12::/120":  "is not an IPv6 network such as",
		"10.0.0.0/8":  "is not an IPv6 network such as",
		"fe80::/64":   "is not an IPv6 network such as",
		"fd12":        "is not an IPv6 network such as",
		"fd00:1::/48": "another interface or machine has the address fd00:1::1: name another network in ipv6_local_network",
	} {
		n := newBareNode(t, 1)
		n.options.IPv6LocalNetwork = text
		n.network.Links["eth0"].Addresses = nil
		n.network.others[netipAddr("fd00:1::1")] = true
		if _, err := Run(t.Context(), n.options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", text, err)
		}
	}
}

// FMT-20, FMT-21.
func TestInterfaceWithoutAddress(t *testing.T) {
	n := newBareNode(t, 1)
	for addresses, want := range map[string]string{
		"":                       "eth0 must have at least one IPv6 address assigned",
		"fe80::1/64":             "No IPv6 found on interface eth0 to construct IPv6 with.",
		"192.0.2.1/24 fe80::1/8": "No IPv6 found on interface eth0 to construct IPv6 with.",
	} {
		n.network.Links["eth0"].Addresses = prefixes(strings.Fields(addresses)...)
		if _, err := Run(t.Context(), n.options); err == nil || err.Error() != want+waysToIPv6 {
			t.Errorf("%q: error %v", addresses, err)
		}
	}
	n.options.InterfaceName = "eth9"
	if _, err := Run(t.Context(), n.options); err == nil || !strings.Contains(err.Error(), "no network interface eth9") {
		t.Errorf("error %v", err)
	}
}

func TestParseInput(t *testing.T) {
	sections := map[string]map[string]string{
		"computer": {"address": "2001:db8:7::1/ffff::", "software_user": "builder"},
		"partition_0": {"address": "10.0.44.1/255.255.255.255 2001:db8:7::a1/ffff:ffff::", "pathname": "first", "user": "firstuser",
			"network_interface": "", "ipv6_range": "2001:db8:7:0:5000::/80", "capability_list": "\none\n\n two \n", "memory_max": "2G"},
		"partition_1": {"address": "", "pathname": "second", "user": "seconduser", "network_interface": "tap1"},
	}
	section := func(name string) map[string]string { return sections[name] }
	input, err := ParseInput(section, 2, newNode(t, 0).options.Limits)
	if err != nil {
		t.Fatal(err)
	}
	first := input.Partitions[0]
	if input.Address != "2001:db8:7::1" || input.Netmask != "ffff::" || input.SoftwareUser != "builder" || len(first.Addresses) != 2 ||
		*first.Range != (Range{Address: "2001:db8:7:0:5000::", Netmask: "ffff:ffff:ffff:ffff:ffff::", Network: "2001:db8:7:0:5000::/80", PrefixLength: 80}) ||
		!slices.Equal(first.Capabilities, []string{"one", "two"}) || first.Limits.MemoryMax != 2<<30 ||
		input.Partitions[1].Capabilities != nil || input.Partitions[1].Range != nil {
		t.Errorf("input %+v", input)
	}
	for key, value := range map[string]string{"address": "10.0.0.1", "ipv6_range": "::/x", "pids_max": "-1", "pathname": ""} {
		former, had := sections["partition_0"][key]
		sections["partition_0"][key] = value
		if _, err := ParseInput(section, 2, newNode(t, 0).options.Limits); err == nil {
			t.Errorf("%s = %s: no error", key, value)
		}
		if sections["partition_0"][key] = former; !had {
			delete(sections["partition_0"], key)
		}
	}
	if _, err := ParseInput(section, 3, newNode(t, 0).options.Limits); err == nil {
		t.Error("a missing partition is no error")
	}
}

// The written definition, read again, gives the same computer (FMT-69), on a
// fresh machine, too.
func TestOutputDefinition(t *testing.T) {
	n := newNode(t, 2)
	n.options.OutputDefinition = filepath.Join(n.directory, "out.cfg")
	computer := n.format(t).Computer
	text := testkit.ReadFile(t, n.options.OutputDefinition)
	first := computer.Partitions[0]
	want := "[computer]\naddress = 2001:db8:1:2::1/ffff:ffff:ffff:ffff::\n\n[partition_0]\naddress = " + first.Addresses[0].Address +
		"/255.255.255.255 2001:db8:1:2::2/ffff:ffff:ffff:ffff::\nipv6_range = 2001:db8:1:2:4001::/80\nuser = slapuser0\nnetwork_interface = slaptap0\npathname = slappart0\n\n[partition_1]\n"
	if !strings.HasPrefix(text, want) || !strings.HasSuffix(text, "pathname = slappart1\n\n") {
		t.Errorf("definition\n%s\nwant\n%s", text, want)
	}
}

// Names that the kernel would refuse are refused before anything is changed.
func TestInterfaceNames(t *testing.T) {
	n := newBareNode(t, 1)
	present, err := n.options.Machine.Present(t.Context(), &n.options.Definition, nil)
	if err != nil {
		t.Fatal(err)
	}
	for base, fails := range map[string]bool{
		"slaptap": false, "fourteen-chars": false, "slaptap-long-nm": true, "a/b": true, "a b": true, "a:b": true, "tap%d": true, "é-fourteen-by": false, "é-fourteen-byt": true,
	} {
		definition := n.options.Definition
		definition.CreateTap, definition.TapBaseName = true, base
		_, err := Want(&definition, nil, present, nil, testLog())
		if (err != nil) != fails || fails && !strings.Contains(err.Error(), fmt.Sprintf("partition slappart0: %q can't be the name of a network interface", base+"0")) {
			t.Errorf("%q: %v", base, err)
		}
		definition.CreateTap = false
		if _, err := Want(&definition, nil, present, nil, testLog()); err != nil {
			t.Errorf("%q, no tap: %v", base, err)
		}
	}
}

// An interface may be given by any of its names.
func TestAlternativeNames(t *testing.T) {
	n := newBareNode(t, 2)
	want := n.want(t, nil, nil)
	present, err := n.options.Machine.Present(t.Context(), &n.options.Definition, nil)
	if err != nil {
		t.Fatal(err)
	}
	present.Network.Alternatives = map[string]string{"enp0s31f6altnameforme": n.options.InterfaceName}
	definition := n.options.Definition
	definition.InterfaceName = "enp0s31f6altnameforme"
	got, err := Want(&definition, nil, present, nil, testLog())
	if err != nil || !reflect.DeepEqual(got.Computer, want.Computer) {
		t.Errorf("%v: %+v, want %+v", err, got, want.Computer)
	}
	definition.InterfaceName = "absent"
	if _, err := Want(&definition, nil, present, nil, testLog()); err == nil || err.Error() != "there is no network interface absent" {
		t.Errorf("absent: %v", err)
	}
}
