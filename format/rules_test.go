// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"slapos/slap/testkit"
)

// FMT-40: the machine's addresses don't keep a range from being used, and a
// stored one is used unchanged.
func TestRangesAreNotProbed(t *testing.T) {
	n := newBareNode(t, 2)
	n.network.Links["eth1"] = &Link{Addresses: prefixes("2001:db8:1:2:4002::7/80")}
	previous := stored("10.0.9.9", "2001:db8:1:2::77", "ffff:ffff:ffff:ffff::")
	previous.Partitions[0].Range = &Range{Address: "2001:db8:ff::", Netmask: "ffff:ffff:ffff::", Network: "2001:db8:ff::/48", PrefixLength: 48}
	computer := n.want(t, previous, nil).Computer
	for i, want := range []string{"2001:db8:ff::/48", "2001:db8:1:2:4002::/80"} {
		if got := computer.Partitions[i].Range.Network; got != want {
			t.Errorf("partition %d has %s, want %s", i, got, want)
		}
	}
}

// FMT-54: the network behind a tap is 16 bits longer than the computer's,
// whatever the shift; without tap_ipv6 there is none.
func TestTapIPv6(t *testing.T) {
	n := newNode(t, 1)
	n.options.PrefixShift, n.options.CreateTun = 8, false
	got := n.format(t).Computer.Partitions[0].Tap.IPv6
	if got.Address != "2001:db8:1:2:81ff:ffff:ffff:ffff" || got.Gateway != "2001:db8:1:2:81ff::1" || !strings.HasSuffix(got.Network, "/80") {
		t.Errorf("tap %+v", got)
	}
	n.options.TapIPv6 = false
	if got := n.format(t).Computer.Partitions[0].Tap.IPv6; got != (DeviceNetwork{}) {
		t.Errorf("without IPv6: %+v", got)
	}
}

// FMT-60 to FMT-62: what must not be altered is left alone, and its saved state
// stays.
func TestAlterNothing(t *testing.T) {
	n := newNode(t, 1)
	saved := *n.format(t).Computer.Partitions[0]
	for name, set := range map[string]func(o *Options){
		"alter_user":    func(o *Options) { o.AlterUser = false },
		"alter_network": func(o *Options) { o.AlterNetwork = false },
		"create_tap":    func(o *Options) { o.CreateTap = false },
	} {
		n.options.AlterUser, n.options.AlterNetwork, n.options.CreateTap = true, true, true
		set(&n.options)
		if err := os.RemoveAll(n.options.InstanceRoot); err != nil {
			t.Fatal(err)
		}
		fresh := newFakeNetwork(map[string][]netip.Prefix{"eth0": prefixes("192.0.2.10/24", "2001:db8:1:2::1/64"), "gw0": prefixes("10.9.0.1/24")})
		n.network.NetworkState = fresh.NetworkState
		n.commands, n.owners = nil, map[string]string{}
		if err := os.Truncate(filepath.Join(n.directory, "etc/shadow"), 0); err != nil {
			t.Fatal(err)
		}
		partition := n.format(t).Computer.Partitions[0]
		if partition.Tap != saved.Tap || *partition.Tun != *saved.Tun || !slices.Equal(partition.Addresses, saved.Addresses) || *partition.Range != *saved.Range {
			t.Errorf("%s: %+v, was %+v", name, partition, saved)
		}
		if info, err := os.Stat(partition.Path); err != nil || info.Mode().Perm() != 0o750 {
			t.Errorf("%s: directory %v, %v", name, info, err)
		}
		users := len(n.commands) > 0 && len(n.owners) > 0
		network := len(n.network.Links["eth0"].Addresses) > 2 && len(n.network.Routes) > 0 && n.network.Links["slaptun0"] != nil
		tap := n.network.Links["slaptap0"] != nil
		if users != (name != "alter_user") || network != (name != "alter_network") || tap != (name == "alter_user") {
			t.Errorf("%s: users %v, network %v, tap %v: ran %q, owners %v", name, users, network, tap, n.commands, n.owners)
		}
	}
	n.options.AlterUser, n.commands, n.owners = false, nil, map[string]string{}
	if n.format(t); n.commands != nil || len(n.owners) > 0 {
		t.Errorf("alter_user: ran %q, owners %v", n.commands, n.owners)
	}
}

// FMT-66, FMT-68: with a definition file there is an interface only if the
// network may be altered, and a saved computer is ignored.
func TestInputDefinition(t *testing.T) {
	n := newNode(t, 1)
	testkit.WriteFile(t, n.options.ComputerXML, "not read")
	n.options.AlterNetwork, n.options.CreateTun = false, true
	n.options.Input = &Input{SoftwareUser: "builder", Address: "2001:db8:7::1", Netmask: "ffff::",
		Partitions: []InputPartition{{Path: "first", User: "firstuser", Tap: "firsttap"}}}
	computer := n.format(t).Computer
	if computer.Interface != nil || computer.Address != "2001:db8:7::1" || computer.Partitions[0].Reference != "first" {
		t.Errorf("computer %+v", computer)
	}
	if text := testkit.ReadFile(t, n.options.ComputerXML); !strings.HasPrefix(text, "<marshal>") {
		t.Errorf("saved %q", text)
	}
	n.options.AlterNetwork, n.options.InterfaceName = true, ""
	if _, err := Run(t.Context(), n.options); err == nil {
		t.Error("without an interface the network can't be altered, but there is no error")
	}
}

