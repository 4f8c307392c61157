// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"slapos/slap/testkit"
)

// wire makes a pair of connected interfaces with an address on the first one.
// Duplicate address detection stays on for all others.
func wire(t *testing.T, name string, addresses ...string) {
	t.Helper()
	needSandbox(t)
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "p"}
	if err := netlink.LinkAdd(pair); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remove(name) })
	for _, address := range addresses {
		wanted, err := netlink.ParseAddr(address)
		if err != nil {
			t.Fatal(err)
		}
		wanted.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(pair, wanted); err != nil {
			t.Fatal(err)
		}
	}
	for _, end := range []string{name, name + "p"} {
		if err := setUp(end); err != nil {
			t.Fatal(err)
		}
	}
}

// kernelNode is a node on the kernel's network. If the sandbox doesn't have all
// user numbers, root is the user of all partitions.
func kernelNode(t *testing.T, partitions int) *node {
	n := newNode(t, partitions)
	n.options.Machine.Network = kernelNetwork{}
	n.options.TapGatewayInterface = ""
	n.options.InterfaceName = "net0"
	if !realRoot {
		run := n.options.Machine.Run
		n.options.Machine.Run = func(ctx context.Context, words ...string) ([]byte, error) {
			output, err := run(ctx, words...)
			path := filepath.Join(n.directory, "etc/passwd")
			lines := strings.Split(testkit.ReadFile(t, path), "\n")
			for i, line := range lines {
				if fields := strings.Split(line, ":"); len(fields) > 3 {
					fields[2] = "0"
					lines[i] = strings.Join(fields, ":")
				}
			}
			testkit.WriteFile(t, path, strings.Join(lines, "\n"))
			return output, err
		}
	}
	return n
}

// remove removes an interface, if it exists.
func remove(name string) {
	if link, err := netlink.LinkByName(name); err == nil {
		_ = netlink.LinkDel(link) // the sandbox ends with the tests anyway
	}
}

// canMakeDevices reports whether we may use /dev/net/tun.
func canMakeDevices(t *testing.T) bool {
	t.Helper()
	device, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		t.Log("taps and tuns are left out:", err)
		return false
	}
	return device.Close() == nil
}

// FMT-50, FMT-55, FMT-64.
func TestKernelNetwork(t *testing.T) {
	wire(t, "net0", "192.0.2.10/24", "2001:db8:7::1/64")
	wire(t, "gw0", "10.90.0.1/24")
	n := kernelNode(t, 3)
	devices := canMakeDevices(t)
	n.options.CreateTap, n.options.CreateTun = devices, devices
	n.options.TapGatewayInterface = "gw0"
	t.Cleanup(func() {
		for _, name := range []string{"slaptap0", "slaptap1", "slaptap2", "slaptun0", "slaptun1", "slaptun2"} {
			remove(name)
		}
	})
	result := n.format(t)
	n.options.AlterUser = false
	if again := n.format(t); again.Plan != nil {
		t.Errorf("second plan %q", n.lines(again.Plan))
	}
	state, err := kernelNetwork{}.Present(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, partition := range result.Computer.Partitions {
		for _, address := range partition.Addresses {
			if !state.has("net0", netipAddr(address.Address)) {
				t.Errorf("partition %d: %s is not on net0", i, address.Address)
			}
		}
		if route := (Route{Destination: netip.MustParsePrefix(partition.Range.Network), Link: "lo", Local: true}); !slices.Contains(state.Routes, route) {
			t.Errorf("partition %d: no route %+v", i, route)
		}
		if !devices {
			continue
		}
		checkDevice(t, n, partition, partition.Tap, netlink.TUNTAP_MODE_TAP)
		checkDevice(t, n, partition, *partition.Tun, netlink.TUNTAP_MODE_TUN)
		gateway := netipAddr(partition.Tap.IPv6.Gateway)
		for _, route := range []Route{
			{Destination: netip.MustParsePrefix(partition.Tap.IPv4.Address + "/32"), Link: partition.Tap.Name},
			{Destination: netip.PrefixFrom(gateway, 128), Link: partition.Tap.Name},
			{Destination: netip.MustParsePrefix(partition.Tap.IPv6.Network).Masked(), Link: partition.Tap.Name, Gateway: gateway},
		} {
			if !slices.Contains(state.Routes, route) {
				t.Errorf("partition %d: no route %+v", i, route)
			}
		}
		if !state.has(partition.Tap.Name, netipAddr(partition.Tap.IPv6.Address)) || !state.has(partition.Tun.Name, netipAddr(partition.Tun.IPv4.Address)) {
			t.Errorf("partition %d: tap has %v, tun has %v", i, state.Links[partition.Tap.Name], state.Links[partition.Tun.Name])
		}
	}
	checkRouteMetrics(t)
}

// checkDevice checks that a device is persistent, up, and belongs to its user
// and to no group.
func checkDevice(t *testing.T, n *node, partition *Partition, device Device, mode netlink.TuntapMode) {
	t.Helper()
	link, err := netlink.LinkByName(device.Name)
	if err != nil {
		t.Fatal(err)
	}
	tuntap, ok := link.(*netlink.Tuntap)
	if !ok || tuntap.Mode != mode || tuntap.NonPersist || tuntap.Flags&netlink.TUNTAP_NO_PI == 0 || tuntap.Attrs().RawFlags&unix.IFF_UP == 0 {
		t.Errorf("device %+v", link)
	}
	if owner := n.account(t, partition.User).UID; int(tuntap.Owner) != owner || int32(tuntap.Group) > 0 || tuntap.Group == 0 && hasGroup(device.Name) {
		t.Errorf("%s is of user %d and group %d, want user %d", device.Name, tuntap.Owner, tuntap.Group, owner)
	}
}

// hasGroup asks sysfs, if that shows this network namespace's devices. It can't
// distinguish no group from group 0.
func hasGroup(name string) bool {
	content, err := os.ReadFile("/sys/class/net/" + name + "/group")
	return err == nil && strings.TrimSpace(string(content)) == "0"
}

func checkRouteMetrics(t *testing.T) {
	t.Helper()
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V6, &netlink.Route{}, netlink.RT_FILTER_TABLE)
	if err != nil {
		t.Fatal(err)
	}
	for _, route := range routes {
		if route.Protocol == unix.RTPROT_BOOT && route.Priority != 1024 {
			t.Errorf("route %s has metric %d", route, route.Priority)
		}
	}
}

