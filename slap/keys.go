// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import "errors"

// The classes of the wire, each with the keys of its attributes in the order in
// which they are written, which is sorted. A further key is one more line.
var (
	computerClass = class[Computer]{
		name: "Computer", arguments: []string{"_computer_id"},
		check: func(arguments []any) error {
			if len(arguments) < 1 {
				return errors.New("computer_id is missing")
			}
			return nil
		},
		extra: func(c *Computer) *Dict { return &c.Extra },
		keys: []key[Computer]{
			textKey("_computer_id", func(c *Computer) *string { return &c.Reference }),
			entitiesKey("_computer_partition_list", func(c *Computer) *[]*Partition { return &c.Partitions }),
			entitiesKey("_software_release_list", func(c *Computer) *[]*SoftwareRelease { return &c.SoftwareReleases }),
		},
	}
	releaseClass = class[SoftwareRelease]{
		name: "SoftwareRelease", arguments: []string{"_software_release", "_computer_guid"},
		extra: func(r *SoftwareRelease) *Dict { return &r.Extra },
		keys: []key[SoftwareRelease]{
			textKey("_computer_guid", func(r *SoftwareRelease) *string { return &r.Computer }),
			optionalKey("_requested_state", func(r *SoftwareRelease) *State { return &r.RequestedState }),
			constantKey[SoftwareRelease]("_software_instance_list", []any{}, isEmptyList), // SLAP-31
			textKey("_software_release", func(r *SoftwareRelease) *string { return &r.URL }),
		},
	}
	partitionClass = class[Partition]{
		name: "ComputerPartition", arguments: []string{"_computer_id", "_partition_id", "_request_dict"},
		check: func(arguments []any) error {
			computer, partition, request := argument(arguments, 0), argument(arguments, 1), argument(arguments, 2)
			if request != nil && (computer != nil || partition != nil) {
				return errors.New("request_dict conflicts with computer_id and partition_id")
			}
			if request == nil && (computer == nil || partition == nil) {
				return errors.New("computer_id and partition_id or request_dict are required")
			}
			return nil
		},
		blank: Partition{Partial: true},
		extra: func(p *Partition) *Dict { return &p.Extra },
		keys: []key[Partition]{
			knownKey("_access_status", func(p *Partition) (*string, *bool) { return &p.AccessStatus, &p.HasAccessStatus }),
			textKey("_computer_id", func(p *Partition) *string { return &p.Computer }),
			dictKey("_connection_dict", func(p *Partition) *Dict { return &p.ConnectionParameters }),
			optionalKey("_instance_guid", func(p *Partition) *string { return &p.InstanceGUID }),
			newKey[Partition]("_need_modification", rareForm[Partition]{
				fits:    readModification,
				there:   func(p *Partition) bool { return !p.Partial },
				content: modification,
			}),
			dictKey("_parameter_dict", func(p *Partition) *Dict { return &p.Parameters }),
			textKey("_partition_id", func(p *Partition) *string { return &p.Reference }),
			constantKey[Partition]("_request_dict", nil, isNone),
			optionalKey("_requested_state", func(p *Partition) *State { return &p.RequestedState }),
			newKey[Partition]("_software_release_document", rareForm[Partition]{
				fits:    readRelease,
				there:   func(p *Partition) bool { return !p.Partial || p.SoftwareRelease != nil },
				content: func(p *Partition) any { return p.SoftwareRelease },
			}),
		},
	}
	instanceClass = class[Instance]{
		name:  "SoftwareInstance",
		extra: func(i *Instance) *Dict { return &i.Extra },
		keys: []key[Instance]{
			dictKey("_connection_dict", func(i *Instance) *Dict { return &i.ConnectionParameters }),
			optionalKey("_instance_guid", func(i *Instance) *string { return &i.GUID }),
			dictKey("_parameter_dict", func(i *Instance) *Dict { return &i.Parameters }),
			optionalKey("_requested_state", func(i *Instance) *State { return &i.RequestedState }),
			newKey[Instance]("connection_xml", rareForm[Instance]{
				fits:    readConnectionXML,
				there:   func(i *Instance) bool { return i.HasConnectionXML },
				content: func(i *Instance) any { return noneIfEmpty(i.ConnectionXML) },
			}),
			newKey[Instance]("ip_list", rareForm[Instance]{
				fits:    readIPList,
				there:   func(i *Instance) bool { return i.IPList != nil },
				content: func(i *Instance) any { return AddressList(i.IPList) },
			}),
			optionalKey("slap_computer_id", func(i *Instance) *string { return &i.Computer }),
			optionalKey("slap_computer_partition_id", func(i *Instance) *string { return &i.Partition }),
			optionalKey("slap_server_url", func(i *Instance) *string { return &i.ServerURL }),
			optionalKey("slap_software_release_url", func(i *Instance) *string { return &i.SoftwareReleaseURL }),
			optionalKey("slap_software_type", func(i *Instance) *string { return &i.SoftwareType }),
		},
	}
)

// A class is a kind of entity.
type class[E any] struct {
	name      string
	arguments []string // of the constructor: the keys that have them
	check     func(arguments []any) error
	blank     E // what decoding starts from
	extra     func(*E) *Dict
	keys      []key[E] // sorted by name
}

// A key is an attribute of a class.
type key[E any] struct {
	name    string
	element string // the name as it is written
	form    form[E]
}

func newKey[E any](name string, f form[E]) key[E] {
	return key[E]{name: name, element: "<string>" + name + "</string>", form: f}
}

// A form is how a key's value is read and written.
type form[E any] interface {
	// read puts a value into its field. It reports whether the field has all of
	// the value: what it doesn't have is kept as an extra attribute.
	read(*E, any) (fits bool)
	// present reports whether there is anything to write.
	present(*E) bool
	// value is what to write.
	value(*E) any
	// write writes the value, without a copy of it.
	write(*encoder, *E) error
}

// find returns a key, nil if the class has none of that name. Classes have few
// keys: comparing lengths along the list is faster than any index.
func (c *class[E]) find(name string) *key[E] {
	for n := range c.keys {
		if c.keys[n].name == name {
			return &c.keys[n]
		}
	}
	return nil
}

// argument returns an argument of a constructor, nil if there are fewer.
func argument(arguments []any, n int) any {
	if n < len(arguments) {
		return arguments[n]
	}
	return nil
}
