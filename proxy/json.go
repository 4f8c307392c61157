// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"io"
	"math/big"

	"slapos/slap"
	"slapos/slap/pyjson"
)

// object is a JSON object whose keys keep their order.
type object = pyjson.Object

// readJSON reads one value, see [pyjson.Read].
func readJSON(r io.Reader) (value any, err error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return pyjson.Read(text)
}

// plain converts a value to the types that a schema can validate.
func plain(value any) any {
	switch v := value.(type) {
	case *string:
		if v == nil {
			return nil
		}
		return *v
	case object:
		m := make(map[string]any, len(v))
		for _, member := range v {
			m[member.Key] = plain(member.Value)
		}
		return m
	case []object:
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = plain(item)
		}
		return list
	case *big.Int, slap.Tuple, slap.Set:
		return slap.PythonString(v)
	}
	return value
}