// FMT-77: the computer as JSON is what is sent, indented as by Python.
func TestComputerJSON(t *testing.T) {
	n := newNode(t, 1)
	n.options.ComputerJSON = filepath.Join(n.directory, "computer.json")
	n.format(t)
	text := testkit.ReadFile(t, n.options.ComputerJSON)
	if !strings.HasPrefix(text, "{\n  \"address\": \"2001:db8:1:2::1\",\n  \"instance_root\": ") || !strings.HasSuffix(text, "\n}") {
		t.Errorf("document\n%s", text)
	}
	var document, posted any
	again, err := json.Marshal(n.posted[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(again, &posted); err != nil {
		t.Fatal(err)
	}
	for key, want := range posted.(map[string]any) {
		if got, found := document.(map[string]any)[key]; !found || (got == nil) != (want == nil) {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
}

// FMT-80: resources are readable for everybody, and written once.
func TestResourceFileStays(t *testing.T) {
	n := newNode(t, 1)
	path := filepath.Join(n.format(t).Computer.Partitions[0].Path, resourceFile)
	old := time.Now().Add(-time.Hour).Truncate(time.Second)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	n.format(t)
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o644 || !info.ModTime().Equal(old) {
		t.Errorf("file %v, %v", info, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if n.format(t); !isThere(path) {
		t.Error("a file that was removed is not written again")
	}
}

// FMT-42: an existing directory gets its owner, but its content keeps its owners.
func TestOwnersOfDirectoriesAlone(t *testing.T) {
	n := newNode(t, 1)
	partition := filepath.Join(n.options.InstanceRoot, "slappart0")
	testkit.WriteFile(t, filepath.Join(n.options.SoftwareRoot, "release/file"), "")
	testkit.WriteFile(t, filepath.Join(partition, "etc/file"), "")
	n.format(t)
	for path := range n.owners {
		if path != n.options.SoftwareRoot && path != partition {
			t.Errorf("the owner of %s was changed", path)
		}
	}
	if len(n.owners) != 2 {
		t.Errorf("owners %v", n.owners)
	}
}

// FMT-35: the addresses of all partitions are added before a single wait.
func TestOneWaitForAllAddresses(t *testing.T) {
	n := newBareNode(t, 7)
	lines := n.lines(n.format(t).Plan)
	first := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "wait for ") })
	if first < 0 || lines[first] != "wait for duplicate address detection of 7 addresses" {
		t.Fatalf("plan %q", lines)
	}
	for _, line := range lines[first+1:] {
		if strings.HasPrefix(line, "wait for ") || strings.HasPrefix(line, "ip addr add ") {
			t.Errorf("after the wait: %s", line)
		}
	}
}

// FMT-53: without tap_gateway_interface a tap has no IPv4.
func TestTapWithoutGateway(t *testing.T) {
	n := newNode(t, 1)
	n.options.TapGatewayInterface = ""
	result := n.format(t)
	tap := result.Computer.Partitions[0].Tap
	if tap.Name != "slaptap0" || tap.IPv4 != (DeviceNetwork{}) || tap.IPv6 == (DeviceNetwork{}) {
		t.Errorf("tap %+v", tap)
	}
	for _, line := range n.lines(result.Plan) {
		if strings.HasPrefix(line, "ip route add ") {
			t.Errorf("plan has %s", line)
		}
	}
}

// FMT-83, FMT-84, FMT-86: the messages of a first run and of growth; and the
// computer's address follows the interface.
func TestToldOfRuns(t *testing.T) {
	n := newNode(t, 1)
	run := func(want ...string) *Computer {
		t.Helper()
		var log bytes.Buffer
		n.options.Logger = slog.New(slog.NewTextHandler(&log, nil))
		computer := n.format(t).Computer
		for _, words := range append(want, "Posting information to 'http://master.example/'") {
			if !strings.Contains(log.String(), words) {
				t.Errorf("no %q in\n%s", words, &log)
			}
		}
		return computer
	}
	run("level=WARN msg=\"Creating new computer data with id 'COMP-1234'\"", "Partition resources saved to slappart0")
	n.options.PartitionAmount = 3
	run("Adding 2 new partitions", "Partition resources saved to slappart2")
	link := n.network.Links["eth0"]
	link.Addresses = slices.DeleteFunc(link.Addresses, func(p netipPrefix) bool { return p.Addr() == netipAddr("2001:db8:1:2::1") })
	if got := run().Address; got != "2001:db8:1:2::2" {
		t.Errorf("the computer's address is %s", got)
	}
}
