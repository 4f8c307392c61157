// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
)

// Wanted is how a computer should be.
type Wanted struct {
	Definition *Definition // from which it was computed
	Computer   *Computer
	Addresses  []WantedAddress
	// Managed is what the managers want to change.
	Managed Plan
	// Fault ended the computation. Everything before it is still wanted: a
	// faulty partition doesn't keep those before it from getting their
	// addresses back after a reboot.
	Fault *Fault
}

// Fault is an error found while computing what is wanted.
type Fault struct {
	// Partition is where it was found, -1 for the computer itself. Its user and
	// the network computed so far are wanted, but not its directory.
	Partition int
	Err       error
}

// newPartitions returns the number of partitions that an earlier run did not have.
func newPartitions(d *Definition, previous *Computer) int {
	if d.Input != nil {
		return 0
	}
	if previous == nil {
		return d.PartitionAmount
	}
	return d.PartitionAmount - len(previous.Partitions)
}

// ErrFewerPartitions means that a definition has fewer partitions than exist
// (FMT-83).
var ErrFewerPartitions = errors.New("fewer partitions than before")

// describe returns the computer from the definition file, or else from the
// state of an earlier run and the options, without looking at the machine.
func describe(d *Definition, previous *Computer) (*Computer, error) {
	if d.Input != nil {
		computer := fromInput(d)
		addTuns(computer, d)
		return computer, nil
	}
	computer := newComputer(d)
	if previous != nil {
		if newPartitions(d, previous) < 0 {
			return nil, fmt.Errorf("%w: Requested amount of computer partitions (%d) is lower than already configured (%d), cannot continue",
				ErrFewerPartitions, d.PartitionAmount, len(previous.Partitions))
		}
		computer.inherit(previous)
	}
	for i := len(computer.Partitions); i < d.PartitionAmount; i++ {
		reference := fmt.Sprintf("%s%d", d.PartitionBaseName, i)
		computer.Partitions = append(computer.Partitions, &Partition{
			Reference: reference,
			Path:      filepath.Join(computer.InstanceRoot, reference),
			User:      fmt.Sprintf("%s%d", d.UserBaseName, i),
			Tap:       Device{Name: fmt.Sprintf("%s%d", d.TapBaseName, i)},
		})
	}
	addTuns(computer, d)
	return computer, nil
}

// inherit takes what survives a run: stored roots win over configured ones
// (FMT-81).
func (c *Computer) inherit(previous *Computer) {
	c.Address, c.Netmask = previous.Address, previous.Netmask
	c.SoftwareUser = "slapsoft"
	for target, stored := range map[*string]string{
		&c.SoftwareUser: previous.SoftwareUser,
		&c.SoftwareRoot: previous.SoftwareRoot,
		&c.InstanceRoot: previous.InstanceRoot,
	} {
		if stored != "" {
			*target = stored
		}
	}
	for _, partition := range previous.Partitions {
		own := *partition
		if partition.Tun != nil {
			tun := *partition.Tun
			own.Tun = &tun
		}
		c.Partitions = append(c.Partitions, &own)
	}
}

// addTuns gives each partition a tun if the definition wants tuns, and each tun
// its own IPv4 network (FMT-56, FMT-57). Networks of earlier runs may have been
// divided differently: it skips parts whose address is in use (FMT-58).
func addTuns(computer *Computer, d *Definition) {
	used := map[string]bool{}
	for _, partition := range computer.Partitions {
		if partition.Tun != nil {
			used[partition.Tun.IPv4.Address] = true
		}
	}
	for i, partition := range computer.Partitions {
		if partition.Tun == nil && d.CreateTun {
			partition.Tun = &Device{Name: fmt.Sprintf("slaptun%d", i)}
		}
		if partition.Tun == nil || partition.Tun.IPv4.Address != "" {
			continue
		}
		count := len(computer.Partitions)
		address := tunAddress(count, i)
		for part := i; used[address.Addr().String()]; {
			part = (part + 1) % count
			address = tunAddress(count, part)
		}
		used[address.Addr().String()] = true
		partition.Tun.IPv4.Address = address.Addr().String()
		partition.Tun.IPv4.Netmask = netmask(address)
		partition.Tun.IPv4.Network = address.Addr().String() + "/" + netmask(address)
	}
}

