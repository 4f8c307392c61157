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
	place := map[string]int{}
	for i, name := range s.keys(part.Location) {
		place[name] = i
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(place[a], place[b]), cmp.Compare(a, b))
	})
	return names
}

// keys returns the keys of "properties" at a location, in text order.
func (s *Schema) keys(location string) []string {
	address, fragment, _ := strings.Cut(location, "#")
	data, found := s.documents[address]
	if path, isFile := strings.CutPrefix(address, "file://"); !found && isFile {
		if plain, err := url.PathUnescape(path); err == nil {
			data = s.documents[plain]
		}
	}
	pointer, err := url.PathUnescape(fragment)
	if err != nil {
		return nil
	}
	steps := strings.Split(pointer, "/")[1:]
	if pointer == "" {
		steps = nil
	}
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	for _, step := range steps {
		var list []json.RawMessage
		var members map[string]json.RawMessage
		if json.Unmarshal(data, &members) == nil {
			data = members[unescape.Replace(step)]
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
