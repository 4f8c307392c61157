// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"slapos/proxy/store"
	"slapos/slap"
)

// marshalNode gives a computer the form of SLAP-30.
func marshalNode(node *store.Node) (*slap.Computer, error) {
	answer := &slap.Computer{
		Reference:        node.Computer,
		Partitions:       make([]*slap.Partition, 0, len(node.Partitions)),
		SoftwareReleases: make([]*slap.SoftwareRelease, 0, len(node.Software)),
	}
	for _, software := range node.Software {
		answer.SoftwareReleases = append(answer.SoftwareReleases,
			&slap.SoftwareRelease{URL: software.URL, Computer: node.Computer, RequestedState: software.State})
	}
	for _, p := range node.Partitions {
		partition, err := marshalPartition(p)
		if err != nil {
			return nil, err
		}
		answer.Partitions = append(answer.Partitions, partition)
	}
	return answer, nil
}

func guid(p *store.Partition) string { return p.ID.Computer + "-" + p.ID.Partition }

// marshalPartition gives a partition the form of PROXY-33.
func marshalPartition(p *store.Partition) (*slap.Partition, error) {
	if p.SoftwareRelease == "" {
		return marshalFree(p), nil
	}
	parameters, err := p.ParameterDict()
	if err != nil {
		return nil, err
	}
	connection, err := p.ConnectionDict()
	if err != nil {
		return nil, err
	}
	return marshalUsed(p, parameters, connection)
}

func marshalFree(p *store.Partition) *slap.Partition {
	return &slap.Partition{
		Computer: p.ID.Computer, Reference: p.ID.Partition, InstanceGUID: guid(p), RequestedState: slap.StateDestroyed,
	}
}

func marshalUsed(p *store.Partition, parameters, connection slap.Dict) (*slap.Partition, error) {
	answer := marshalFree(p)
	shared, err := p.SharedList()
	if err != nil {
		return nil, err
	}
	parameters["ip_list"] = slap.AddressList(p.Addresses)
	parameters["full_address_list"] = []any{}
	parameters["slap_software_type"] = p.SoftwareType
	parameters["instance_title"] = p.Title
	parameters["root_instance_title"] = p.RootTitle()
	parameters["slap_computer_id"] = p.ID.Computer
	parameters["slap_computer_partition_id"] = p.ID.Partition
	parameters["slap_software_release_url"] = p.SoftwareRelease
	parameters["slave_instance_list"] = shared
	if p.Timestamp != nil && *p.Timestamp != 0 {
		parameters["timestamp"] = slap.PythonString(*p.Timestamp)
	}
	answer.NeedModification = true
	answer.Parameters = parameters
	answer.SoftwareRelease = &slap.SoftwareRelease{URL: p.SoftwareRelease, Computer: p.ID.Computer}
	answer.ConnectionParameters = connection
	setState(answer, p.State)
	return answer, nil
}

// setState writes a state even when it is empty, as it may be in a database.
func setState(answer *slap.Partition, state string) {
	if answer.RequestedState = slap.State(state); state == "" {
		answer.Extra = slap.Dict{"_requested_state": ""}
	}
}

// marshalInstance gives the answer to a request the form of PROXY-64 or, for a
// shared instance, PROXY-67.
func marshalInstance(i *store.Instance) *slap.Instance {
	p := i.Partition
	answer := &slap.Instance{
		Computer: p.ID.Computer, Partition: p.ID.Partition,
		ConnectionParameters: i.Connection, IPList: p.Addresses,
		SoftwareReleaseURL: p.SoftwareRelease, SoftwareType: p.SoftwareType, ServerURL: "slap_server_url",
		Parameters: i.Parameters,
		Extra:      slap.Dict{},
	}
	if p.SoftwareType == "" {
		answer.Extra["slap_software_type"] = ""
	}
	if p.SoftwareRelease == "" {
		answer.Extra["slap_software_release_url"] = ""
	}
	if i.Shared {
		return answer
	}
	answer.GUID, answer.RequestedState = guid(p), slap.State(i.State)
	answer.HasConnectionXML = true
	if i.ConnectionXML != nil {
		answer.ConnectionXML = *i.ConnectionXML
	}
	if p.Timestamp != nil {
		answer.Parameters["timestamp"] = slap.PythonString(*p.Timestamp)
	}
	return answer
}
