// SPDX-License-Identifier: GPL-3.0-or-later

package slap

// State is what a Master wants of an instance or of a software release.
type State string

// The states of the protocol. Started, stopped and destroyed are those of
// instances, available and destroyed those of software releases.
const (
	StateStarted   State = "started"
	StateStopped   State = "stopped"
	StateDestroyed State = "destroyed"
	StateAvailable State = "available"
)

// DefaultSoftwareType is the software type of a request that names none
// (SLAP-42). Clients before 1.13 sent "RootSoftwareInstance" instead.
const DefaultSoftwareType = "default"

// PartitionID names a partition of a computer. The zero value names none.
type PartitionID struct {
	Computer  string
	Partition string
}

// IsZero reports whether id names no partition.
func (id PartitionID) IsZero() bool { return id == PartitionID{} }

// Address is an address of a partition and the name of the network interface
// that carries it.
type Address struct {
	Interface string
	IP        string
}

// Computer is all that a Master knows of a computer: what should be installed
// and what should run on it.
//
// In this and the other entities, Extra keeps the attributes that have no
// field here, and those whose value is not of the field's type. An attribute
// in Extra is written instead of the field of that name (SLAP-22).
type Computer struct {
	Reference string
	// Nil lists are left out when encoding, empty ones are written.
	Partitions       []*Partition
	SoftwareReleases []*SoftwareRelease
	Extra            Dict
}

// SoftwareRelease is a release that a computer should have installed, or no
// longer.
type SoftwareRelease struct {
	URL      string
	Computer string
	// RequestedState is StateAvailable, StateDestroyed, or "" when the Master
	// did not say, which means available. See [SoftwareRelease.State].
	RequestedState State
	Extra          Dict
}

// State is the wanted state, never empty (SLAP-45).
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
	// InstanceGUID identifies the instance; "" when the Master gave none.
	InstanceGUID   string
	RequestedState State
	// NeedModification is true when an instance is allocated here.
	NeedModification bool
	// SoftwareRelease is nil when the partition is free.
	SoftwareRelease *SoftwareRelease
	// Parameters are the user's and those that the server adds (SLAP-33); nil
	// when the partition is free.
	Parameters Dict
	// ConnectionParameters is what the instance published; nil when free.
	ConnectionParameters Dict
	// AccessStatus is the last message about the instance that the Master
	// holds, when HasAccessStatus.
	AccessStatus    string
	HasAccessStatus bool
	// Partial marks a partition of which not everything is known: NeedModification
	// and a nil SoftwareRelease are left out when encoding.
	Partial bool
	Extra   Dict
}

// ID names the partition.
func (p *Partition) ID() PartitionID { return PartitionID{p.Computer, p.Reference} }

// Allocated reports whether the partition hosts an instance.
func (p *Partition) Allocated() bool { return p.NeedModification }

// SoftwareType is the software type of the instance, "" when unknown.
func (p *Partition) SoftwareType() string { return text(p.Parameters, "slap_software_type") }

// Title is the name of the instance, "" when unknown.
func (p *Partition) Title() string { return text(p.Parameters, "instance_title") }

// RootTitle is the name of the root instance of its tree, "" when unknown.
func (p *Partition) RootTitle() string { return text(p.Parameters, "root_instance_title") }

// Parameter returns a parameter. The error matches ErrNotFound when there is
// none of that name.
func (p *Partition) Parameter(name string) (any, error) { return lookup(p.Parameters, name) }

// Connection is what the instance published, from whichever form the Master
// sent (SLAP-44). It is never nil without an error.
func (p *Partition) Connection() (Dict, error) {
	if p.ConnectionParameters != nil {
		return p.ConnectionParameters, nil
	}
	return DecodeInstance([]byte(text(p.Extra, "connection_xml")))
}

// ConnectionParameter returns a parameter of [Partition.Connection]. The error
// matches ErrNotFound when there is none of that name.
func (p *Partition) ConnectionParameter(name string) (any, error) {
	d, err := p.Connection()
	if err != nil {
		return nil, err
	}
	return lookup(d, name)
}

// Timestamp changes whenever the instance must be processed again. It is
// opaque text; a Master that sends a number is understood.
func (p *Partition) Timestamp() (timestamp string, ok bool) {
	v, ok := p.Parameters["timestamp"]
	if !ok || v == nil {
		return "", false
	}
	return PythonString(v), true
}

// Addresses are the partition's own addresses (ip_list).
func (p *Partition) Addresses() []Address { return addresses(p.Parameters["ip_list"]) }

// FullAddresses are the addresses routed to the partition (full_ip_list), of
// which only some Masters know. The second item of a longer tuple counts.
func (p *Partition) FullAddresses() []Address { return addresses(p.Parameters["full_ip_list"]) }

// SharedInstances are the shared instances that the partition hosts
// (slave_instance_list), each with its own parameters among the keys.
func (p *Partition) SharedInstances() []Dict {
	var shared []Dict
	for _, item := range items(p.Parameters["slave_instance_list"]) {
		if d, ok := item.(Dict); ok {
			shared = append(shared, d)
		}
	}
	return shared
}

// AddressList gives addresses the shape of ip_list on the wire, a list of
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
