// SPDX-License-Identifier: GPL-3.0-or-later

package slap

// State is what a Master wants of an instance or of a software release.
type State string

// The states of the protocol. Instances are started, stopped or destroyed,
// software releases available or destroyed.
const (
	StateStarted   State = "started"
	StateStopped   State = "stopped"
	StateDestroyed State = "destroyed"
	StateAvailable State = "available"
)

// DefaultSoftwareType is the software type of a request without one (SLAP-42).
// Clients before 1.13 sent "RootSoftwareInstance" instead.
const DefaultSoftwareType = "default"

// PartitionID names a partition of a computer. The zero value names none.
type PartitionID struct {
	Computer  string
	Partition string
}

// IsZero reports whether id names no partition.
func (id PartitionID) IsZero() bool { return id == PartitionID{} }

// Address is an address of a partition and the name of the network interface
// that has it.
type Address struct {
	Interface string
	IP        string
}

// Computer is everything that a Master knows about a computer: what should be
// installed and what should run on it.
//
// In all entities, Extra has the attributes that have no field, and those whose
// value doesn't have the field's type. An attribute in Extra is written instead
// of the field of that name (SLAP-22).
type Computer struct {
	Reference string
	// Nil lists are left out when encoding, empty ones are written.
	Partitions       []*Partition
	SoftwareReleases []*SoftwareRelease
	Extra            Dict
}

// SoftwareRelease is a release that a computer should have installed, or should
// remove.
type SoftwareRelease struct {
	URL      string
	Computer string
	// RequestedState is StateAvailable, StateDestroyed, or "" if the Master did
	// not say, which means available. See [SoftwareRelease.State].
	RequestedState State
	Extra          Dict
}

// State returns the wanted state, which is never empty (SLAP-45).
func (r *SoftwareRelease) State() State {
	if r.RequestedState == "" {
		return StateAvailable
	}
	return r.RequestedState
}

// Partition is a partition of a computer and the instance it hosts, if any
// (SLAP-32).
type Partition struct {
	Computer  string
	Reference string
	// InstanceGUID identifies the instance; "" if the Master sent none.
	InstanceGUID   string
	RequestedState State
	// NeedModification is true if an instance is allocated here.
	NeedModification bool
	// SoftwareRelease is nil if the partition is free.
	SoftwareRelease *SoftwareRelease
	// Parameters are the user's and those that the server adds (SLAP-33); nil
	// if the partition is free.
	Parameters Dict
	// ConnectionParameters is what the instance published; nil if free.
	ConnectionParameters Dict
	// AccessStatus is the Master's last message about the instance, if
	// HasAccessStatus.
	AccessStatus    string
	HasAccessStatus bool
	// Partial marks a partition that is only partly known: NeedModification and
	// a nil SoftwareRelease are left out when encoding.
	Partial bool
	Extra   Dict
}

// ID returns the name of the partition.
func (p *Partition) ID() PartitionID {
	return PartitionID{Computer: p.Computer, Partition: p.Reference}
}

// Allocated reports whether the partition hosts an instance.
func (p *Partition) Allocated() bool { return p.NeedModification }

// SoftwareType returns the software type of the instance, "" if unknown.
func (p *Partition) SoftwareType() string { return text(p.Parameters, "slap_software_type") }

// Title returns the name of the instance, "" if unknown.
func (p *Partition) Title() string { return text(p.Parameters, "instance_title") }

// RootTitle returns the name of the root instance of its tree, "" if unknown.
func (p *Partition) RootTitle() string { return text(p.Parameters, "root_instance_title") }

// Parameter returns a parameter. If there is none of that name, the error
// matches ErrNotFound.
func (p *Partition) Parameter(name string) (any, error) { return lookup(p.Parameters, name) }

// Connection returns what the instance published, in whichever form the Master
// sent it (SLAP-44). It is only nil with an error.
func (p *Partition) Connection() (Dict, error) {
	if p.ConnectionParameters != nil {
		return p.ConnectionParameters, nil
	}
	return DecodeInstance([]byte(text(p.Extra, "connection_xml")))
}

// ConnectionParameter returns a parameter of [Partition.Connection]. If there
// is none of that name, the error matches ErrNotFound.
func (p *Partition) ConnectionParameter(name string) (any, error) {
	d, err := p.Connection()
	if err != nil {
		return nil, err
	}
	return lookup(d, name)
}

// Timestamp changes whenever the instance must be processed again. It is opaque
// text; a number from the Master is accepted.
func (p *Partition) Timestamp() (timestamp string, ok bool) {
	v, ok := p.Parameters["timestamp"]
	if !ok || v == nil {
		return "", false
	}
	return PythonString(v), true
}

// Addresses returns the partition's own addresses (ip_list).
func (p *Partition) Addresses() []Address { return addresses(p.Parameters["ip_list"]) }

// FullAddresses returns the addresses routed to the partition (full_ip_list),
// which only some Masters know. Of a longer tuple, the second item counts.
func (p *Partition) FullAddresses() []Address { return addresses(p.Parameters["full_ip_list"]) }

// SharedInstances returns the shared instances that the partition hosts
// (slave_instance_list), each with its parameters among the keys.
func (p *Partition) SharedInstances() []Dict {
	var shared []Dict
	for _, item := range items(p.Parameters["slave_instance_list"]) {
		if d, ok := item.(Dict); ok {
			shared = append(shared, d)
		}
	}
	return shared
}

// AddressList returns addresses in the form of ip_list on the wire, a list of
// tuples.
func AddressList(addresses []Address) []any {
	list := make([]any, len(addresses))
	for i, a := range addresses {
		list[i] = Tuple{a.Interface, a.IP}
	}
	return list
}

func addresses(v any) []Address {
	var list []Address
	for _, item := range items(v) {
		pair := items(item)
		if len(pair) < 2 {
			continue
		}
		ip, ok := pair[1].(string)
		if !ok {
			continue
		}
		name, _ := pair[0].(string)
		list = append(list, Address{Interface: name, IP: ip})
	}
	return list
}

// items returns the elements of a list or a tuple.
func items(v any) []any {
	switch v := v.(type) {
	case []any:
		return v
	case Tuple:
		return v
	case *List:
		return v.Items
	}
	return nil
}

func lookup(d Dict, name string) (any, error) {
	v, ok := d[name]
	if !ok {
		return nil, notFound("%s not found", name)
	}
	return v, nil
}

func text(d Dict, key string) string {
	s, _ := d[key].(string)
	return s
}
