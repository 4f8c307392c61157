// SPDX-License-Identifier: GPL-3.0-or-later

package store

import "slapos/slap"

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

// addressRow is an address with the partition that has it.
type addressRow struct {
	NetworkAddress
	partition, computer string
}

var addressTable = table[addressRow]{name: "partition_network18", order: "rowid", columns: []column[addressRow]{
	{name: "partition_reference", at: func(r *addressRow) cell { return text{&r.partition} }},
	{name: "computer_reference", at: func(r *addressRow) cell { return text{&r.computer} }},
	{name: "reference", at: func(r *addressRow) cell { return text{&r.Interface} }},
	{name: "address", at: func(r *addressRow) cell { return text{&r.Address} }},
	{name: "netmask", at: func(r *addressRow) cell { return text{&r.Netmask} }},
}}

// Computer is a known computer.
type Computer struct {
	Reference string
	Address   *string
	Netmask   *string
}

var computerTable = table[Computer]{name: "computer18", order: "rowid", columns: []column[Computer]{
	{name: "reference", at: func(c *Computer) cell { return text{&c.Reference} }},
	{name: "address", at: func(c *Computer) cell { return optional[string]{&c.Address} }},
	{name: "netmask", at: func(c *Computer) cell { return optional[string]{&c.Netmask} }},
}}

// Node is a computer with all that it should run.
type Node struct {
	Computer string
	// Known is false for a default computer that was never loaded.
	Known      bool
	Address    *string
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

var softwareTable = table[Software]{name: "software18", order: "rowid", columns: []column[Software]{
	{name: "url", at: func(s *Software) cell { return text{&s.URL} }},
	{name: "computer_reference", at: func(s *Software) cell { return text{&s.Computer} }},
	{name: "requested_state", at: func(s *Software) cell { return text{(*string)(&s.State)} }},
}}

// The defaults of protocols that have no word for "as it is": what the state
// of a request is when it names none (PROXY-106, PROXY-118).
const (
	DefaultState         = slap.StateStarted
	DefaultSoftwareState = slap.StateAvailable
)

// Order is a request for an instance, as it came in. An empty State leaves
// that of an instance as it is, and is [DefaultState] for a new one.
type Order struct {
	slap.Request
	// Authorized is the partition that the Authorization header names; it
	// goes before the request's own requester, and must exist (PROXY-14).
	Authorized *slap.PartitionID
	// OnlyPartition is true for who may ask in the name of a partition with an
	// instance alone, never as a person: anything else is a *[RequesterError].
	OnlyPartition bool
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

// Resolved is what the store knows of an order.
type Resolved struct {
	Requester
	// Allocated is true when the instance exists.
	Allocated bool
}

// Instance is an instance and the partition that it runs in; for a shared one,
// the partition that hosts it. In a list, instances with their own partition
// have no Parameters and no Connection, and shared ones have no Partition if it
// is gone, and no Parameters if they were destroyed.
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

// Hosted reports whether a host lists a shared instance in a list.
func (i *Instance) Hosted() bool { return i.Partition != nil && i.Parameters != nil }

// StateCount counts the partitions of a computer that are in a state: "free",
// or the requested state of their instance.
type StateCount struct {
	Computer string
	State    string
	Count    int64
}
