// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"slapos/manager/cgroup"
)

// A model is a machine in memory, to which changes can be applied.
type model struct {
	*Present
	nextID int
}

// apply applies a change to the model.
func (m *model) apply(t *testing.T, c change) {
	t.Helper()
	switch c := c.(type) {
	case makeDirectory:
		if _, found := m.Directories[c.path]; found {
			t.Fatalf("%s is there", c.path)
		}
		m.Directories[c.path] = Directory{Mode: c.mode, IsDirectory: true}
	case setMode:
		directory := m.Directories[c.path]
		directory.Mode = c.mode
		m.Directories[c.path] = directory
	case setOwner:
		directory, found := m.Directories[c.path]
		user, known := m.Accounts.Users[c.user]
		if !found || !known {
			t.Fatalf("chown %s: %s: there is %v, %v", c.user, c.path, found, known)
		}
		directory.UID, directory.GID = user.UID, user.GID
		m.Directories[c.path] = directory
	case changeAccount:
		m.account(t, c.command)
	case setSysctl:
		m.NonlocalBind = true
	case changeCGroup:
		m.cgroup(t, c.Change)
	case makeDevice:
		user, known := m.Accounts.Users[c.user]
		if m.Network.Links[c.name] != nil || !known {
			t.Fatalf("device %s is there, or its user %s isn't", c.name, c.user)
		}
		m.Network.Links[c.name] = &Link{TunTap: true, Up: true, Owner: user.UID}
	case setDeviceUp:
		m.Network.Links[c.name].Up = true
	case addAddress:
		if link := m.Network.Links[c.Link]; !m.Network.has(c.Link, c.Address.Addr()) {
			link.Addresses = append(link.Addresses, c.Address)
		} else if !c.optional {
			t.Fatalf("%s is on %s", c.Address, c.Link)
		}
	case addRoute:
		if slices.Contains(m.Network.Routes, c.Route) {
			t.Fatalf("route %v is there", c.Route)
		}
		m.Network.Routes = append(m.Network.Routes, c.Route)
	case deleteRoute:
		if !slices.Contains(m.Network.Routes, c.Route) {
			t.Fatalf("route %v is not there", c.Route)
		}
		m.Network.Routes = slices.DeleteFunc(m.Network.Routes, func(r Route) bool { return r == c.Route })
	case await:
		for _, link := range m.Network.Links {
			link.Unsettled = nil
		}
	default:
		t.Fatalf("a %T", c)
	}
}

// account applies the programs for users.
func (m *model) account(t *testing.T, words []string) {
	t.Helper()
	name := words[len(words)-1]
	option := func(flag string) string {
		if i := slices.Index(words, flag); i >= 0 {
			return words[i+1]
		}
		return ""
	}
	m.nextID++
	user, found := m.Accounts.Users[name]
	switch words[0] {
	case "groupadd":
		if _, found := m.Accounts.Groups[name]; found {
			t.Fatalf("group %s is there", name)
		}
		m.Accounts.Groups[name] = Group{GID: m.nextID}
		return
	case "useradd":
		if found {
			t.Fatalf("user %s is there", name)
		}
		user = User{UID: m.nextID, Locked: true}
	case "passwd":
		user.Locked = true
		m.Accounts.Users[name] = user
		return
	}
	group, found := m.Accounts.Groups[option("-g")]
	if !found {
		t.Fatalf("there is no group %s", option("-g"))
	}
	user.Home, user.Shell, user.GID = option("-d"), option("-s"), group.GID
	m.Accounts.Users[name] = user
	if other := option("-G") + option("-aG"); other != "" {
		group, found := m.Accounts.Groups[other]
		if !found {
			t.Fatalf("there is no group %s", other)
		}
		if !slices.Contains(group.Members, name) {
			group.Members = append(slices.Clone(group.Members), name)
		}
		m.Accounts.Groups[other] = group
	}
}

// cgroup does what the kernel would do.
func (m *model) cgroup(t *testing.T, c cgroup.Change) {
	t.Helper()
	if _, found := m.CGroups.Entries[filepath.Dir(c.Path)]; !found && c.Value != "" {
		t.Fatalf("%s: there is no such group", c)
	}
	value := c.Value
	if added, isList := strings.CutPrefix(value, "+"); isList {
		value = strings.TrimSpace(m.CGroups.Entries[c.Path] + " " + strings.ReplaceAll(added, " +", " "))
	}
	m.CGroups.Entries[c.Path] = value
}

