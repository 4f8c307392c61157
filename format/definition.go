// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"

	"slapos/manager/cgroup"
)

// Definition is what the administrator wants: the options of [slapformat] and
// [slapos], and the definition file if there is one.
type Definition struct {
	ComputerID            string
	Version               string // of this program
	InstanceRoot          string
	SoftwareRoot          string
	InstanceStorageHome   string // optional
	Blank                 Blank
	CertificateRepository string // optional
	SoftwareUser          string

	PartitionAmount   int
	PartitionBaseName string
	UserBaseName      string
	TapBaseName       string

	InterfaceName         string
	IPv6Interface         string // default: InterfaceName
	IPv4LocalNetwork      string // CIDR
	IPv6LocalNetwork      string // CIDR, optional: of an interface without a global address
	PrefixShift           int
	PartitionHasIPv6Range bool
	CreateTap             bool
	TapIPv6               bool
	TapGatewayInterface   string // optional
	CreateTun             bool
	TunIPv6               bool

	AlterUser    bool
	AlterNetwork bool

	// Limits of each partition's control group (D-12).
	Limits cgroup.Limits
	// Input replaces the saved computer and the base names (FMT-65).
	Input *Input
}

// Blank tells which of the optional keys are there without a value: the description
// has an empty text for them, and null for those that are absent (D-33).
type Blank struct{ InstanceStorageHome, IPv6Interface bool }

func orNil(text string, blank bool) *string {
	if text == "" && !blank {
		return nil
	}
	return &text
}

// DefaultSoftwareUser owns the software unless another user is named.
const DefaultSoftwareUser = "slapsoft"

// Input is a definition file.
type Input struct {
	Address, Netmask string // the computer's, optional
	SoftwareUser     string
	Partitions       []InputPartition
}

// InputPartition is a section [partition_N] of a definition file.
type InputPartition struct {
	Path         string
	User         string
	Tap          string
	Addresses    []Address
	Range        *Range
	Capabilities []string
	Limits       cgroup.Limits
}

// ParseInput reads the sections of a definition file; section returns the
// uninterpolated options of a section, or nil.
func ParseInput(section func(name string) map[string]string, partitions int, limits cgroup.Limits) (*Input, error) {
	computer := section("computer")
	if computer == nil {
		return nil, errors.New("no section [computer]")
	}
	input := &Input{SoftwareUser: DefaultSoftwareUser}
	if user, found := computer["software_user"]; found {
		if input.SoftwareUser = user; user == "" {
			return nil, errors.New("section [computer], software_user: must be the name of a user; without the key it is " + DefaultSoftwareUser)
		}
	}
	if text, found := computer["address"]; found {
		address, err := parseAddressOption(text)
		if err != nil {
			return nil, fmt.Errorf("section [computer], address: %w", err)
		}
		input.Address, input.Netmask = address.Address, withoutLength(address.Netmask)
	}
	for i := range partitions {
		name := "partition_" + strconv.Itoa(i)
		options := section(name)
		if options == nil {
			return nil, fmt.Errorf("no section [%s]", name)
		}
		partition, err := parseInputPartition(options, limits)
		if err != nil {
			return nil, fmt.Errorf("section [%s], %w", name, err)
		}
		input.Partitions = append(input.Partitions, partition)
	}
	return input, nil
}

func parseInputPartition(options map[string]string, limits cgroup.Limits) (p InputPartition, err error) {
	for key, target := range map[string]*string{"pathname": &p.Path, "user": &p.User, "network_interface": &p.Tap, "address": new(string)} {
		value, found := options[key]
		if !found {
			return p, fmt.Errorf("%s is missing", key)
		}
		*target = value
	}
	if p.Path == "" || p.User == "" {
		return p, errors.New("pathname and user must not be empty")
	}
	for _, text := range strings.Fields(options["address"]) {
		address, err := parseAddressOption(text)
		if err != nil {
			return p, fmt.Errorf("address: %w", err)
		}
		p.Addresses = append(p.Addresses, address)
	}
	if text := options["ipv6_range"]; text != "" {
		if p.Range, err = parseRangeOption(text); err != nil {
			return p, fmt.Errorf("ipv6_range: %w", err)
		}
	}
	if text, found := options["capability_list"]; found {
		p.Capabilities = []string{}
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" {
				p.Capabilities = append(p.Capabilities, line)
			}
		}
	}
	p.Limits, err = limits.With(options)
	return p, err
}

