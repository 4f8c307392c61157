// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"slapos/proxy/store"
	"slapos/slap"
	"slapos/slap/pyjson"
)

// rpcGUID is the identity of an instance in JSON-RPC (PROXY-92).
func rpcGUID(name store.Name) string {
	shared := 0
	if name.Shared {
		shared = 1
	}
	return fmt.Sprintf("%s___%s___%d", name.Title, name.Root, shared)
}

// nameOf takes the identity of the input apart.
func nameOf(input slap.Dict) (store.Name, error) {
	guid := text(input, "instance_guid")
	parts := strings.SplitN(guid, "___", 3)
	if len(parts) == 3 {
		// Python reads digits with a sign, and blanks around them.
		if shared, err := strconv.Atoi(strings.TrimSpace(parts[2])); err == nil {
			return store.Name{Title: parts[0], Root: parts[1], Shared: shared != 0}, nil
		}
	}
	return store.Name{}, refuse(http.StatusForbidden, "instance_guid %s not handled.", guid)
}

// document is an instance in JSON-RPC (PROXY-93).
type document struct {
	name               store.Name
	release, kind      string
	state              string
	connection         slap.Dict
	parameters         slap.Dict
	addresses          []slap.Address
	computer, location string
	timestamp          float64
}

func (d document) object() object {
	root := d.name.Root
	if root == "" {
		root = d.name.Title
	}
	addresses := []any{}
	for _, a := range d.addresses {
		addresses = append(addresses, []any{a.Interface, a.IP})
	}
	return pyjson.Of(
		"title", d.name.Title,
		"instance_guid", rpcGUID(d.name),
		"software_release_uri", d.release,
		"software_type", d.kind,
		"state", d.state,
		"connection_parameters", d.connection,
		"parameters", d.parameters,
		"shared", d.name.Shared,
		"root_instance_title", root,
		"ip_list", addresses,
		"full_ip_list", []any{},
		"sla_parameters", slap.Dict{}, // they are not stored
		"computer_guid", d.computer,
		"compute_partition_id", d.location,
		"processing_timestamp", int64(d.timestamp),
		"access_status_message", "",
	)
}

// documentOf is the document of an instance that the store knows.
func documentOf(i *store.Instance) document {
	d := document{
		name: i.Name, release: i.Partition.SoftwareRelease, kind: i.Partition.SoftwareType, state: i.State,
		connection: i.Connection, parameters: i.Parameters, addresses: i.Partition.Addresses,
		computer: i.Partition.ID.Computer, location: i.Partition.ID.Partition,
	}
	if i.Partition.Timestamp != nil {
		d.timestamp = *i.Partition.Timestamp
	}
	return d
}

func (p *Proxy) rpcInstance(r *http.Request, input slap.Dict) (any, error) {
	name, err := nameOf(input)
	if err != nil {
		return nil, err
	}
	guid := text(input, "instance_guid")
	instance, err := p.store.Instance(r.Context(), name)
	switch {
	case errors.Is(err, store.ErrNoHost):
		return nil, refuse(http.StatusForbidden, "No partition hosting %s found.", guid)
	case errors.Is(err, store.ErrNotFound) && name.Shared:
		return nil, refuse(http.StatusForbidden, "No shared instance %s found.", guid)
	case errors.Is(err, store.ErrNotFound):
		return nil, refuse(http.StatusForbidden, "No software instance %s found.", guid)
	case err != nil:
		return nil, err
	}
	return documentOf(instance).object(), nil
}

func (p *Proxy) rpcPartition(r *http.Request, input slap.Dict) (any, error) {
	id := slap.PartitionID{Computer: text(input, "computer_guid"), Partition: text(input, "compute_partition_id")}
	instance, err := p.store.Instance(r.Context(), store.At(id))
	if errors.Is(err, store.ErrNotFound) || err == nil && instance.Title == "" {
		return nil, refuse(http.StatusForbidden, "No instance on partition %s found.", id.Partition)
	}
	if err != nil {
		return nil, err
	}
	return documentOf(instance).object(), nil
}

func (p *Proxy) rpcTree(r *http.Request, input slap.Dict) (any, error) {
	title := text(input, "title")
	roots, err := p.store.List(r.Context(), store.RootsTitled(title))
	if err != nil {
		return nil, err
	}
	none := refuse(http.StatusForbidden, "No instance tree %s found.", title)
	if len(roots) != 1 {
		return nil, none
	}
	switch root := roots[0]; {
	case root.Partition == nil:
		return nil, refuse(http.StatusForbidden, "No partition hosting %s found.", title)
	case !root.Shared:
		instance, err := p.store.Instance(r.Context(), store.At(root.Partition.ID))
		if err != nil {
			return nil, err
		}
		return documentOf(instance).object(), nil
	case root.Parameters != nil:
		return documentOf(root).object(), nil
	}
	return nil, none
}

