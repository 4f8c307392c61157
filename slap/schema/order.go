// SPDX-License-Identifier: GPL-3.0-or-later

package schema

import (
	"cmp"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"slapos/slap/pyjson"
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
func (s *Schema) keys(at place) (keys []string) {
	if keys, known := s.orders[at]; known {
		return keys
	}
	defer func() { s.orders[at] = keys }()
	data := s.texts[at.document]
	for _, step := range strings.Split(at.pointer, "/")[1:] {
		var list []json.RawMessage
		var members map[string]json.RawMessage
		if json.Unmarshal(data, &members) == nil {
			data = members[pointerUnescaper.Replace(step)]
		} else if i, ok := index(step); ok && json.Unmarshal(data, &list) == nil && i < len(list) {
			data = list[i]
		} else {
			return nil
		}
	}
	var part struct{ Properties json.RawMessage }
	if json.Unmarshal(data, &part) != nil {
		return nil
	}
	return keysOf(part.Properties)
}

func index(step string) (i int, ok bool) {
	err := json.Unmarshal([]byte(step), &i)
	return i, err == nil && i >= 0
}

// keysOf lists the keys of an object in the order of its text.
func keysOf(data []byte) (keys []string) {
	members, _ := pyjson.Members(data) // as far as they can be read
	for _, member := range members {
		keys = append(keys, member.Key)
	}
	return keys
}
