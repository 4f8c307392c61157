// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"fmt"

	"slapos/slap"
)

// ComputerDescription is what a computer says of itself when it is formatted.
// Address and Netmask are nil when it doesn't.
type ComputerDescription struct {
	Reference  string
	Address    *string
	Netmask    *string
	Partitions []PartitionDescription
}

// PartitionDescription names a partition and its addresses.
type PartitionDescription struct {
	Reference string
	Addresses []NetworkAddress
}

// NetworkAddress is an address of a partition on an interface.
type NetworkAddress struct {
	Interface string
	Address   string
	Netmask   string
}

// Computer is a known computer.
type Computer struct {
	Reference string
	Address   *string
	Netmask   *string
}

// Node is a computer with all that it should run.
type Node struct {
	Computer string
	// Known is false for a default computer that was never loaded.
	Known      bool
	Software   []Software
	Partitions []*Partition
}

// Software is a software release that a computer should have, or no longer:
// State is slap.StateAvailable or slap.StateDestroyed.
type Software struct {
	URL      string
	Computer string
	State    slap.State
}

// Partition is a partition and the instance in it, if any.
type Partition struct {
	ID   slap.PartitionID
	Busy bool
	// SoftwareRelease, SoftwareType and Title are empty when free.
	SoftwareRelease string
	SoftwareType    string
	Title           string
	// Root is the title of the root of the tree, "" for a root.
	Root string
	// Requester is the partition that asked last, "user" when none did.
	Requester string
	State     string
	// Parameters and Connection are <instance> documents, nil when there are
	// none.
	Parameters *string
	Connection *string
	// Shared is the marshalled list of hosted shared instances, nil when it
	// never was a host.
	Shared *string
	// Timestamp is the time of the last change, in seconds since 1970; nil
	// when never set.
	Timestamp *float64
	Addresses []slap.Address
}

// RootTitle is the title of the root of the tree, which may be the instance
// itself.
func (p *Partition) RootTitle() string {
	if p.Root != "" {
		return p.Root
	}
	return p.Title
}

// ParameterDict decodes the parameters.
func (p *Partition) ParameterDict() (slap.Dict, error) {
	return decode(p.Parameters, "parameters of "+p.ID.Partition)
}

// ConnectionDict decodes the connection parameters.
func (p *Partition) ConnectionDict() (slap.Dict, error) {
	return decode(p.Connection, "connection parameters of "+p.ID.Partition)
}

// SharedList decodes the list of hosted shared instances.
func (p *Partition) SharedList() ([]any, error) {
	if p.Shared == nil || *p.Shared == "" {
		return []any{}, nil
	}
	value, err := slap.Unmarshal([]byte(*p.Shared))
	if err != nil {
		return nil, fmt.Errorf("shared instances of %s: %w", p.ID.Partition, err)
	}
	list, ok := value.([]any)
	if !ok {
		return nil, fmt.Errorf("shared instances of %s: not a list", p.ID.Partition)
	}
	return list, nil
}

func decode(document *string, what string) (slap.Dict, error) {
	if document == nil {
		return slap.Dict{}, nil
	}
	dict, err := slap.DecodeInstance([]byte(*document))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return dict, nil
}

// Order is a request for an instance, as it came in.
type Order struct {
	slap.Request
	// Authorized is the partition that the Authorization header names; it
	// goes before the request's own requester, and must exist (PROXY-14).
	Authorized *slap.PartitionID
}

// requesterID is the partition to tell about changes (PROXY-60).
func (o *Order) requesterID() string {
	switch {
	case o.Authorized != nil:
		return o.Authorized.Partition
	case o.Requester.Partition != "":
		return o.Requester.Partition
	}
	return "user"
}

// Requester is in whose name an order is made: a partition id or "user", and
// the title of the root of its tree, "" outside of a tree.
type Requester struct {
	ID   string
	Root string
}

// Name names an instance: its title, the title of the root of its tree (""
// for a root), and whether it is shared.
type Name struct {
	Title  string
	Root   string
	Shared bool
}

// Reference is the name under which a shared instance is stored.
func (n Name) Reference() string { return n.Root + "_" + n.Title }

// Instance is an instance and the partition that it runs in; for a shared
// one, the partition that hosts it.
type Instance struct {
	Name
	Partition *Partition
	// State is the effective state.
	State string
	// SoftwareType is that of the partition, for one of a list of hosted
	// instances that it was asked with.
	SoftwareType string
	Parameters   slap.Dict
	Connection   slap.Dict
	// ConnectionXML is the document behind Connection, nil when nothing was
	// published.
	ConnectionXML *string
}

// Roots are the roots of instance trees. A shared instance whose host is gone
// has no Partition; one that was destroyed has no Parameters.
type Roots struct {
	Partitions []*Partition
	Shared     []*Instance
}

// UsageReport is a usage report, and when it came in seconds since 1970.
type UsageReport struct {
	Computer string
	Time     float64
	Report   string
}

// StateCount counts the partitions of a computer that are in a state: "free",
// or the requested state of their instance.
type StateCount struct {
	Computer string
	State    string
	Count    int64
}