func (p *Proxy) rpcTrees(r *http.Request, _ slap.Dict) (any, error) {
	roots, err := p.store.List(r.Context(), store.Roots())
	if err != nil {
		return nil, err
	}
	result := []object{}
	for _, root := range roots {
		result = append(result, pyjson.Of("title", root.Title))
	}
	return pyjson.Of("result_list", result), nil
}

func (p *Proxy) rpcHosted(r *http.Request, input slap.Dict) (any, error) {
	name, err := nameOf(input)
	if err != nil {
		return nil, err
	}
	hosted, err := p.store.List(r.Context(), store.HostedBy(name))
	if errors.Is(err, store.ErrNotFound) {
		return nil, noInstance(input)
	}
	if err != nil {
		return nil, err
	}
	result := []object{}
	for _, i := range hosted {
		result = append(result, pyjson.Of(
			"title", i.Title,
			"instance_guid", rpcGUID(i.Name),
			"software_type", i.SoftwareType,
			"state", i.State,
			"parameters", i.Parameters,
			"compute_partition_id", i.Partition.ID.Partition,
		))
	}
	return pyjson.Of("result_list", result), nil
}

func noInstance(input slap.Dict) error {
	return refuse(http.StatusForbidden, "No software instance %s found.", text(input, "instance_guid"))
}

// rpcRequest asks for an instance; the requester comes from the Authorization
// header alone (PROXY-118).
func (p *Proxy) rpcRequest(r *http.Request, input slap.Dict) (any, error) {
	order := store.Order{Request: slap.Request{
		Reference:       text(input, "title"),
		SoftwareRelease: text(input, "software_release_uri"),
		SoftwareType:    text(input, "software_type"),
		State:           cmp.Or(slap.State(text(input, "state")), store.DefaultState),
	}, Authorized: authorization(r)}
	order.Shared, _ = input["shared"].(bool)
	order.Parameters, _ = input["parameters"].(slap.Dict)
	order.Filter, _ = input["sla_parameters"].(slap.Dict)
	result, err := p.request(r, order)
	if err != nil {
		return nil, err
	}
	if partition := result.partition; partition != nil {
		return document{
			name:    store.Name{Title: order.Reference, Root: result.requester.Root, Shared: order.Shared},
			release: order.SoftwareRelease, kind: order.SoftwareType, state: string(order.State),
			connection: partition.ConnectionParameters, parameters: order.Parameters,
			computer: partition.Computer, location: partition.Reference,
		}.object(), nil
	}
	d := documentOf(result.instance)
	if order.Shared {
		d.timestamp = 0
	}
	return d.object(), nil
}

func (p *Proxy) rpcInstanceState(r *http.Request, input slap.Dict) (any, error) {
	if state := text(input, "reported_state"); state != string(slap.StateDestroyed) {
		p.recordNamed(r, input, state, "")
		return success("Ignored"), nil
	}
	name, err := nameOf(input)
	if err != nil {
		return nil, err
	}
	waiting, err := p.store.Destroy(r.Context(), name)
	switch {
	case errors.Is(err, store.ErrShared):
		return success("Ignored"), nil
	case errors.Is(err, store.ErrNotFound):
		return nil, noInstance(input)
	case err == nil && len(waiting) > 0:
		return nil, refuse(http.StatusForbidden, "%s", notYet(waiting))
	}
	return success("Destroyed"), err
}

func (p *Proxy) rpcBang(r *http.Request, input slap.Dict) (any, error) {
	name, err := nameOf(input)
	if err != nil {
		return nil, err
	}
	return success("Bang handled"), unlessUnknown(p.store.Bang(r.Context(), name, store.Below, text(input, "message")))
}

func (p *Proxy) rpcRename(r *http.Request, input slap.Dict) (any, error) {
	name, err := nameOf(input)
	if err != nil {
		return nil, err
	}
	return success("Renamed"), unlessUnknown(p.store.Rename(r.Context(), name, text(input, "title"), store.Alone))
}

func (p *Proxy) rpcPublish(r *http.Request, input slap.Dict) (any, error) {
	name, err := nameOf(input)
	if err != nil {
		return nil, err
	}
	connection := input["connection_parameter_dict"].(slap.Dict)
	return success("Updated"), unlessUnknown(p.store.Publish(r.Context(), name, connection))
}
