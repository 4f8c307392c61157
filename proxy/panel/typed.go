// SPDX-License-Identifier: GPL-3.0-or-later

package panel

import (
	"encoding/json"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// typed gives parameters that were stored key by key, as text, the types that
// their schema has. What isn't text of that type stays as it is.
func typed(s *jsonschema.Schema, values map[string]any) {
	for _, part := range parts(s, nil) {
		for name, property := range part.Properties {
			text, ok := values[name].(string)
			if !ok {
				continue
			}
			types := map[string]bool{}
			for _, of := range parts(property, nil) {
				if of.Types != nil {
					for _, name := range of.Types.ToStrings() {
						types[name] = true
					}
				}
			}
			if value, ok := typedValue(types, text); ok {
				values[name] = value
			}
		}
	}
}

func typedValue(types map[string]bool, text string) (any, bool) {
	if types["string"] {
		return nil, false
	}
	switch text { // as Python writes them
	case "True":
		text = "true"
	case "False":
		text = "false"
	}
	value, err := readJSON(text)
	if err != nil {
		return nil, false
	}
	switch value.(type) {
	case bool:
		return value, types["boolean"]
	case json.Number:
		return value, types["integer"] || types["number"]
	}
	return nil, false
}
