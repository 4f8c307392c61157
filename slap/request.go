// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"fmt"
	"net/url"
)

// Request requests an instance, new or known by its Reference.
type Request struct {
	SoftwareRelease string
	// SoftwareType is sent unchanged, even if empty: set [DefaultSoftwareType]
	// if the user named none (SLAP-42).
	SoftwareType string
	Reference    string
	Shared       bool
	Parameters   Dict
	// Filter says where the instance may be placed (SLAP-53).
	Filter Dict
	// State is the wanted state; "" if it doesn't matter to the caller (SLAP-51).
	State State
	// Requester is the requesting partition; zero for a person.
	Requester PartitionID
}

// Form returns the body of requestComputerPartition, with the fields in the
// original's order (section 5 of the protocol).
func (r Request) Form() (Form, error) {
	parameters, err := marshalText(orEmpty(r.Parameters))
	if err != nil {
		return nil, fmt.Errorf("request %s: parameter %w", r.Reference, err)
	}
	filter, err := marshalText(orEmpty(r.Filter))
	if err != nil {
		return nil, fmt.Errorf("request %s: filter %w", r.Reference, err)
	}
	state, err := marshalText(noneIfEmpty(string(r.State)))
	if err != nil {
		return nil, fmt.Errorf("request %s: state %w", r.Reference, err)
	}
	shared, err := marshalText(r.Shared)
	if err != nil {
		return nil, err
	}
	if r.Requester.IsZero() {
		return Form{
			{"software_release", r.SoftwareRelease},
			{"partition_reference", r.Reference},
			{"partition_parameter_xml", parameters},
			{"filter_xml", filter},
			{"software_type", r.SoftwareType},
			{"state", state},
			{"shared_xml", shared},
		}, nil
	}
	return Form{
		{"computer_id", r.Requester.Computer},
		{"computer_partition_id", r.Requester.Partition},
		{"software_release", r.SoftwareRelease},
		{"software_type", r.SoftwareType},
		{"partition_reference", r.Reference},
		{"shared_xml", shared},
		{"partition_parameter_xml", parameters},
		{"filter_xml", filter},
		{"state", state},
	}, nil
}

// ParseRequest reads the form of requestComputerPartition, for a server. Absent
// or empty fields keep their zero value; parameters and filter are never nil.
// It fails if a marshalled field is malformed or has another type.
func ParseRequest(form url.Values) (Request, error) {
	r := Request{
		SoftwareRelease: form.Get("software_release"),
		SoftwareType:    form.Get("software_type"),
		Reference:       form.Get("partition_reference"),
		Requester:       PartitionID{Computer: form.Get("computer_id"), Partition: form.Get("computer_partition_id")},
	}
	var state string
	var err error
	if r.Shared, err = field[bool](form, "shared_xml"); err != nil {
		return r, err
	}
	if r.Parameters, err = field[Dict](form, "partition_parameter_xml"); err != nil {
		return r, err
	}
	if r.Filter, err = field[Dict](form, "filter_xml"); err != nil {
		return r, err
	}
	if state, err = field[string](form, "state"); err != nil {
		return r, err
	}
	r.State = State(state)
	r.Parameters, r.Filter = orEmpty(r.Parameters), orEmpty(r.Filter)
	return r, nil
}

// field decodes a marshalled form field; nil and an empty field become the zero
// value.
func field[T any](form url.Values, name string) (T, error) {
	var zero T
	text := form.Get(name)
	if text == "" {
		return zero, nil
	}
	v, err := Unmarshal([]byte(text))
	if err != nil {
		return zero, fmt.Errorf("field %s: %w", name, err)
	}
	if v == nil {
		return zero, nil
	}
	t, ok := v.(T)
	if !ok {
		return zero, fmt.Errorf("field %s: %s where %s belongs", name, kindName(v), kindName(any(zero)))
	}
	return t, nil
}

func orEmpty(d Dict) Dict {
	if d == nil {
		return Dict{}
	}
	return d
}

func marshalText(v any) (string, error) {
	b, err := Marshal(v)
	return string(b), err
}
