// SPDX-License-Identifier: GPL-3.0-or-later

package console

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
	s            *Session
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

func newPartition(s *Session, instance *slap.Instance, unready error) *partition {
	p := &partition{
		s: s, id: instance.ID(), guid: instance.GUID, state: instance.RequestedState,
		parameters: instance.Parameters, connection: instance.ConnectionParameters, unready: unready,
	}
	if p.connection == nil && instance.HasConnectionXML {
		p.connection, p.unready = instance.Connection()
	}
	return p
}

// knownPartition is a partition that the master has sent completely.
func knownPartition(s *Session, sent *slap.Partition) *partition {
	p := &partition{s: s, id: sent.ID()}
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

// ensure asks the master, once, for what is not known yet.
func (p *partition) ensure(known func() bool) error {
	if p.unready != nil {
		return p.unready
	}
	if p.fetched || known() {
		return nil
	}
	sent, err := p.s.options.Master.Partition(p.s.ctx, p.id)
	if err == nil {
		p.fill(sent)
	}
	return err
}

func (s *Session) registerPartition(a arguments) (any, error) {
	p := &partition{s: s}
	if err := a.unpack("computer_guid", &p.id.Computer, "partition_id", &p.id.Partition); err != nil {
		return nil, err
	}
	if p.id.Computer == "" || p.id.Partition == "" {
		return nil, fmt.Errorf("a partition needs the references of its computer and of itself, not %q and %q", p.id.Computer, p.id.Partition)
	}
	return p.entity(), nil
}

func (p *partition) entity() *entity {
	return &entity{name: "ComputerPartition", attributes: methods(map[string]function{
		"getId":                      p.known(func() any { return p.id.Partition }),
		"getInstanceGuid":            p.text(func() string { return p.guid }),
		"getState":                   p.text(func() string { return string(p.state) }),
		"getInstanceParameterDict":   p.all(func() slap.Dict { return p.parameters }),
		"getConnectionParameterDict": p.all(func() slap.Dict { return p.connection }),
		"getSoftwareRelease":         noArguments(p.softwareRelease),
		"getType":                    noArguments(p.softwareType),
		"getAccessStatus":            p.known(func() any { return p.accessStatus }),
		"getStatus":                  p.known(func() any { return p.accessStatus }),
		"getInstanceParameter":       p.item(func() slap.Dict { return p.parameters }),
		"getConnectionParameter":     p.item(func() slap.Dict { return p.connection }),
		"setConnectionDict":          p.setConnection,
		"bang":                       p.tell(p.s.options.Master.InstanceBang),
		"error":                      p.tell(p.reportError),
		"rename":                     p.rename,
	})}
}

// known is a method that never asks the master.
func (p *partition) known(get func() any) function {
	return noArguments(func() (any, error) { return get(), p.unready })
}

// text is a method that returns what only an instance has.
func (p *partition) text(get func() string) function {
	return noArguments(func() (any, error) {
		if err := p.ensure(func() bool { return get() != "" }); err != nil {
			return nil, err
		}
		if get() == "" {
			return nil, p.unallocated()
		}
		return get(), nil
	})
}

// all is a method that returns all parameters.
func (p *partition) all(get func() slap.Dict) function {
	return noArguments(func() (any, error) {
		err := p.ensure(func() bool { return get() != nil })
		return get(), err
	})
}

// item is a method that looks up one parameter.
func (p *partition) item(get func() slap.Dict) function {
	return func(a arguments) (any, error) {
		var key string
		if err := a.unpack("key", &key); err != nil {
			return nil, err
		}
		if err := p.ensure(func() bool { return get() != nil }); err != nil {
			return nil, err
		}
		value, found := get()[key]
		if !found {
			return nil, fmt.Errorf("%s not found", key)
		}
		return value, nil
	}
}

func (p *partition) softwareRelease() (any, error) {
	if err := p.ensure(func() bool { return p.release != nil }); err != nil {
		return nil, err
	}
	if p.release == nil {
		return nil, p.unallocated()
	}
	return p.s.releaseEntity(p.release), nil
}

func (p *partition) softwareType() (any, error) {
	if err := p.ensure(func() bool { return p.parameters != nil }); err != nil {
		return nil, err
	}
	kind := p.parameters["slap_software_type"]
	if kind == nil || kind == "" {
		return nil, p.unallocated()
	}
	return kind, nil
}

// unallocated is the error for what only an instance has.
func (p *partition) unallocated() error {
	return fmt.Errorf("partition %s is not ready: the master doesn't know that yet", p.id.Partition)
}

// reportError never fails: it logs what kept the report from the master
// (SLAP-46).
func (p *partition) reportError(ctx context.Context, id slap.PartitionID, text string) error {
	if err := p.s.options.Master.InstanceError(ctx, id, text); err != nil {
		p.s.options.Logger.Error(err.Error())
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
		return nil, send(p.s.ctx, p.id, text)
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
	return nil, p.s.options.Master.SetConnection(p.s.ctx, p.id, dict, shared)
}

func (p *partition) rename(a arguments) (any, error) {
	var name, shared string
	if err := a.unpack("new_name", &name, "slave_reference?", &shared); err != nil {
		return nil, err
	}
	return nil, p.s.options.Master.Rename(p.s.ctx, p.id, name, shared)
}
