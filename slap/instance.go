// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import "maps"

// Instance is the answer to a [Request] (SLAP-34). What the Master left out
// is empty.
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
	// ConnectionXML is the <instance> document behind ConnectionParameters,
	// "" when nothing was published yet. It is on the wire only when
	// HasConnectionXML, which it is for instances that are not shared.
	ConnectionXML    string
	HasConnectionXML bool
	// IPList are the addresses of the partition; nil is left out.
	IPList             []Address
	SoftwareReleaseURL string
	SoftwareType       string
	ServerURL          string
	Extra              Dict
}

// ID names the partition that the instance runs in.
func (i *Instance) ID() PartitionID { return PartitionID{i.Computer, i.Partition} }

// State is the requested state; ok is false when the Master did not say,
// which is the case of shared instances: see [Client.Complete].
func (i *Instance) State() (state State, ok bool) {
	return i.RequestedState, i.RequestedState != ""
}

// Connection is what the instance published, from whichever form the Master
// sent (SLAP-44). It is never nil without an error.
func (i *Instance) Connection() (Dict, error) {
	if i.ConnectionParameters != nil {
		return i.ConnectionParameters, nil
	}
	return DecodeInstance([]byte(i.ConnectionXML))
}

// ConnectionParameter returns a parameter of [Instance.Connection]. The error
// matches ErrNotFound when there is none of that name.
func (i *Instance) ConnectionParameter(name string) (any, error) {
	d, err := i.Connection()
	if err != nil {
		return nil, err
	}
	return lookup(d, name)
}

// AsPartition gives the instance the form that a proxy answers with when it
// passes on the answer of another Master: a partition that has all attributes
// of the instance among its own.
func (i *Instance) AsPartition() *Partition {
	p := &Partition{
		Computer: i.Computer, Reference: i.Partition,
		InstanceGUID: i.GUID, RequestedState: i.RequestedState,
		Parameters: i.Parameters, ConnectionParameters: i.ConnectionParameters,
		Partial: true, Extra: Dict{},
	}
	add := func(key, value string) {
		if value != "" {
			p.Extra[key] = value
		}
	}
	add("slap_computer_id", i.Computer)
	add("slap_computer_partition_id", i.Partition)
	add("slap_software_release_url", i.SoftwareReleaseURL)
	add("slap_software_type", i.SoftwareType)
	add("slap_server_url", i.ServerURL)
	if i.HasConnectionXML {
		p.Extra["connection_xml"] = noneIfEmpty(i.ConnectionXML)
	}
	if i.IPList != nil {
		p.Extra["ip_list"] = AddressList(i.IPList)
	}
	maps.Copy(p.Extra, i.Extra)
	return p
}

// AsInstance reads a partition that came as the answer to a request: some
// proxies answer so. It is the reverse of [Instance.AsPartition].
func (p *Partition) AsInstance() *Instance {
	i := &Instance{
		GUID: p.InstanceGUID, RequestedState: p.RequestedState,
		Parameters: p.Parameters, ConnectionParameters: p.ConnectionParameters,
	}
	i.set(p.Extra)
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