// Want computes how the computer should be, from the definition, the state of
// an earlier run (nil if none), and the addresses and storage on the machine.
// It doesn't hand out addresses in refused. It changes nothing.
func Want(d *Definition, previous *Computer, present *Present, refused map[LinkAddress]bool, log *slog.Logger) (*Wanted, error) {
	if present.Network != nil {
		own := *d
		for _, name := range []*string{&own.InterfaceName, &own.IPv6Interface, &own.TapGatewayInterface} {
			*name = present.Network.name(*name)
		}
		d = &own
	}
	computer, err := describe(d, previous)
	if err != nil {
		return nil, err
	}
	if err := computer.checkNames(d, previous, present.Accounts); err != nil {
		return nil, err
	}
	var global []netip.Prefix
	var given netip.Prefix
	if computer.Interface != nil {
		if global, given, err = baseAddresses(d, computer.Interface.IPv6Interface, present.Network); err != nil {
			return nil, err
		}
		computer.chooseAddress(global)
	}
	if err := computer.place(present.Storage); err != nil {
		return nil, err
	}
	wanted := &Wanted{Definition: d, Computer: computer}
	if !d.AlterNetwork {
		return wanted, nil // stored values stay as they are (FMT-61)
	}
	wanted.wantNetwork(d, present.Network, global, given, refused, log)
	return wanted, nil
}

// place gives each partition its directories (FMT-45, FMT-46).
func (c *Computer) place(storage []string) (err error) {
	for _, partition := range c.Partitions {
		if partition.Path, err = filepath.Abs(filepath.Join(c.InstanceRoot, partition.Reference)); err != nil {
			return err
		}
		partition.ExternalStorage = nil
		for _, directory := range storage {
			partition.ExternalStorage = append(partition.ExternalStorage, directory+"/"+partition.Reference)
		}
	}
	return nil
}

// chooseAddress chooses the computer's own address (FMT-23, FMT-84).
func (c *Computer) chooseAddress(global []netip.Prefix) {
	address := widest(global)
	if stored, err := netip.ParseAddr(c.Address); err == nil {
		address = nearest(global, stored)
	}
	c.Address, c.Netmask = address.Addr().String(), interfaceNetmask(address)
}

// wantNetwork gives each partition its taps, tuns, addresses and ranges, and the
// computer the address that is given to it.
func (w *Wanted) wantNetwork(d *Definition, present *NetworkState, global []netip.Prefix, given netip.Prefix, refused map[LinkAddress]bool, log *slog.Logger) {
	computer := w.Computer
	if computer.Interface == nil {
		w.Fault = &Fault{Partition: -1, Err: errors.New("a definition file with alter_network = true needs interface_name and ipv4_local_network")}
		return
	}
	a := newAllocator(computer, present, global, refused, log)
	defer func() { w.Addresses = a.wanted }()
	if given.IsValid() && !a.add(WantedAddress{LinkAddress: LinkAddress{Link: computer.Interface.IPv6Interface, Address: given}, Partition: theComputer}) {
		w.Fault = &Fault{Partition: -1, Err: fmt.Errorf("another interface or machine has the address %s: name another network in ipv6_local_network", given.Addr())}
		return
	}
	var gateway []DeviceNetwork
	if d.CreateTap && d.TapGatewayInterface != "" {
		var err error
		if gateway, err = tapNetworks(d.TapGatewayInterface, present, len(computer.Partitions)); err != nil {
			w.Fault = &Fault{Partition: -1, Err: err}
			return
		}
	}
	for i, partition := range computer.Partitions {
		a.restore(i, partition.Addresses)
	}
	for i, partition := range computer.Partitions {
		var network DeviceNetwork
		if gateway != nil {
			network = gateway[i]
		}
		if err := a.partition(d, i, partition, network); err != nil {
			w.Fault = &Fault{Partition: i, Err: fmt.Errorf("partition %s: %w", partition.Reference, err)}
			return
		}
	}
}

// partition computes the network of a partition, in the order of FMT-45. On an
// error, partition has what came before it.
func (a *allocator) partition(d *Definition, i int, partition *Partition, gateway DeviceNetwork) error {
	stored, storedRange := partition.Addresses, partition.Range
	partition.Addresses, partition.Range = nil, nil
	if d.CreateTap {
		if err := a.tap(d, i, &partition.Tap, gateway); err != nil {
			return err
		}
	}
	if partition.Tun != nil {
		if err := a.tun(d, i, partition.Tun); err != nil {
			return err
		}
	}
	if err := a.addresses(i, partition, stored); err != nil {
		return err
	}
	if !d.PartitionHasIPv6Range {
		return nil
	}
	if storedRange != nil {
		if address, err := netip.ParseAddr(storedRange.Address); err != nil || !address.Is6() {
			return fmt.Errorf("existing IPv6 range %q is incorrect", storedRange.Address)
		}
		partition.Range = storedRange
		return nil
	}
	prefix, err := a.network(i, rangeSubnet)
	if err != nil {
		return err
	}
	partition.Range = rangeOf(prefix)
	return nil
}

