// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"maps"
	"slices"
)

func isNilEntity(v any) bool {
	switch v := v.(type) {
	case *Computer:
		return v == nil
	case *Partition:
		return v == nil
	case *SoftwareRelease:
		return v == nil
	case *Instance:
		return v == nil
	}
	return false
}

func (e *encoder) entity(v any) error {
	switch v := v.(type) {
	case *Computer:
		return e.computer(v)
	case *Partition:
		return e.partition(v)
	case *SoftwareRelease:
		return e.softwareRelease(v)
	case *Instance:
		return e.instance(v)
	}
	return nil
}

// object opens an entity of the given class. [encoder.attributes] comes next.
func (e *encoder) object(class string) {
	e.begin("object")
	e.raw(` module="slapos.slap.slap" class="`)
	e.raw(class)
	e.raw(`">`)
}

// attributes writes the state of an entity: the known attributes, in sorted
// order, merged with extra.
type attributes struct {
	*encoder
	extra Dict
	keys  []string // of extra, sorted, not yet written
	err   error
}

// argument is an argument of an entity's constructor: the attribute that has
// it, and its text unless extra has another value.
type argument struct {
	attribute string
	text      string
	none      bool // nil instead of text
}

// attributes writes the constructor's arguments and opens the state.
func (e *encoder) attributes(extra Dict, arguments ...argument) (attributes, error) {
	a := attributes{encoder: e, extra: extra}
	if len(extra) > 0 {
		a.keys = slices.Sorted(maps.Keys(extra))
	}
	if len(arguments) == 0 {
		e.raw("<tuple/>")
	} else {
		e.raw("<tuple>")
		for _, arg := range arguments {
			if err := e.argument(extra, arg); err != nil {
				return a, underKey(arg.attribute, err)
			}
		}
		e.raw("</tuple>")
	}
	e.next++
	e.begin("dictionary")
	e.out = append(e.out, '>')
	return a, nil
}

func (e *encoder) argument(extra Dict, arg argument) error {
	if v, ok := extra[arg.attribute]; ok {
		return e.value(v)
	}
	if arg.none {
		return e.value(nil)
	}
	return e.text(arg.text)
}

// begins writes the extra attributes that come before name, then name itself.
// It returns false if extra has a value for name, which it has then written.
func (a *attributes) begins(name string) bool {
	for len(a.keys) > 0 && a.keys[0] <= name {
		taken := a.keys[0] == name
		a.writeExtra()
		if taken {
			return false
		}
	}
	if a.err != nil {
		return false
	}
	a.raw("<string>")
	a.raw(name)
	a.raw("</string>")
	return true
}

func (a *attributes) writeExtra() {
	key := a.keys[0]
	a.keys = a.keys[1:]
	if a.err != nil {
		return
	}
	if a.err = a.encoder.text(key); a.err != nil {
		return
	}
	if err := a.encoder.value(a.extra[key]); err != nil {
		a.err = underKey(key, err)
	}
}

func (a *attributes) text(name, value string) {
	if a.begins(name) {
		a.fail(name, a.encoder.text(value))
	}
}

// optional writes a text attribute that is left out when empty.
func (a *attributes) optional(name, value string) {
	if value != "" {
		a.text(name, value)
	}
}

func (a *attributes) value(name string, value any) {
	if a.begins(name) {
		a.fail(name, a.encoder.value(value))
	}
}

// dict writes a dictionary that is left out when nil.
func (a *attributes) dict(name string, value Dict) {
	if value != nil {
		a.value(name, value)
	}
}

func (a *attributes) fail(name string, err error) {
	if a.err == nil && err != nil {
		a.err = underKey(name, err)
	}
}

// close writes the rest of extra and ends the entity.
func (a *attributes) close() error {
	for len(a.keys) > 0 {
		a.writeExtra()
	}
	a.raw("</dictionary></object>")
	return a.err
}

func (e *encoder) computer(c *Computer) error {
	e.object("Computer")
	a, err := e.attributes(c.Extra, argument{attribute: "_computer_id", text: c.Reference})
	if err != nil {
		return err
	}
	a.text("_computer_id", c.Reference)
	if c.Partitions != nil && a.begins("_computer_partition_list") {
		a.fail("_computer_partition_list", encodeEntities(e, c.Partitions))
	}
	if c.SoftwareReleases != nil && a.begins("_software_release_list") {
		a.fail("_software_release_list", encodeEntities(e, c.SoftwareReleases))
	}
	return a.close()
}

func encodeEntities[T any](e *encoder, list []*T) error {
	e.next++
	e.begin("list")
	if len(list) == 0 {
		e.raw("/>")
		return nil
	}
	e.out = append(e.out, '>')
	for _, entity := range list {
		if err := e.value(entity); err != nil {
			return err
		}
	}
	e.end("list")
	return nil
}

func (e *encoder) softwareRelease(r *SoftwareRelease) error {
	e.object("SoftwareRelease")
	a, err := e.attributes(r.Extra, argument{attribute: "_software_release", text: r.URL},
		argument{attribute: "_computer_guid", text: r.Computer})
	if err != nil {
		return err
	}
	a.text("_computer_guid", r.Computer)
	a.optional("_requested_state", string(r.RequestedState))
	if a.begins("_software_instance_list") { // SLAP-31: always empty
		e.next++
		e.begin("list")
		e.raw("/>")
	}
	a.text("_software_release", r.URL)
	return a.close()
}

func (e *encoder) partition(p *Partition) error {
	e.object("ComputerPartition")
	a, err := e.attributes(p.Extra, argument{attribute: "_computer_id", text: p.Computer},
		argument{attribute: "_partition_id", text: p.Reference}, argument{attribute: "_request_dict", none: true})
	if err != nil {
		return err
	}
	if p.HasAccessStatus {
		a.text("_access_status", p.AccessStatus)
	}
	a.text("_computer_id", p.Computer)
	a.dict("_connection_dict", p.ConnectionParameters)
	a.optional("_instance_guid", p.InstanceGUID)
	if !p.Partial && a.begins("_need_modification") {
		if p.NeedModification {
			e.integer(1)
		} else {
			e.integer(0)
		}
	}
	a.dict("_parameter_dict", p.Parameters)
	a.text("_partition_id", p.Reference)
	a.value("_request_dict", nil)
	a.optional("_requested_state", string(p.RequestedState))
	if !p.Partial || p.SoftwareRelease != nil {
		a.value("_software_release_document", p.SoftwareRelease)
	}
	return a.close()
}

func (e *encoder) instance(i *Instance) error {
	e.object("SoftwareInstance")
	a, err := e.attributes(i.Extra)
	if err != nil {
		return err
	}
	a.dict("_connection_dict", i.ConnectionParameters)
	a.optional("_instance_guid", i.GUID)
	a.dict("_parameter_dict", i.Parameters)
	a.optional("_requested_state", string(i.RequestedState))
	if i.HasConnectionXML {
		a.value("connection_xml", noneIfEmpty(i.ConnectionXML))
	}
	if i.IPList != nil {
		a.value("ip_list", AddressList(i.IPList))
	}
	a.optional("slap_computer_id", i.Computer)
	a.optional("slap_computer_partition_id", i.Partition)
	a.optional("slap_server_url", i.ServerURL)
	a.optional("slap_software_release_url", i.SoftwareReleaseURL)
	a.optional("slap_software_type", i.SoftwareType)
	return a.close()
}