// Another machine on the link has the address of partition 0: the kernel finds
// out, and the partition gets another one. FMT-35.
func TestDuplicateAddress(t *testing.T) {
	wire(t, "net0", "2001:db8:7::1/64")
	otherMachine(t, "net0p", "2001:db8:7::2/64")
	n := kernelNode(t, 2)
	n.options.CreateTap, n.options.CreateTun = false, false
	result := n.format(t)
	state, err := kernelNetwork{}.Present(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := netipAddr(result.Computer.Partitions[0].Addresses[1].Address)
	if got == netipAddr("2001:db8:7::2") || state.has("net0", netipAddr("2001:db8:7::2")) || !state.has("net0", got) {
		t.Errorf("partition 0 has %s, net0 has %v", got, state.Links["net0"].Addresses)
	}
	if got := result.Computer.Partitions[1].Addresses[1].Address; got != "2001:db8:7::3" {
		t.Errorf("partition 1 has %s", got)
	}
}

// otherMachine moves one end of a wire into another network namespace.
func otherMachine(t *testing.T, end, address string) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	here, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	there, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	if err := netns.Set(here); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = there.Close(), here.Close()
	})
	link, err := netlink.LinkByName(end)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetNsFd(link, int(there)); err != nil {
		t.Fatal(err)
	}
	remote, err := netlink.NewHandleAt(there)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(remote.Close)
	if link, err = remote.LinkByName(end); err != nil {
		t.Fatal(err)
	}
	wanted, err := netlink.ParseAddr(address)
	if err != nil {
		t.Fatal(err)
	}
	wanted.Flags = unix.IFA_F_NODAD
	if err := remote.AddrAdd(link, wanted); err != nil {
		t.Fatal(err)
	}
	if err := remote.LinkSetUp(link); err != nil {
		t.Fatal(err)
	}
}

