// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"cmp"
	"errors"
	"net/http"
	"slices"

	"slapos/proxy/store"
	"slapos/slap"
	"slapos/slap/pyjson"
)

// rpcMethods are the methods of PROXY-100 to PROXY-126, and ours (PROXY-194, PROXY-195).
func (p *Proxy) rpcMethods() map[string]rpcMethod {
	ignored := always(success("Ignored"))
	certificate := always(pyjson.Of("key", "", "certificate", ""))
	return map[string]rpcMethod{
		"slapos.get.v0.hateoas_url":                    {input: "nothing", output: "hateoasAddress", call: p.rpcHateoasURL},
		"slapos.post.v0.compute_node_certificate":      {input: "computer", output: "certificate", call: certificate},
		"slapos.remove.v0.compute_node_certificate":    {input: "computer", output: "success", call: ignored},
		"slapos.get.v0.software_instance_certificate":  {input: "named", output: "certificate", call: p.rpcPartitionCertificate},
		"slapos.post.v0.compute_node_usage":            {input: "usage", output: "success", call: p.rpcUsage},
		"slapos.get.v0.compute_node_status":            {input: "computer", output: "status", call: always(pyjson.Of("text", "Unknown (not implemented)"))},
		"slapos.post.v0.software_installation":         {input: "supply", output: "success", call: p.rpcSupply},
		"slapos.put.v0.software_installation_error":    {input: "releaseError", output: "success", call: p.rpcReleaseError},
		"slapos.allDocs.v0.compute_node_instance_list": {input: "computer", output: "instances", call: p.rpcInstances},
		"slapos.allDocs.v0.instance_tree_list":         {input: "nothing", output: "trees", call: p.rpcTrees},
		"slapos.get.v0.instance_tree":                  {input: "tree", output: "instance", call: p.rpcTree},
		"slapos.get.v0.compute_partition":              {input: "partition", output: "instance", call: p.rpcPartition},
		"slapos.get.v0.software_instance":              {input: "named", output: "instance", call: p.rpcInstance},
		"slapos.post.v0.software_instance":             {input: "order", output: "instance", call: p.rpcRequest},
		"slapos.put.v0.software_instance_bang":         {input: "namedMessage", output: "success", call: p.rpcBang},
		"slapos.put.v0.software_instance_title":        {input: "rename", output: "success", call: p.rpcRename},
		"slapos.put.v0.software_instance_error":        {input: "namedMessage", output: "success", call: p.rpcInstanceError},
		"slapos.put.v0.compute_node_bang":              {input: "computerMessage", output: "success", call: p.rpcComputerBang},
		"slapos.put.v0.compute_node_format":            {input: "format", output: "success", call: p.rpcFormat},
		"slapos.allDocs.WIP.compute_node_list":         {input: "nothing", output: "computers", call: p.rpcComputers},

		"slapos.allDocs.v0.compute_node_software_installation_list": {input: "computer", output: "releases", call: p.rpcReleases},
		"slapos.allDocs.v0.instance_node_instance_list":             {input: "named", output: "hosted", call: p.rpcHosted},
		"slapos.put.v0.software_installation_reported_state":        {input: "releaseReport", output: "success", call: p.rpcReleaseState},
		"slapos.put.v0.software_instance_reported_state":            {input: "instanceReport", output: "success", call: p.rpcInstanceState},
		"slapos.get.v1.status":                                      {input: "nothing", output: "cloud", call: p.rpcStatus},
		"slapos.get.v1.software_instance_status":                    {input: "named", output: "instanceStatus", call: p.rpcInstanceStatus},
		"slapos.get.v1.software_installation_status":                {input: "release", output: "releaseStatus", call: p.rpcReleaseStatus},
		"slapos.allDocs.v1.event_list":                              {input: "eventFilter", output: "events", call: p.rpcEvents},
		"slapos.get.v1.event_log":                                   {input: "eventNumber", output: "eventLog", call: p.rpcEventLog},
		"slapos.put.v1.software_instance_promise_list":              {input: "promises", output: "success", call: p.rpcPromises},
		"slapos.put.v0.software_instance_connection_parameter":      {input: "publish", output: "success", call: p.rpcPublish},
	}
}

