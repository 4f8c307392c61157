// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"errors"
	"fmt"
)

// object reads an entity: it checks the class first, then the arguments set the
// identity, and the attributes override it (SLAP-22).
func (d *decoder) object() (any, error) {
	module, _ := d.get("module")
	classAttribute, _ := d.get("class")
	class := string(classAttribute)
	entity, err := newEntity(string(module), class)
	if err != nil {
		return nil, err
	}
	c := d.register("object")
	c.value = entity
	before := d.values
	parts, err := d.children()
	if err != nil {
		return nil, err
	}
	if len(parts) != 2 {
		return nil, fmt.Errorf("%s with %d parts where arguments and attributes belong", class, len(parts))
	}
	state, ok := parts[1].(Dict)
	if !ok {
		return nil, fmt.Errorf("%s with %s where its attributes belong", class, kindName(parts[1]))
	}
	switch parts[0].(type) {
	case Tuple, []any, *List:
	default:
		return nil, fmt.Errorf("%s with %s where its arguments belong", class, kindName(parts[0]))
	}
	if err := construct(entity, items(parts[0])); err != nil {
		return nil, fmt.Errorf("in constructor for %s: %w", class, err)
	}
	setState(entity, state)
	c.open, c.size = false, d.values-before+1
	return entity, nil
}

func newEntity(module, class string) (any, error) {
	if module == "slapos.slap.slap" {
		switch class {
		case "Computer":
			return &Computer{}, nil
		case "ComputerPartition":
			return &Partition{Partial: true}, nil
		case "SoftwareRelease":
			return &SoftwareRelease{}, nil
		case "SoftwareInstance":
			return &Instance{}, nil
		}
	}
	return nil, fmt.Errorf("Refusing to unmarshall %.100s.%.100s", module, class) //nolint:staticcheck,revive // SLAP-17, the original's text
}

// construct sets the arguments of an entity's constructor. Texts go to the
// fields; other values are kept as attributes.
func construct(entity any, arguments []any) error {
	at := func(i int) any {
		if i < len(arguments) {
			return arguments[i]
		}
		return nil
	}
	most := 0
	switch e := entity.(type) {
	case *Computer:
		if most = 1; len(arguments) < 1 {
			return errors.New("computer_id is missing")
		}
		e.set(Dict{"_computer_id": at(0)})
	case *SoftwareRelease:
		most = 2
		e.set(Dict{"_software_release": at(0), "_computer_guid": at(1)})
	case *Partition:
		most = 3
		if at(2) != nil && (at(0) != nil || at(1) != nil) {
			return errors.New("request_dict conflicts with computer_id and partition_id")
		}
		if at(2) == nil && (at(0) == nil || at(1) == nil) {
			return errors.New("computer_id and partition_id or request_dict are required")
		}
		e.set(Dict{"_computer_id": at(0), "_partition_id": at(1), "_request_dict": at(2)})
	}
	if len(arguments) > most {
		return fmt.Errorf("%d arguments where %d belong", len(arguments), most)
	}
	return nil
}

func setState(entity any, state Dict) {
	switch e := entity.(type) {
	case *Computer:
		e.set(state)
	case *SoftwareRelease:
		e.set(state)
	case *Partition:
		e.set(state)
	case *Instance:
		e.set(state)
	}
}

// assign puts a value into a field if it has the field's type.
func assign[T any](field *T, v any) bool {
	t, ok := v.(T)
	if ok {
		*field = t
	}
	return ok
}

func assignState(field *State, v any) bool {
	s, ok := v.(string)
	if ok && s != "" {
		*field = State(s)
	}
	return ok && s != ""
}

// assignText is assign for a text that is absent if empty: it keeps an explicit
// empty text as an extra attribute.
func assignText(field *string, v any) bool {
	s, ok := v.(string)
	if ok && s != "" {
		*field = s
	}
	return ok && s != ""
}

// keep records a value without a field, and forgets one that got a field.
func keep(extra *Dict, key string, v any, fits bool) {
	if fits {
		if delete(*extra, key); len(*extra) == 0 {
			*extra = nil
		}
		return
	}
	if *extra == nil {
		*extra = Dict{}
	}
	(*extra)[key] = v
}