// addresses gives a partition its two addresses; those of an earlier run stay
// in their order (FMT-59).
func (a *allocator) addresses(i int, partition *Partition, stored []Address) error {
	if len(stored) == 0 {
		stored = []Address{{}, {}}
	} else if err := checkStored(stored); err != nil {
		return err
	}
	for k, address := range stored {
		var given Address
		ip, err := netip.ParseAddr(address.Address)
		if k == 0 && err != nil || err == nil && ip.Is4() {
			given, err = a.ipv4(i, address.Address)
		} else {
			given, err = a.ipv6(i, address, "")
		}
		if err != nil {
			return err
		}
		partition.Addresses = append(partition.Addresses, given)
	}
	return nil
}

func checkStored(stored []Address) error {
	if len(stored) != 2 {
		return fmt.Errorf("There should be exactly 2 stored addresses. Got: %v", stored) //nolint:staticcheck,revive // FMT-59
	}
	count := map[bool]int{}
	for _, address := range stored {
		if ip, err := netip.ParseAddr(address.Address); err == nil {
			count[ip.Is4()]++
		}
	}
	if count[true] != 1 || count[false] != 1 {
		return fmt.Errorf("the two stored addresses %v must be one IPv4 and one IPv6", stored)
	}
	return nil
}

// tapNetworks returns IPv4 addresses behind the gateway interface, one for each
// tap: all in its network but the first one and the gateway's (FMT-53).
func tapNetworks(gatewayInterface string, present *NetworkState, count int) ([]DeviceNetwork, error) {
	link := present.Links[gatewayInterface]
	if link == nil {
		return nil, fmt.Errorf("Could not find interface called %s to use as gateway for tap network", gatewayInterface) //nolint:staticcheck,revive // the original's text
	}
	for _, gateway := range link.Addresses {
		if !gateway.Addr().Is4() {
			continue
		}
		var networks []DeviceNetwork
		size := uint64(1) << (32 - gateway.Bits())
		for n := uint64(1); n < size && len(networks) < count; n++ {
			if address := nthIPv4(gateway, n); address != gateway.Addr() {
				networks = append(networks, DeviceNetwork{Address: address.String(), Netmask: netmask(gateway), Gateway: gateway.Addr().String(), Network: gateway.Masked().Addr().String()})
			}
		}
		if len(networks) < count {
			return nil, fmt.Errorf("Could not create %d tap interfaces from address %s.", count, gateway.Addr()) //nolint:staticcheck,revive // the original's text
		}
		return networks, nil
	}
	return nil, fmt.Errorf("Could not find IPv4 adress on interface %s.", gatewayInterface) //nolint:staticcheck,revive // the original's text
}

// tap computes the addresses of a partition's tap (FMT-53, FMT-54).
func (a *allocator) tap(d *Definition, i int, tap *Device, gateway DeviceNetwork) error {
	if gateway.Address == "" {
		tap.IPv4 = DeviceNetwork{}
	} else if tap.IPv4.Address == "" {
		tap.IPv4 = gateway
	}
	stored := Address{Address: tap.IPv6.Address, Netmask: tap.IPv6.Netmask}
	tap.IPv6 = DeviceNetwork{}
	if !d.TapIPv6 {
		return nil
	}
	given, err := a.ipv6(i, stored, tap.Name)
	if err != nil {
		return err
	}
	// It is always 16 bits more, whatever the prefix shift.
	address, err := netip.ParseAddr(given.Address)
	if err != nil {
		return err
	}
	network, err := address.Prefix(min(a.base.Bits()+16, 128))
	if err != nil {
		return err
	}
	first := firstAddress(network)
	tap.IPv6 = DeviceNetwork{Address: given.Address, Netmask: given.Netmask, Gateway: first.String(), Network: netip.PrefixFrom(first, network.Bits()).String()}
	return nil
}

// tun computes the IPv6 network of a partition's tun and requests its addresses.
func (a *allocator) tun(d *Definition, i int, tun *Device) error {
	if tun.IPv6.Address == "" && d.TunIPv6 {
		prefix, err := a.network(i, tunSubnet)
		if err != nil {
			return err
		}
		address := netip.PrefixFrom(firstAddress(prefix), prefix.Bits())
		tun.IPv6 = DeviceNetwork{Address: address.Addr().String(), Netmask: netmask(address), Network: address.String()}
	}
	for _, network := range []DeviceNetwork{tun.IPv4, tun.IPv6} {
		if network.Address == "" {
			continue
		}
		address, err := parsePair(network.Address, network.Netmask)
		if err != nil {
			return fmt.Errorf("tun %s: %w", tun.Name, err)
		}
		a.want(WantedAddress{LinkAddress: LinkAddress{Link: tun.Name, Address: address}, Partition: i, Device: true})
	}
	return nil
}