func text(input slap.Dict, key string) string {
	value, _ := input[key].(string)
	return value
}

func (p *Proxy) rpcHateoasURL(r *http.Request, _ slap.Dict) (any, error) {
	return pyjson.Of("hateoas_url", originOf(r).url("/hateoas/")), nil
}

func (p *Proxy) rpcUsage(r *http.Request, input slap.Dict) (any, error) {
	return success("Ignored"), p.store.AddUsage(r.Context(), text(input, "computer_guid"), text(input, "tioxml"))
}

func (p *Proxy) rpcSupply(r *http.Request, input slap.Dict) (any, error) {
	software := store.Software{
		URL: text(input, "software_release_uri"), Computer: text(input, "computer_guid"),
		State: cmp.Or(slap.State(text(input, "state")), store.DefaultSoftwareState),
	}
	return success("Supplied %s to be %s", software.URL, software.State), p.store.Supply(r.Context(), software)
}

func (p *Proxy) rpcReleases(r *http.Request, input slap.Dict) (any, error) {
	computer := text(input, "computer_guid")
	list, err := p.store.Software(r.Context(), computer)
	if err != nil {
		return nil, unregistered(computer, err)
	}
	p.store.Polled(computer)
	result := []object{}
	for _, software := range list {
		result = append(result, pyjson.Of("software_release_uri", software.URL, "state", string(software.State)))
	}
	return pyjson.Of("result_list", result), nil
}

func unregistered(computer string, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return refuse(http.StatusForbidden, "%s is not registered.", computer)
	}
	return err
}

func (p *Proxy) rpcReleaseState(r *http.Request, input slap.Dict) (any, error) {
	if state := text(input, "reported_state"); state != string(slap.StateDestroyed) {
		p.record(r, store.Report{Computer: text(input, "computer_guid"), Kind: store.KindRelease, Subject: text(input, "software_release_uri"), State: state})
		return success("Ignored"), nil
	}
	return success("Destroyed"), p.store.RemoveSoftware(r.Context(), text(input, "computer_guid"), text(input, "software_release_uri"))
}

func (p *Proxy) rpcInstances(r *http.Request, input slap.Dict) (any, error) {
	computer := text(input, "computer_guid")
	body, _, err := p.answers.get(r.Context(), "instances", computer, func(node *store.Node) ([]byte, error) {
		if !node.Known {
			return nil, store.ErrNotFound
		}
		result := []object{}
		for _, partition := range node.Partitions {
			if !partition.Busy {
				continue
			}
			result = append(result, pyjson.Of(
				"title", partition.Title,
				"instance_guid", rpcGUID(partition.Name()),
				"state", partition.State,
				"compute_partition_id", partition.ID.Partition,
				"software_release_uri", partition.SoftwareRelease,
			))
		}
		return rpcEncode(schemas()("instances"), pyjson.Of("result_list", result))
	})
	if err != nil {
		return nil, unregistered(computer, err)
	}
	p.store.Polled(computer)
	return body, nil
}

func (p *Proxy) rpcFormat(r *http.Request, input slap.Dict) (any, error) {
	description := store.ComputerDescription{Reference: text(input, "computer_guid")}
	for _, item := range input["compute_partition_list"].([]any) {
		partition := item.(slap.Dict)
		d := store.PartitionDescription{Reference: text(partition, "partition_id")}
		addresses, _ := partition["ip_list"].([]any)
		for _, item := range addresses {
			address := item.(slap.Dict)
			d.Addresses = append(d.Addresses, store.NetworkAddress{
				Interface: text(address, "network-interface"),
				Address:   text(address, "ip-address"), Netmask: text(address, "netmask"),
			})
		}
		description.Partitions = append(description.Partitions, d)
	}
	return success("Formatted"), p.store.LoadComputer(r.Context(), description)
}

func (p *Proxy) rpcComputers(r *http.Request, _ slap.Dict) (any, error) {
	computers, err := p.store.Computers(r.Context())
	if err != nil {
		return nil, err
	}
	var names []string
	for _, c := range computers {
		names = append(names, c.Reference)
	}
	slices.Sort(names)
	result := []object{}
	for _, name := range names {
		result = append(result, pyjson.Of("computer_guid", name))
	}
	return pyjson.Of("result_list", result), nil
}
