// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"fmt"

	"slapos/proxy/store"
	"slapos/slap"
)

// parseDescription reads what a formatted computer says of itself (SLAP-59).
// It reads only what the store keeps, and requires all of that.
func parseDescription(xml []byte) (store.ComputerDescription, error) {
	value, err := slap.Unmarshal(xml)
	if err != nil {
		return store.ComputerDescription{}, err
	}
	r := &descriptionReader{}
	computer := r.dict(value, "the computer")
	d := store.ComputerDescription{
		Reference: r.text(computer, "reference"),
		Address:   r.optional(computer, "address"),
		Netmask:   r.optional(computer, "netmask"),
	}
	for _, item := range r.list(computer, "partition_list") {
		d.Partitions = append(d.Partitions, r.partition(r.dict(item, "a partition")))
	}
	return d, r.err
}

// descriptionReader takes values out of dictionaries until the first that is
// missing or of another kind.
type descriptionReader struct{ err error }

func (r *descriptionReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func (r *descriptionReader) partition(partition slap.Dict) store.PartitionDescription {
	p := store.PartitionDescription{Reference: r.text(partition, "reference")}
	for _, item := range r.list(partition, "address_list") {
		name := p.Reference
		tap := r.dict(r.value(partition, "tap"), "tap")
		if given := r.optional(tap, "name"); given != nil && *given != "" {
			name = *given
		}
		address := r.dict(item, "an address")
		p.Addresses = append(p.Addresses, store.NetworkAddress{
			Interface: name, Address: r.text(address, "addr"), Netmask: r.text(address, "netmask")})
	}
	return p
}

func (r *descriptionReader) value(dict slap.Dict, key string) any {
	value, ok := dict[key]
	if !ok {
		r.fail("%s is missing", key)
	}
	return value
}

func (r *descriptionReader) dict(value any, what string) slap.Dict {
	dict, ok := value.(slap.Dict)
	if !ok {
		r.fail("%s is no dictionary", what)
	}
	return dict
}

func (r *descriptionReader) list(dict slap.Dict, key string) []any {
	switch list := r.value(dict, key).(type) {
	case []any:
		return list
	case slap.Tuple:
		return list
	}
	r.fail("%s is not a list", key)
	return nil
}

func (r *descriptionReader) text(dict slap.Dict, key string) string {
	text := r.optional(dict, key)
	if text == nil {
		r.fail("%s is nil", key)
		return ""
	}
	return *text
}

// optional is nil for nil, and the text of any other single value.
func (r *descriptionReader) optional(dict slap.Dict, key string) *string {
	value := r.value(dict, key)
	switch value.(type) {
	case nil:
		return nil
	case slap.Dict, []any, slap.Tuple:
		r.fail("%s is not a single value", key)
		return nil
	}
	text := slap.PythonString(value)
	return &text
}
