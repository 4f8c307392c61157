// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"slices"
	"strconv"

	"slapos/slap"
)

// member is a key of an object and its value.
type member struct {
	key   string
	value any
}

// object is a JSON object whose keys keep their order.
type object []member

// jsonStyle is how the original's two encoders write: ASCII only, and with
// blanks after separators or, for HATEOAS, without (PROXY-10).
type jsonStyle struct{ comma, colon string }

var (
	spacedJSON  = jsonStyle{", ", ": "}
	compactJSON = jsonStyle{",", ":"}
)

// append writes a value. Keys of maps are sorted.
func (s jsonStyle) append(b []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case string:
		return appendJSONText(b, v), nil
	case *string:
		if v == nil {
			return append(b, "null"...), nil
		}
		return appendJSONText(b, *v), nil
	case int:
		return strconv.AppendInt(b, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case json.Number:
		return append(b, v...), nil
	case *big.Int, float64:
		return append(b, slap.PythonString(v)...), nil
	case *float64:
		if v == nil {
			return append(b, "null"...), nil
		}
		return append(b, slap.PythonString(*v)...), nil
	case []any:
		return appendItems(s, b, v)
	case []object:
		return appendItems(s, b, v)
	case slap.Tuple:
		return appendItems(s, b, v)
	case object:
		return s.appendObject(b, v)
	case map[string]any:
		sorted := make(object, 0, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			sorted = append(sorted, member{key, v[key]})
		}
		return s.appendObject(b, sorted)
	}
	return b, fmt.Errorf("a %T has no form in JSON", value)
}

func appendItems[T any](s jsonStyle, b []byte, items []T) ([]byte, error) {
	b = append(b, '[')
	for i, item := range items {
		if i > 0 {
			b = append(b, s.comma...)
		}
		var err error
		if b, err = s.append(b, item); err != nil {
			return b, err
		}
	}
	return append(b, ']'), nil
}

func (s jsonStyle) appendObject(b []byte, o object) ([]byte, error) {
	b = append(b, '{')
	for i, m := range o {
		if i > 0 {
			b = append(b, s.comma...)
		}
		b = append(appendJSONText(b, m.key), s.colon...)
		var err error
		if b, err = s.append(b, m.value); err != nil {
			return b, err
		}
	}
	return append(b, '}'), nil
}

func appendJSONText(b []byte, text string) []byte {
	const hex = "0123456789abcdef"
	unit := func(u rune) {
		b = append(b, '\\', 'u', hex[u>>12&15], hex[u>>8&15], hex[u>>4&15], hex[u&15])
	}
	b = append(b, '"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, '\\', 'n')
		case r == '\r':
			b = append(b, '\\', 'r')
		case r == '\t':
			b = append(b, '\\', 't')
		case r == '\b':
			b = append(b, '\\', 'b')
		case r == '\f':
			b = append(b, '\\', 'f')
		case r >= ' ' && r < 0x7F:
			b = append(b, byte(r))
		case r > 0xFFFF:
			r -= 0x10000
			unit(0xD800 + r>>10)
			unit(0xDC00 + r&0x3FF)
		default:
			unit(r)
		}
	}
	return append(b, '"')
}

// readJSON reads one value and nothing after it. Numbers keep their text.
func readJSON(r io.Reader) (value any, err error) {
	d := json.NewDecoder(r)
	d.UseNumber()
	if err := d.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("invalid character after top-level value")
	}
	return value, nil
}

// plain gives a value the form that schemas are checked against.
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
			m[member.key] = plain(member.value)
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
