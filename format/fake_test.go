// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"slapos/manager/cgroup"
	"slapos/slap"
	"slapos/slap/testkit"
)

// fakeNetwork is a network in memory. Addresses in others belong to another
// machine on the same link.
type fakeNetwork struct {
	NetworkState
	others map[netip.Addr]bool
	fail   func() error // called before every change
}

func newFakeNetwork(addresses map[string][]netip.Prefix) *fakeNetwork {
	network := &fakeNetwork{NetworkState: NetworkState{Links: map[string]*Link{"lo": {Owner: -1}}}, others: map[netip.Addr]bool{}}
	for name, list := range addresses {
		network.Links[name] = &Link{Addresses: list, Owner: -1}
	}
	return network
}

func (f *fakeNetwork) change() error {
	if f.fail != nil {
		return f.fail()
	}
	return nil
}

func (f *fakeNetwork) Present(context.Context) (*NetworkState, error) {
	state := &NetworkState{Links: map[string]*Link{}, Routes: slices.Clone(f.Routes)}
	for name, link := range f.Links {
		copied := *link
		copied.Addresses = slices.Clone(link.Addresses)
		state.Links[name] = &copied
	}
	return state, nil
}

func (f *fakeNetwork) AddAddress(_ context.Context, name string, address netip.Prefix, _ AddressOptions) error {
	if err := f.change(); err != nil {
		return err
	}
	link := f.Links[name]
	if link == nil {
		return fmt.Errorf("no link %s", name)
	}
	if f.has(name, address.Addr()) {
		return errors.New("file exists")
	}
	link.Addresses = append(link.Addresses, address)
	return nil
}

func (f *fakeNetwork) DeleteAddress(_ context.Context, name string, address netip.Prefix) error {
	link := f.Links[name]
	link.Addresses = slices.DeleteFunc(link.Addresses, func(p netip.Prefix) bool { return p == address })
	return nil
}

func (f *fakeNetwork) AddTunTap(ctx context.Context, name string, _ DeviceMode, owner int) error {
	if err := f.change(); err != nil {
		return err
	}
	if f.Links[name] != nil {
		return errors.New("device or resource busy")
	}
	f.Links[name] = &Link{TunTap: true, Owner: owner}
	return f.SetUp(ctx, name) // a run may be stopped in between
}

func (f *fakeNetwork) SetUp(_ context.Context, name string) error {
	if err := f.change(); err != nil {
		return err
	}
	f.Links[name].Up = true
	return nil
}

func (f *fakeNetwork) AddRoute(_ context.Context, route Route) error {
	if err := f.change(); err != nil {
		return err
	}
	if slices.Contains(f.Routes, route) {
		return errors.New("file exists")
	}
	if link := f.Links[route.Link]; link == nil || link.TunTap && !link.Up {
		return errors.New("network is down")
	}
	f.Routes = append(f.Routes, route)
	return nil
}

func (f *fakeNetwork) DeleteRoute(_ context.Context, route Route) error {
	f.Routes = slices.DeleteFunc(f.Routes, func(r Route) bool { return r == route })
	return nil
}

func (f *fakeNetwork) WatchDuplicates(context.Context) (DuplicateWatch, error) { return f, nil }
func (f *fakeNetwork) Close()                                                  {}

func (f *fakeNetwork) Wait(_ context.Context, addresses []LinkAddress, _ time.Duration) (refused, undecided []LinkAddress, err error) {
	for _, address := range addresses {
		if f.others[address.Address.Addr()] {
			refused = append(refused, address)
		}
	}
	return refused, nil, f.change()
}

// has reports whether the interface has that address, whatever its network.
func (s *NetworkState) has(link string, address netip.Addr) bool {
	if l := s.Links[link]; l != nil {
		for _, present := range l.Addresses {
			if present.Addr() == address {
				return true
			}
		}
	}
	return false
}

// node is a machine with a fake network, users in files that only the test
// sees, and its own directories.
type node struct {
	directory string
	network   *fakeNetwork
	commands  []string // run for users
	owners    map[string]string
	posted    []slap.Dict
	postError error
	options   Options
}

