// SPDX-License-Identifier: GPL-3.0-or-later

package pytext

import (
	"fmt"

	"slapos/slap"
	"slapos/slap/pyjson"
)

// An Object is a JSON object with its keys in order.
type Object = pyjson.Object

// NewObject makes one without keys.
func NewObject() *Object { return &Object{} }

// EncodeJSON writes what json.dumps(value, indent=2) writes. Dictionaries of
// the slap protocol have their keys sorted.
func EncodeJSON(value any) string { return encode(pyjson.Indented("  "), value) }

// EncodeJSONLine writes what json.dumps(value) writes.
func EncodeJSONLine(value any) string { return encode(pyjson.Spaced, value) }

func encode(style pyjson.Style, value any) string {
	style.Other = slap.PythonRepr
	text, _ := style.Append(nil, value) // nothing is refused
	return string(text)
}

// Sorted gives a dictionary an order.
func Sorted(d slap.Dict) *Object {
	o := pyjson.Sorted(d)
	return &o
}

// ServiceParameters are those of an instance in the order of their names; "_" is
// decoded when it is the only one, and its keys keep their order.
func ServiceParameters(service *slap.ServiceInformation) (*Object, error) {
	parameters, err := slap.DecodeInstance([]byte(service.Text("text_content")))
	if err != nil {
		return nil, fmt.Errorf("instance parameters: %w", err)
	}
	ordered := Sorted(parameters)
	if text, ok := parameters["_"].(string); ok && len(parameters) == 1 {
		value, err := pyjson.Parse([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("instance parameter _: %w", err)
		}
		ordered.Set("_", value)
	}
	return ordered, nil
}
