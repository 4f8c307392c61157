// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import "maps"

// Instance is the answer to a [Request] (SLAP-34). What the Master left out is
// empty.
type Instance struct {
	// Computer and Partition say where the instance runs; for a shared
	// instance, where its host runs.
	Computer  string
	Partition string
	// GUID and RequestedState are absent for shared instances of the proxy.
	GUID                 string
	RequestedState       State
	Parameters           Dict
	ConnectionParameters Dict
	// ConnectionXML is the <instance> document behind ConnectionParameters, ""
	// if nothing was published yet. It is only sent if HasConnectionXML, which
	// is true for instances that are not shared.
	ConnectionXML    string
	HasConnectionXML bool
	// IPList are the addresses of the partition; nil is left out.
	IPList             []Address
	SoftwareReleaseURL string
	SoftwareType       string
	ServerURL          string
	Extra              Dict
}

// ID returns the name of the instance's partition.
func (i *Instance) ID() PartitionID { return PartitionID{Computer: i.Computer, Partition: i.Partition} }

// State returns the requested state; ok is false if the Master did not say, as
// for shared instances: see [Client.Complete].
func (i *Instance) State() (state State, ok bool) {
	return i.RequestedState, i.RequestedState != ""
}

// Connection returns what the instance published, in whichever form the Master
// sent it (SLAP-44). It is only nil with an error.
func (i *Instance) Connection() (Dict, error) {
	if i.ConnectionParameters != nil {
		return i.ConnectionParameters, nil
	}
	return DecodeInstance([]byte(i.ConnectionXML))
}

// ConnectionParameter returns a parameter of [Instance.Connection]. If there is
// none of that name, the error matches ErrNotFound.
func (i *Instance) ConnectionParameter(name string) (any, error) {
	d, err := i.Connection()
	if err != nil {
		return nil, err
	}
	return lookup(d, name)
}

// AsPartition returns the instance in the form in which a proxy forwards the
// answer of another Master: a partition with all attributes of the instance
// added to its own.
func (i *Instance) AsPartition() *Partition {
	p := &Partition{
		Computer: i.Computer, Reference: i.Partition,
		InstanceGUID: i.GUID, RequestedState: i.RequestedState,
		Parameters: i.Parameters, ConnectionParameters: i.ConnectionParameters,
		Partial: true, Extra: Dict{},
	}
	for n := range instanceClass.keys {
		if k := &instanceClass.keys[n]; partitionClass.find(k.name) == nil && k.form.present(i) {
			p.Extra[k.name] = k.form.value(i)
		}
	}
	maps.Copy(p.Extra, i.Extra)
	return p
}

// AsInstance reads a partition that came as the answer to a request, as some
// proxies answer. It is the inverse of [Instance.AsPartition].
func (p *Partition) AsInstance() *Instance {
	i := &Instance{
		GUID: p.InstanceGUID, RequestedState: p.RequestedState,
		Parameters: p.Parameters, ConnectionParameters: p.ConnectionParameters,
	}
	instanceClass.set(i, p.Extra)
	i.Computer, i.Partition = p.Computer, p.Reference
	if i.SoftwareReleaseURL == "" && p.SoftwareRelease != nil {
		i.SoftwareReleaseURL = p.SoftwareRelease.URL
	}
	return i
}

func noneIfEmpty(s string) any {
	if s == "" {
		return nil
	}
	return s
}
