// SPDX-License-Identifier: GPL-3.0-or-later

package schema

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Properties returns the names of the properties of a part of the schema in
// document order: its author chose that for readers.
func (s *Schema) Properties(part *jsonschema.Schema) []string {
	names := make([]string, 0, len(part.Properties))
	for name := range part.Properties {
		names = append(names, name)
	}
	index := map[string]int{}
	for i, name := range s.keys(s.origins[plainLocation(part.Location)].place) {
		index[name] = i
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(index[a], index[b]), cmp.Compare(a, b))
	})
	return names
}

// plainLocation is the location of a copy without the escapes of addresses.
func plainLocation(location string) string {
	address, fragment, _ := strings.Cut(location, "#")
	if pointer, err := url.PathUnescape(fragment); err == nil {
		fragment = pointer
	}
	return address + "#" + fragment
}

// Keyword returns the value of a keyword of a part of the schema, as its author
// wrote it.
func (s *Schema) Keyword(part *jsonschema.Schema, name string) any {
	return s.origins[plainLocation(part.Location)].keywords[name]
}

// keys returns the keys of "properties" at a place, in text order.
func (s *Schema) keys(at place) []string {
	orders, known := s.orders[at.document]
	if !known {
		orders = map[string][]string{}
		findOrders(json.NewDecoder(bytes.NewReader(s.texts[at.document])), "", orders) // as far as it can be read
		s.orders[at.document] = orders
	}
	return orders[at.pointer+"/properties"]
}

// findOrders notes the order of all "properties" in the next value of a
// document, by its pointer; false at the end of what can be read.
func findOrders(d *json.Decoder, pointer string, orders map[string][]string) bool {
	token, err := d.Token()
	if err != nil {
		return false
	}
	wanted := strings.HasSuffix(pointer, "/properties")
	switch token {
	case json.Delim('{'):
		for d.More() {
			key, err := d.Token()
			name, isText := key.(string)
			if err != nil || !isText {
				return false
			}
			if wanted {
				orders[pointer] = append(orders[pointer], name)
			}
			if !findOrders(d, pointer+"/"+escape(name), orders) {
				return false
			}
		}
	case json.Delim('['):
		for i := 0; d.More(); i++ {
			if !findOrders(d, pointer+"/"+strconv.Itoa(i), orders) {
				return false
			}
		}
	default:
		return true
	}
	_, err = d.Token() // the end of the object or list
	return err == nil
}