// copyPresent makes a deep copy, except of functions.
func copyPresent(p *Present) *Present {
	own := *p
	own.Accounts = p.Accounts.clone()
	for name, group := range own.Accounts.Groups {
		group.Members = slices.Clone(group.Members)
		own.Accounts.Groups[name] = group
	}
	own.Directories, own.Storage = maps.Clone(p.Directories), slices.Clone(p.Storage)
	if p.CGroups != nil {
		own.CGroups = &cgroup.State{Hierarchy: p.CGroups.Hierarchy, Entries: maps.Clone(p.CGroups.Entries)}
	}
	network := *p.Network
	network.Routes, network.Links = slices.Clone(p.Network.Routes), map[string]*Link{}
	for name, link := range p.Network.Links {
		copied := *link
		copied.Addresses, copied.Unsettled = slices.Clone(link.Addresses), slices.Clone(link.Unsettled)
		network.Links[name] = &copied
	}
	own.Network = &network
	return &own
}

// copyWanted copies Wanted; none of the pointers in its definition is set.
func copyWanted(t *testing.T, w *Wanted) *Wanted {
	t.Helper()
	own := *w
	definition := *w.Definition
	own.Definition, own.Addresses, own.Managed = &definition, slices.Clone(w.Addresses), slices.Clone(w.Managed)
	content, err := json.Marshal(w.Computer)
	if err != nil {
		t.Fatal(err)
	}
	own.Computer = nil
	if err := json.Unmarshal(content, &own.Computer); err != nil {
		t.Fatal(err)
	}
	return &own
}

// random makes random definitions and machines.
type random struct{ *rand.Rand }

func (r random) is() bool { return r.IntN(2) == 0 }

func (r random) definition() *Definition {
	return &Definition{
		ComputerID: "COMP-1", InstanceRoot: "/srv/slapgrid", SoftwareRoot: "/opt/slapgrid", SoftwareUser: "slapsoft",
		CertificateRepository: []string{"", "/etc/slapos/pki"}[r.IntN(2)],
		PartitionAmount:       r.IntN(5), PartitionBaseName: "slappart", UserBaseName: "slapuser", TapBaseName: "slaptap",
		InterfaceName: "eth0", IPv6Interface: []string{"", "eth0", "lo"}[r.IntN(3)], IPv4LocalNetwork: "10.0.0.0/16", PrefixShift: 16,
		PartitionHasIPv6Range: r.is(), CreateTap: r.is(), TapIPv6: r.is(), CreateTun: r.is(), TunIPv6: r.is(),
		TapGatewayInterface: []string{"", "gw0"}[r.IntN(2)], AlterUser: r.IntN(4) > 0, AlterNetwork: r.IntN(4) > 0,
		Limits: cgroup.Limits{PIDsMax: r.IntN(2) * 100},
	}
}

// present returns a machine on which somebody has begun to format, or has done
// something else.
func (r random) present(d *Definition) *Present {
	p := &Present{
		Accounts: &Accounts{Users: map[string]User{"root": {Home: "/root", Shell: "/bin/bash"}}, Groups: map[string]Group{"root": {}}},
		Network: &NetworkState{Links: map[string]*Link{
			"lo":   {Owner: -1, Up: true, Addresses: prefixes("127.0.0.1/8", "2001:db8:9::1/48")},
			"eth0": {Owner: -1, Up: true, Addresses: prefixes("192.0.2.10/24", "fe80::5/64", "2001:db8:1:2::1/64")},
			"gw0":  {Owner: -1, Up: true, Addresses: prefixes("10.9.0.1/24")},
		}},
		NonlocalBind: r.is(), Directories: map[string]Directory{},
	}
	for i := range r.IntN(3) {
		p.Storage = append(p.Storage, fmt.Sprintf("/mnt/data%d", i))
	}
	if d.AlterUser && r.is() {
		p.CGroups = &cgroup.State{Entries: map[string]string{"/sys/fs/cgroup": "", "/sys/fs/cgroup/cgroup.subtree_control": []string{"", "cpu"}[r.IntN(2)]}}
	}
	users, paths := []string{"slapsoft"}, []string{d.InstanceRoot, d.SoftwareRoot, "/etc/slapos/pki"}
	for i := range 5 {
		users = append(users, fmt.Sprintf("slapuser%d", i))
		name := fmt.Sprintf("slappart%d", i)
		paths = append(paths, d.InstanceRoot+"/"+name, "/mnt/data0/"+name, "/mnt/data1/"+name)
		for _, device := range []string{fmt.Sprintf("slaptap%d", i), fmt.Sprintf("slaptun%d", i)} {
			if r.IntN(3) == 0 {
				p.Network.Links[device] = &Link{TunTap: r.IntN(8) > 0, Owner: 100 + r.IntN(8), Up: r.is()}
			}
		}
	}
	for i, name := range users {
		if r.is() {
			p.Accounts.Groups[name] = Group{GID: 100 + i}
		}
		if r.is() {
			p.Accounts.Users[name] = User{UID: 100 + i, GID: 100 + r.IntN(6), Home: paths[r.IntN(len(paths))], Shell: []string{userShell, "/bin/bash"}[r.IntN(2)], Locked: r.is()}
		}
		if group, found := p.Accounts.Groups["slapsoft"]; found && r.is() {
			group.Members = append(group.Members, name)
			p.Accounts.Groups["slapsoft"] = group
		}
	}
	for _, path := range paths {
		if r.is() {
			p.Directories[path] = Directory{UID: 100 + r.IntN(8), GID: 100 + r.IntN(8), Mode: []fs.FileMode{0o750, 0o755, 0o777}[r.IntN(3)], IsDirectory: true}
		}
	}
	for _, network := range []string{"2001:db8:1:2:4001::/80", "2001:db8:1:2:4002::/80"} {
		if r.IntN(3) == 0 {
			p.Network.Routes = append(p.Network.Routes, Route{Destination: netip.MustParsePrefix(network), Link: "lo", Local: true})
		}
	}
	for i := range 2 {
		if r.IntN(3) == 0 {
			address := netip.PrefixFrom(netip.MustParseAddr(fmt.Sprintf("2001:db8:1:2::%d", i+2)), 64)
			link := p.Network.Links["eth0"]
			link.Addresses = append(link.Addresses, address)
			if r.is() {
				link.Unsettled = append(link.Unsettled, address)
			}
			p.Network.Routes = append(p.Network.Routes, Route{Destination: netip.MustParsePrefix(fmt.Sprintf("2001:db8:1:2:800%d::/80", i+1)),
				Link: fmt.Sprintf("slaptap%d", i), Gateway: netip.MustParseAddr([]string{"2001:db8:1:2:8001::1", "fe80::1"}[r.IntN(2)])})
		}
	}
	return p
}

