// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"cmp"
	"context"
	"fmt"

	"go.starlark.net/starlark"

	"slapos/slap"
)

// A partition is what the console holds of a partition and its instance.
// Attributes that the master did not send are fetched when first asked for
// (SLAP-44).
type partition struct {
	c            *console
	id           slap.PartitionID
	guid         string
	state        slap.State
	parameters   slap.Dict
	connection   slap.Dict
	release      *slap.SoftwareRelease
	accessStatus any
	fetched      bool
	unready      error // the request has not been fulfilled yet
}

func newPartition(c *console, instance *slap.Instance, unready error) *partition {
	p := &partition{
		c: c, id: instance.ID(), guid: instance.GUID, state: instance.RequestedState,
		parameters: instance.Parameters, connection: instance.ConnectionParameters, unready: unready,
	}
	if p.connection == nil && instance.HasConnectionXML {
		p.connection, p.unready = instance.Connection()
	}
	return p
}

// knownPartition is for a partition of which everything was sent.
func knownPartition(c *console, sent *slap.Partition) *partition {
	p := &partition{c: c, id: sent.ID()}
	p.fill(sent)
	return p
}

func (p *partition) fill(sent *slap.Partition) {
	p.guid = cmp.Or(p.guid, sent.InstanceGUID)
	p.state = cmp.Or(p.state, sent.RequestedState)
	if p.parameters == nil {
		p.parameters = sent.Parameters
	}
	if p.connection == nil {
		p.connection = sent.ConnectionParameters
	}
	if p.release == nil {
		p.release = sent.SoftwareRelease
	}
	if sent.HasAccessStatus {
		p.accessStatus = sent.AccessStatus
	}
	p.fetched = true
}

// fetch asks the master once, when an attribute is missing.
func (p *partition) fetch(missing bool) error {
	if p.unready != nil {
		return p.unready
	}
	if !missing || p.fetched {
		return nil
	}
	sent, err := p.c.client.Partition(p.c.ctx, p.id)
	if err == nil {
		p.fill(sent)
	}
	return err
}

func (c *console) registerPartition(a arguments) (any, error) {
	p := &partition{c: c}
	if err := a.unpack("computer_guid", &p.id.Computer, "partition_id", &p.id.Partition); err != nil {
		return nil, err
	}
	if p.id.Computer == "" || p.id.Partition == "" {
		return nil, fmt.Errorf("a partition has the reference of its computer and its own: %q %q", p.id.Computer, p.id.Partition)
	}
	return p.entity(), nil
}

func (p *partition) entity() *entity {
	return &entity{name: "ComputerPartition", attributes: methods(map[string]function{
		"getId":                      p.known(func() any { return p.id.Partition }),
		"getInstanceGuid":            p.lazy(func() bool { return p.guid == "" }, func() any { return p.guid }),
		"getState":                   p.lazy(func() bool { return p.state == "" }, func() any { return p.state }),
		"getInstanceParameterDict":   p.lazy(func() bool { return p.parameters == nil }, func() any { return p.parameters }),
		"getConnectionParameterDict": p.lazy(func() bool { return p.connection == nil }, func() any { return p.connection }),
		"getSoftwareRelease":         p.lazy(func() bool { return p.release == nil }, p.releaseEntity),
		"getType":                    p.lazy(func() bool { return p.parameters == nil }, func() any { return p.parameters["slap_software_type"] }),
		"getAccessStatus":            p.known(func() any { return p.accessStatus }),
		"getStatus":                  p.known(func() any { return p.accessStatus }),
		"getInstanceParameter":       p.item(func() slap.Dict { return p.parameters }),
		"getConnectionParameter":     p.item(func() slap.Dict { return p.connection }),
		"setConnectionDict":          p.setConnection,
		"bang":                       p.tell(p.c.client.InstanceBang),
		"error":                      p.tell(p.reportError),
		"rename":                     p.rename,
	})}
}

// known is a method that never asks the master.
func (p *partition) known(get func() any) function {
	return noArguments(func() (any, error) { return get(), p.unready })
}

// lazy is a method that asks the master when the attribute is missing.
func (p *partition) lazy(missing func() bool, get func() any) function {
	return noArguments(func() (any, error) {
		if err := p.fetch(missing()); err != nil {
			return nil, err
		}
		switch value := get().(type) {
		case string:
			return value, p.unallocated(value == "")
		case slap.State:
			return value, p.unallocated(value == "")
		case nil:
			return nil, p.unallocated(true)
		default:
			return value, nil
		}
	})
}

// unallocated is the error for what only an instance has.
func (p *partition) unallocated(missing bool) error {
	if missing {
		return fmt.Errorf("partition %s is not ready: the master does not tell that yet", p.id.Partition)
	}
	return nil
}

func (p *partition) releaseEntity() any {
	if p.release == nil {
		return nil
	}
	return p.c.releaseEntity(p.release)
}

// item is a method that looks up one parameter.
func (p *partition) item(dict func() slap.Dict) function {
	return func(a arguments) (any, error) {
		var key string
		if err := a.unpack("key", &key); err != nil {
			return nil, err
		}
		if err := p.fetch(dict() == nil); err != nil {
			return nil, err
		}
		value, found := dict()[key]
		if !found {
			return nil, fmt.Errorf("%s not found", key)
		}
		return value, nil
	}
}

// reportError never fails: what keeps the report from the master is logged
// (SLAP-46).
func (p *partition) reportError(ctx context.Context, id slap.PartitionID, text string) error {
	if err := p.c.client.InstanceError(ctx, id, text); err != nil {
		p.c.e.log.Error(err.Error())
	}
	return ctx.Err()
}

// tell is a method that sends the master a text about the instance.
func (p *partition) tell(send func(context.Context, slap.PartitionID, string) error) function {
	return func(a arguments) (any, error) {
		var text string
		if err := a.unpack("message", &text); err != nil {
			return nil, err
		}
		return nil, send(p.c.ctx, p.id, text)
	}
}

func (p *partition) setConnection(a arguments) (any, error) {
	var parameters starlark.Value
	var shared string
	if err := a.unpack("connection_dict", &parameters, "slave_reference?", &shared); err != nil {
		return nil, err
	}
	dict, err := dictionary("connection_dict", parameters)
	if err != nil {
		return nil, err
	}
	return nil, p.c.client.SetConnection(p.c.ctx, p.id, dict, shared)
}

func (p *partition) rename(a arguments) (any, error) {
	var name, shared string
	if err := a.unpack("new_name", &name, "slave_reference?", &shared); err != nil {
		return nil, err
	}
	return nil, p.c.client.Rename(p.c.ctx, p.id, name, shared)
}
