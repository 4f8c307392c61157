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

// rpcMethods are the methods of PROXY-100 to PROXY-126.
func (p *Proxy) rpcMethods() map[string]rpcMethod {
	ignored := always(success("Ignored"))
	certificate := always(pyjson.Of("key", "", "certificate", ""))
	return map[string]rpcMethod{
		"slapos.get.v0.hateoas_url":                    {"nothing", "hateoasAddress", p.rpcHateoasURL},
		"slapos.post.v0.compute_node_certificate":      {"computer", "certificate", certificate},
		"slapos.remove.v0.compute_node_certificate":    {"computer", "success", ignored},
		"slapos.get.v0.software_instance_certificate":  {"named", "certificate", certificate},
		"slapos.post.v0.compute_node_usage":            {"usage", "success", p.rpcUsage},
		"slapos.get.v0.compute_node_status":            {"computer", "status", always(pyjson.Of("text", "Unknown (not implemented)"))},
		"slapos.post.v0.software_installation":         {"supply", "success", p.rpcSupply},
		"slapos.put.v0.software_installation_error":    {"releaseError", "success", ignored},
		"slapos.allDocs.v0.compute_node_instance_list": {"computer", "instances", p.rpcInstances},
		"slapos.allDocs.v0.instance_tree_list":         {"nothing", "trees", p.rpcTrees},
		"slapos.get.v0.instance_tree":                  {"tree", "instance", p.rpcTree},
		"slapos.get.v0.compute_partition":              {"partition", "instance", p.rpcPartition},
		"slapos.get.v0.software_instance":              {"named", "instance", p.rpcInstance},
		"slapos.post.v0.software_instance":             {"order", "instance", p.rpcRequest},
		"slapos.put.v0.software_instance_bang":         {"namedMessage", "success", p.rpcBang},
		"slapos.put.v0.software_instance_title":        {"rename", "success", p.rpcRename},
		"slapos.put.v0.software_instance_error":        {"namedMessage", "success", ignored},
		"slapos.put.v0.compute_node_bang":              {"computerMessage", "success", ignored},
		"slapos.put.v0.compute_node_format":            {"format", "success", p.rpcFormat},
		"slapos.allDocs.WIP.compute_node_list":         {"nothing", "computers", p.rpcComputers},

		"slapos.allDocs.v0.compute_node_software_installation_list": {"computer", "releases", p.rpcReleases},
		"slapos.allDocs.v0.instance_node_instance_list":             {"named", "hosted", p.rpcHosted},
		"slapos.put.v0.software_installation_reported_state":        {"releaseReport", "success", p.rpcReleaseState},
		"slapos.put.v0.software_instance_reported_state":            {"instanceReport", "success", p.rpcInstanceState},
		"slapos.put.v0.software_instance_connection_parameter":      {"publish", "success", p.rpcPublish},
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
	if text(input, "reported_state") != string(slap.StateDestroyed) {
		return success("Ignored"), nil
	}
	return success("Destroyed"), p.store.RemoveSoftware(r.Context(), text(input, "computer_guid"), text(input, "software_release_uri"))
}

func (p *Proxy) rpcInstances(r *http.Request, input slap.Dict) (any, error) {
	computer := text(input, "computer_guid")
	body, err := p.answers.get(r.Context(), "instances", computer, func(node *store.Node) ([]byte, error) {
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