// Planning depends only on its arguments, doesn't change them, and always has
// the same result. Once a plan is applied to a model of the machine, nothing is
// left to do: neither for the same wanted state nor for the next run, which
// computes it from the machine as it then is.
func TestPlanProperties(t *testing.T) {
	faults, empty := 0, 0
	for seed := range uint64(3000) {
		r := random{Rand: rand.New(rand.NewPCG(seed, 1))}
		d := r.definition()
		var previous *Computer
		if r.is() { // an earlier run had fewer partitions, and maybe other options
			before := *r.definition()
			before.PartitionAmount, before.AlterNetwork = r.IntN(d.PartitionAmount+1), true
			wanted, err := Want(&before, nil, r.present(&before), nil, testLog())
			if err != nil {
				t.Fatal(err)
			}
			if wanted.Fault == nil {
				previous = wanted.Computer
			}
		}
		m := &model{Present: r.present(d), nextID: 1000}
		wanted, err := Want(d, previous, m.Present, nil, testLog())
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		presentBefore, wantedBefore := copyPresent(m.Present), copyWanted(t, wanted)
		first := makePlan(wanted, m.Present)
		if again := makePlan(wanted, m.Present); !reflect.DeepEqual(first, again) {
			t.Fatalf("seed %d: planned\n%v\nthen\n%v", seed, first.plan, again.plan)
		}
		if !reflect.DeepEqual(m.Present, presentBefore) || !reflect.DeepEqual(wanted, wantedBefore) {
			t.Fatalf("seed %d: planning has changed what it was given", seed)
		}
		for _, step := range first.plan {
			m.apply(t, step.change)
		}
		if second := makePlan(wanted, m.Present); len(second.plan) > 0 || !sameError(first.fault, second.fault) {
			t.Fatalf("seed %d: after the plan\n%v\nthere is left\n%v\nfaults %v, %v", seed, first.plan, second.plan, first.fault, second.fault)
		}
		if len(first.plan) == 0 {
			empty++
		}
		if first.fault != nil {
			faults++
			continue // nothing was saved
		}
		next, err := Want(d, copyWanted(t, wanted).Computer, m.Present, nil, testLog())
		if err != nil {
			t.Fatal(err)
		}
		if third := makePlan(next, m.Present); len(third.plan) > 0 || third.fault != nil {
			t.Fatalf("seed %d: after the plan\n%v\nthe next run has\n%v\nfault %v", seed, first.plan, third.plan, third.fault)
		}
	}
	if faults == 0 || faults > 1500 || empty > 300 {
		t.Errorf("%d faults, %d empty plans: the states are not what the test is for", faults, empty)
	}
}

func sameError(a, b error) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Error() == b.Error())
}