func (c *Computer) set(state Dict) {
	for key, v := range state {
		fits := false
		switch key {
		case "_computer_id":
			fits = assign(&c.Reference, v)
		case "_computer_partition_list":
			fits = assignEntities(&c.Partitions, v)
		case "_software_release_list":
			fits = assignEntities(&c.SoftwareReleases, v)
		}
		keep(&c.Extra, key, v, fits)
	}
}

// assignEntities assigns a list if all its values are entities of one class.
func assignEntities[T any](field *[]*T, v any) bool {
	list, ok := v.([]any)
	if !ok {
		return false
	}
	entities := make([]*T, len(list))
	for i, item := range list {
		if entities[i], ok = item.(*T); !ok {
			return false
		}
	}
	*field = entities
	return true
}

func (r *SoftwareRelease) set(state Dict) {
	for key, v := range state {
		fits := false
		switch key {
		case "_software_release":
			fits = assign(&r.URL, v)
		case "_computer_guid":
			fits = assign(&r.Computer, v)
		case "_requested_state":
			fits = assignState(&r.RequestedState, v)
		case "_software_instance_list":
			list, isList := v.([]any)
			fits = isList && len(list) == 0
		}
		keep(&r.Extra, key, v, fits)
	}
}

func (p *Partition) set(state Dict) {
	for key, v := range state {
		fits := false
		switch key {
		case "_computer_id":
			fits = assign(&p.Computer, v)
		case "_partition_id":
			fits = assign(&p.Reference, v)
		case "_request_dict":
			fits = v == nil
		case "_instance_guid":
			fits = assignText(&p.InstanceGUID, v)
		case "_requested_state":
			fits = assignState(&p.RequestedState, v)
		case "_need_modification":
			n, isInt := v.(int)
			fits = isInt && (n == 0 || n == 1)
			p.NeedModification = v != nil && v != false && v != 0
			p.Partial = false
		case "_software_release_document":
			p.Partial = p.Partial && v != nil
			fits = v == nil || assign(&p.SoftwareRelease, v)
		case "_parameter_dict":
			fits = assign(&p.Parameters, v)
		case "_connection_dict":
			fits = assign(&p.ConnectionParameters, v)
		case "_access_status":
			fits = assign(&p.AccessStatus, v)
			p.HasAccessStatus = fits
		}
		keep(&p.Extra, key, v, fits)
	}
}

func (i *Instance) set(state Dict) {
	for key, v := range state {
		fits := false
		switch key {
		case "_connection_dict":
			fits = assign(&i.ConnectionParameters, v)
		case "_instance_guid":
			fits = assignText(&i.GUID, v)
		case "_parameter_dict":
			fits = assign(&i.Parameters, v)
		case "_requested_state":
			fits = assignState(&i.RequestedState, v)
		case "connection_xml":
			fits = v == nil || assignText(&i.ConnectionXML, v)
			i.HasConnectionXML = fits
		case "ip_list":
			fits = i.setIPList(v)
		case "slap_computer_id":
			fits = assignText(&i.Computer, v)
		case "slap_computer_partition_id":
			fits = assignText(&i.Partition, v)
		case "slap_server_url":
			fits = assignText(&i.ServerURL, v)
		case "slap_software_release_url":
			fits = assignText(&i.SoftwareReleaseURL, v)
		case "slap_software_type":
			fits = assignText(&i.SoftwareType, v)
		}
		keep(&i.Extra, key, v, fits)
	}
}

// setIPList assigns a list of pairs of text.
func (i *Instance) setIPList(v any) bool {
	list, ok := v.([]any)
	if !ok {
		return false
	}
	pairs := addresses(v)
	if len(pairs) != len(list) {
		return false
	}
	for _, item := range list {
		pair, isTuple := item.(Tuple)
		if !isTuple || len(pair) != 2 {
			return false
		}
		if _, isText := pair[0].(string); !isText {
			return false
		}
	}
	i.IPList = append([]Address{}, pairs...)
	return true
}