// For an interface without a link, detection never ends: the error says so, and
// none of the addresses stays (FMT-35).
func TestDuplicateDetectionDoesNotEnd(t *testing.T) {
	wire(t, "net0", "2001:db8:7::1/64")
	peer, err := netlink.LinkByName("net0p")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetDown(peer); err != nil {
		t.Fatal(err)
	}
	address := LinkAddress{Link: "net0", Address: netip.MustParsePrefix("2001:db8:7::9/64")}
	watch, err := kernelNetwork{}.WatchDuplicates(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	if err := (kernelNetwork{}).AddAddress(t.Context(), address.Link, address.Address, AddressOptions{}); err != nil {
		t.Fatal(err)
	}
	refused, undecided, err := watch.Wait(t.Context(), []LinkAddress{address}, 10*time.Millisecond)
	if err != nil || refused != nil || !slices.Equal(undecided, []LinkAddress{address}) {
		t.Errorf("refused %v, undecided %v, error %v", refused, undecided, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := watch.Wait(ctx, []LinkAddress{address}, time.Minute); err == nil {
		t.Error("a cancelled wait gave no error")
	}
	if err := (kernelNetwork{}).DeleteAddress(t.Context(), address.Link, address.Address); err != nil {
		t.Error(err)
	}
	if refused, _, err := watch.Wait(t.Context(), []LinkAddress{address}, time.Minute); err != nil || len(refused) != 1 {
		t.Errorf("an address that is gone: refused %v, %v", refused, err)
	}
}

// Somebody else's tap is left alone; a route without gateway is replaced.
// FMT-55.
func TestExistingDeviceAndRoute(t *testing.T) {
	wire(t, "net0", "2001:db8:7::1/64")
	if !canMakeDevices(t) {
		testkit.StepAside(t, "/dev/net/tun", "load the module tun")
	}
	network := kernelNetwork{}
	if err := network.AddTunTap(t.Context(), "slaptap0", TapMode, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remove("slaptap0") })
	if err := network.AddTunTap(t.Context(), "slaptap0", TunMode, 0); err == nil {
		t.Error("a second device of that name could be made")
	}
	if err := network.AddTunTap(t.Context(), strings.Repeat("x", 20), TapMode, 0); err == nil {
		t.Error("a name of 20 characters is no error")
	}
	old := Route{Destination: netip.MustParsePrefix("2001:db8:7:0:8001::/80"), Link: "slaptap0"}
	if err := network.AddRoute(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	n := kernelNode(t, 1)
	n.options.CreateTun = false
	result := n.format(t)
	lines := n.lines(result.Plan)
	if !slices.Contains(lines, "ip -6 route del 2001:db8:7:0:8001::/80 dev slaptap0") {
		t.Errorf("plan %q", lines)
	}
	state, err := network.Present(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wanted := old
	wanted.Gateway = netipAddr("2001:db8:7:0:8001::1")
	if !slices.Contains(state.Routes, wanted) || slices.Contains(state.Routes, old) {
		t.Errorf("routes %v", state.Routes)
	}
	if link := state.Links["slaptap0"]; !reflect.DeepEqual(*link, Link{Addresses: link.Addresses, Unsettled: link.Unsettled, Up: true, TunTap: true, Owner: 0}) {
		t.Errorf("tap %+v", link)
	}
	for _, name := range []string{"none"} {
		address := netip.MustParsePrefix("2001:db8::1/64")
		if network.AddAddress(t.Context(), name, address, AddressOptions{}) == nil || network.DeleteAddress(t.Context(), name, address) == nil ||
			network.AddRoute(t.Context(), Route{Destination: address, Link: name}) == nil || network.DeleteRoute(t.Context(), Route{Destination: address, Link: name}) == nil {
			t.Errorf("interface %s: no error", name)
		}
	}
}

// The network of an address with a peer is recorded with the peer's address, as
// ip and getifaddrs show it.
func TestPointToPointAddress(t *testing.T) {
	wire(t, "net0")
	link, err := netlink.LinkByName("net0")
	if err != nil {
		t.Fatal(err)
	}
	for own, other := range map[string]string{"2001:db8:7::1/128": "2001:db8:7::ff/64", "10.90.0.1/32": "10.90.0.2/24"} {
		if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix(own)), Peer: ipNet(netip.MustParsePrefix(other))}); err != nil {
			t.Fatal(err)
		}
	}
	state, err := kernelNetwork{}.Present(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range prefixes("2001:db8:7::1/64", "10.90.0.1/24") {
		if got := state.Links["net0"].Addresses; !slices.Contains(got, want) {
			t.Errorf("addresses %s, want %s among them", got, want)
		}
	}
}

func TestAlternativeNameOfTheKernel(t *testing.T) {
	wire(t, "net0")
	link, err := netlink.LinkByName("net0")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkAddAltName(link, "enp0s31f6altnameforme"); err != nil {
		t.Fatal(err)
	}
	state, err := kernelNetwork{}.Present(t.Context())
	if err != nil || state.name("enp0s31f6altnameforme") != "net0" || state.name("net0") != "net0" || state.name("other") != "other" {
		t.Errorf("%v: %v", err, state.Alternatives)
	}
}