func parseAddressOption(text string) (Address, error) {
	address, netmask, found := strings.Cut(text, "/")
	if !found || strings.Contains(netmask, "/") {
		return Address{}, fmt.Errorf("%q is not ADDRESS/NETMASK", text)
	}
	return Address{Address: address, Netmask: netmask}, nil
}

// parseRangeOption keeps the text unchanged, even if it has host bits.
func parseRangeOption(text string) (*Range, error) {
	address, length, _ := strings.Cut(text, "/")
	bits, err := strconv.Atoi(length)
	if err != nil || bits < 0 || bits > 128 {
		return nil, fmt.Errorf("%q is not ADDRESS/LENGTH", text)
	}
	return &Range{Address: address, Netmask: netmask(netip.PrefixFrom(netip.IPv6Unspecified(), bits)), Network: text, PrefixLength: bits}, nil
}

// withoutLength turns ffff::/16 into ffff::.
func withoutLength(netmask string) string {
	netmask, _, _ = strings.Cut(netmask, "/")
	return netmask
}

// outputDefinition returns the definition file that would recreate this
// computer (FMT-69). The original fails for partitions without a range; here
// their key is left out.
func (c *Computer) outputDefinition() []byte {
	var text strings.Builder
	text.WriteString("[computer]\n")
	if c.Address != "" && c.Netmask != "" {
		fmt.Fprintf(&text, "address = %s/%s\n", c.Address, c.Netmask)
	}
	for i, partition := range c.Partitions {
		var addresses []string
		for _, address := range partition.Addresses {
			addresses = append(addresses, address.Address+"/"+address.Netmask)
		}
		fmt.Fprintf(&text, "\n[partition_%d]\naddress = %s\n", i, strings.Join(addresses, " "))
		if partition.Range != nil {
			fmt.Fprintf(&text, "ipv6_range = %s\n", partition.Range.Network)
		}
		fmt.Fprintf(&text, "user = %s\nnetwork_interface = %s\npathname = %s\n", partition.User, partition.Tap.Name, partition.Reference)
	}
	text.WriteString("\n")
	return []byte(text.String())
}

// fromInput returns the computer that a definition file describes (FMT-65,
// FMT-66, FMT-67).
func fromInput(d *Definition) *Computer {
	computer := newComputer(d)
	computer.SoftwareUser = d.Input.SoftwareUser
	computer.Address, computer.Netmask = d.Input.Address, d.Input.Netmask
	if !d.AlterNetwork || d.InterfaceName == "" || d.IPv4LocalNetwork == "" {
		computer.Interface = nil
	}
	for _, partition := range d.Input.Partitions {
		computer.Partitions = append(computer.Partitions, &Partition{
			Reference:    partition.Path,
			Path:         filepath.Join(d.InstanceRoot, partition.Path),
			User:         partition.User,
			Addresses:    partition.Addresses,
			Range:        partition.Range,
			Tap:          Device{Name: partition.Tap},
			Capabilities: partition.Capabilities,
		})
	}
	return computer
}

// newComputer returns the part of a computer that always comes from the options.
func newComputer(d *Definition) *Computer {
	return &Computer{
		Reference:           d.ComputerID,
		Version:             d.Version,
		InstanceRoot:        d.InstanceRoot,
		SoftwareRoot:        d.SoftwareRoot,
		SoftwareUser:        d.SoftwareUser,
		InstanceStorageHome: orNil(d.InstanceStorageHome, d.Blank.InstanceStorageHome),
		Interface: &Interface{
			Name:             d.InterfaceName,
			IPv6Interface:    cmp.Or(d.IPv6Interface, d.InterfaceName),
			IPv4LocalNetwork: d.IPv4LocalNetwork,
			PrefixShift:      d.PrefixShift,
		},
		IPv6Interface:         orNil(d.IPv6Interface, d.Blank.IPv6Interface),
		PartitionHasIPv6Range: d.PartitionHasIPv6Range,
		TapGatewayInterface:   d.TapGatewayInterface,
		TapIPv6:               d.TapIPv6,
	}
}
