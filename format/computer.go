// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"net/netip"

	"slapos/slap"
)

// Computer is the description of a computer, as kept in the computer file and
// sent to the master. An empty optional text field is written as null.
type Computer struct {
	Reference string
	// Address and Netmask of the computer itself, optional.
	Address, Netmask      string
	InstanceRoot          string
	SoftwareRoot          string
	SoftwareUser          string
	InstanceStorageHome   *string // optional, which isn't the same as empty (D-26)
	Interface             *Interface
	IPv6Interface         *string // likewise
	PartitionHasIPv6Range bool
	TapGatewayInterface   string
	TapIPv6               bool
	Partitions            []*Partition

	PublicIPv4    string // optional
	OSType        string
	PythonVersion string
	Version       string
}

// Interface is where the computer's addresses come from and partitions' are added.
type Interface struct {
	Name             string
	IPv6Interface    string
	IPv4LocalNetwork string // optional
	PrefixShift      int
}

// Partition is one of a computer's partitions.
type Partition struct {
	Reference string
	Path      string
	User      string
	// Addresses is empty or has one IPv4 and one IPv6 address.
	Addresses       []Address
	Range           *Range // optional
	Tap             Device
	Tun             *Device // optional
	ExternalStorage []string
	// Capabilities come from a definition file; nil leaves them out.
	Capabilities []string
}

// Address is an address with its netmask, as text (FMT-26).
type Address struct{ Address, Netmask string }

func addressOf(prefix netip.Prefix) Address {
	return Address{Address: prefix.Addr().String(), Netmask: netmask(prefix)}
}

// Range is an IPv6 network of a partition.
type Range struct {
	Address, Netmask, Network string
	PrefixLength              int
}

func rangeOf(prefix netip.Prefix) *Range {
	prefix = prefix.Masked()
	return &Range{Address: prefix.Addr().String(), Netmask: netmask(prefix), Network: prefix.String(), PrefixLength: prefix.Bits()}
}

// Device is a tap or tun. Everything but the name may be empty.
type Device struct {
	Name string
	IPv4 DeviceNetwork
	IPv6 DeviceNetwork
}

// DeviceNetwork has the addresses of a device in one address family.
type DeviceNetwork struct{ Address, Netmask, Gateway, Network string }

// document returns the description as nested values to be marshalled (FMT-71).
// Every partition's user is in the software user's group.
func (c *Computer) document() slap.Dict {
	partitions := []any{}
	for _, partition := range c.Partitions {
		partitions = append(partitions, partition.document(c.SoftwareUser))
	}
	var link any
	if c.Interface != nil {
		link = slap.Dict{
			"name":               c.Interface.Name,
			"ipv6_interface":     c.Interface.IPv6Interface,
			"ipv4_local_network": optional(c.Interface.IPv4LocalNetwork),
			"ipv6_prefixshift":   c.Interface.PrefixShift,
		}
	}
	return slap.Dict{
		"address":                  optional(c.Address),
		"netmask":                  optional(c.Netmask),
		"instance_root":            c.InstanceRoot,
		"instance_storage_home":    given(c.InstanceStorageHome),
		"interface":                link,
		"ipv6_interface":           given(c.IPv6Interface),
		"os_type":                  c.OSType,
		"partition_has_ipv6_range": c.PartitionHasIPv6Range,
		"partition_list":           partitions,
		"public_ipv4_address":      optional(c.PublicIPv4),
		"python_version":           c.PythonVersion,
		"reference":                c.Reference,
		"slapos_version":           c.Version,
		"software_root":            c.SoftwareRoot,
		"software_user":            c.SoftwareUser,
		"tap_gateway_interface":    c.TapGatewayInterface,
		"tap_ipv6":                 c.TapIPv6,
	}
}

func (p *Partition) document(softwareUser string) slap.Dict {
	addresses := []any{}
	for _, address := range p.Addresses {
		addresses = append(addresses, slap.Dict{"addr": address.Address, "netmask": address.Netmask})
	}
	storage := []any{}
	for _, path := range p.ExternalStorage {
		storage = append(storage, path)
	}
	network := slap.Dict{}
	if p.Range != nil {
		network = slap.Dict{"addr": p.Range.Address, "netmask": p.Range.Netmask, "network": p.Range.Network, "prefixlen": p.Range.PrefixLength}
	}
	var tun any
	if p.Tun != nil {
		tun = p.Tun.document()
	}
	document := slap.Dict{
		"address_list":          addresses,
		"external_storage_list": storage,
		"ipv6_range":            network,
		"path":                  p.Path,
		"reference":             p.Reference,
		"tap":                   p.Tap.document(),
		"tun":                   tun,
		"user": slap.Dict{
			"additional_group_list": []any{softwareUser},
			"name":                  p.User,
			"path":                  p.Path,
			"shell":                 userShell,
		},
	}
	if p.Capabilities != nil {
		capabilities := []any{}
		for _, capability := range p.Capabilities {
			capabilities = append(capabilities, capability)
		}
		document["capability_list"] = capabilities
	}
	return document
}

func (d *Device) document() slap.Dict {
	return slap.Dict{
		"name":         d.Name,
		"ipv4_addr":    d.IPv4.Address,
		"ipv4_netmask": d.IPv4.Netmask,
		"ipv4_gateway": d.IPv4.Gateway,
		"ipv4_network": d.IPv4.Network,
		"ipv6_addr":    d.IPv6.Address,
		"ipv6_netmask": d.IPv6.Netmask,
		"ipv6_gateway": d.IPv6.Gateway,
		"ipv6_network": d.IPv6.Network,
	}
}

func given(text *string) any {
	if text == nil {
		return nil
	}
	return *text
}

func optional(text string) any {
	if text == "" {
		return nil
	}
	return text
}