func newNode(t testing.TB, partitions int) *node {
	directory := t.TempDir()
	n := &node{directory: directory, owners: map[string]string{}, network: newFakeNetwork(map[string][]netip.Prefix{
		"eth0": prefixes("192.0.2.10/24", "fe80::5/64", "2001:db8:1:2::1/64"),
		"gw0":  prefixes("10.9.0.1/24"),
	})}
	for name, content := range map[string]string{
		"passwd": "root:x:0:0:root:/root:/bin/sh\n", "group": "root:x:0:\n", "shadow": "root:*:1::::::\n",
		"os-release": "ID=debian\nVERSION_ID=\"12\"\nNAME='Debian GNU/Linux'\n",
	} {
		testkit.WriteFile(t, filepath.Join(directory, "etc", name), content)
	}
	testkit.WriteFile(t, filepath.Join(directory, "sys", nonlocalBind), "0\n")
	n.options = Options{
		Definition: Definition{
			ComputerID: "COMP-1234", Version: "1.26.1",
			InstanceRoot: filepath.Join(directory, "srv/slapgrid"), SoftwareRoot: filepath.Join(directory, "opt/slapgrid"),
			SoftwareUser: "slapsoft", PartitionAmount: partitions,
			PartitionBaseName: "slappart", UserBaseName: "slapuser", TapBaseName: "slaptap",
			InterfaceName: "eth0", IPv4LocalNetwork: "10.0.0.0/16", PrefixShift: 16, PartitionHasIPv6Range: true,
			CreateTap: true, TapIPv6: true, TapGatewayInterface: "gw0", CreateTun: true, TunIPv6: true,
			AlterUser: true, AlterNetwork: true,
			CertificateRepository: filepath.Join(directory, "pki"),
		},
		MasterURL:   "http://master.example/",
		ComputerXML: filepath.Join(directory, "slapos.xml"),
		Logger:      testLog(),
		Post: func(_ context.Context, computer slap.Dict) error {
			n.posted = append(n.posted, computer)
			return n.postError
		},
		Machine: Machine{
			Etc: filepath.Join(directory, "etc"), ProcSys: filepath.Join(directory, "sys"),
			CGroups: cgroup.Hierarchy{Root: filepath.Join(directory, "cgroup")},
			Network: n.network, Run: n.run,
			Chown: func(path string, uid, gid int) error {
				if err := n.network.change(); err != nil {
					return err
				}
				n.owners[path] = fmt.Sprintf("%d:%d", uid, gid)
				return nil
			},
		},
		Now: func() time.Time { return time.Date(2026, 11, 21, 4, 5, 6, 0, time.UTC) },
	}
	return n
}

// run changes the files as groupadd, useradd, usermod and passwd would.
func (n *node) run(_ context.Context, words ...string) ([]byte, error) {
	if err := n.network.change(); err != nil {
		return nil, err
	}
	n.commands = append(n.commands, strings.Join(words, " "))
	etc := filepath.Join(n.directory, "etc")
	name := words[len(words)-1]
	option := func(flag string) string {
		if i := slices.Index(words, flag); i >= 0 {
			return words[i+1]
		}
		return ""
	}
	var failed error
	edit := func(file string, change func(lines []string) []string) {
		content, _ := os.ReadFile(filepath.Join(etc, file))
		lines := change(strings.Split(strings.TrimSuffix(string(content), "\n"), "\n"))
		failed = errors.Join(failed, os.WriteFile(filepath.Join(etc, file), []byte(strings.Join(lines, "\n")+"\n"), 0o644))
	}
	without := func(lines []string) []string {
		return slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, name+":") })
	}
	accounts, err := readAccounts(etc)
	if err != nil {
		return nil, err
	}
	switch words[0] {
	case "groupadd":
		edit("group", func(lines []string) []string {
			return append(lines, fmt.Sprintf("%s:x:%d:", name, 1000+len(lines)))
		})
	case "useradd", "usermod":
		uid := 900 + len(accounts.Users)
		if user, found := accounts.Users[name]; found {
			uid = user.UID
		}
		edit("passwd", func(lines []string) []string {
			return append(without(lines), fmt.Sprintf("%s:x:%d:%d::%s:%s", name, uid, accounts.Groups[option("-g")].GID, option("-d"), option("-s")))
		})
		if words[0] == "useradd" {
			edit("shadow", func(lines []string) []string { return append(lines, name+":!:1::::::") })
		}
		if group := option("-G") + option("-aG"); group != "" {
			edit("group", func(lines []string) []string {
				for i, line := range lines {
					if strings.HasPrefix(line, group+":") && !accounts.isMember(name, group) {
						lines[i] = strings.TrimSuffix(line+","+name, ",")
						lines[i] = strings.Replace(lines[i], ":,", ":", 1)
					}
				}
				return lines
			})
		}
	case "passwd":
		edit("shadow", func(lines []string) []string { return append(without(lines), name+":!x:1::::::") })
	}
	return nil, failed
}

// format runs once, and fails the test on an error.
func (n *node) format(t testing.TB) *Result {
	t.Helper()
	result, err := Run(t.Context(), n.options)
	if err != nil {
		t.Fatal(err)
	}
	return result
}
