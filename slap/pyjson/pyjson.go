// SPDX-License-Identifier: GPL-3.0-or-later

// Package pyjson writes JSON as Python's json.dumps does, byte for byte: ASCII
// only, with keys in their given order, or sorted for maps. The original reads
// this program's files and answers, and they are compared with its own.
//
// It reads JSON whose form nobody knows before: [Parse] what Python wrote or a
// user typed, as Python does; [Read] what anybody sent, within bounds; [Members]
// an object whose values stay text. Documents with a known form are read into
// structs by encoding/json.
package pyjson

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"

	"slapos/slap"
)

// Member is a key of an object and its value.
type Member struct {
	Key   string
	Value any
}

// Object is a JSON object whose keys keep their order.
type Object []Member

// Of makes an object from alternating keys, which are texts, and values.
func Of(keysAndValues ...any) Object {
	o := make(Object, len(keysAndValues)/2)
	for i := range o {
		o[i] = Member{keysAndValues[2*i].(string), keysAndValues[2*i+1]}
	}
	return o
}

// Get returns the value of a key.
func (o Object) Get(key string) (value any, found bool) {
	for _, m := range o {
		if m.Key == key {
			return m.Value, true
		}
	}
	return nil, false
}

// Value returns the value of a key, nil without one.
func (o Object) Value(key string) any {
	value, _ := o.Get(key)
	return value
}

// Keys returns the keys in order.
func (o Object) Keys() []string {
	keys := make([]string, len(o))
	for i, m := range o {
		keys[i] = m.Key
	}
	return keys
}

// Set stores a value; an existing key keeps its place.
func (o *Object) Set(key string, value any) {
	for i := range *o {
		if (*o)[i].Key == key {
			(*o)[i].Value = value
			return
		}
	}
	*o = append(*o, Member{key, value})
}

// A Builder makes an object with many keys in linear time. Object may be read
// meanwhile.
type Builder struct {
	Object
	places map[string]int
}

// Set is [Object.Set].
func (b *Builder) Set(key string, value any) {
	if place, found := b.places[key]; found {
		b.Object[place].Value = value
		return
	}
	if b.places == nil {
		b.places = map[string]int{}
	}
	b.places[key] = len(b.Object)
	b.Object = append(b.Object, Member{key, value})
}

// Has reports whether a key was set.
func (b *Builder) Has(key string) bool {
	_, found := b.places[key]
	return found
}

// Remove removes a key, if it exists.
func (o *Object) Remove(key string) {
	*o = slices.DeleteFunc(*o, func(m Member) bool { return m.Key == key })
}

// Sort orders the keys.
func (o Object) Sort() {
	slices.SortFunc(o, func(a, b Member) int {
		switch {
		case a.Key < b.Key:
			return -1
		case a.Key > b.Key:
			return 1
		}
		return 0
	})
}

// Sorted sorts the keys of a dictionary.
func Sorted(d slap.Dict) Object {
	o := make(Object, 0, len(d))
	for _, key := range slices.Sorted(maps.Keys(d)) {
		o = append(o, Member{key, d[key]})
	}
	return o
}

// Style is a format of json.dumps.
type Style struct {
	comma, colon string
	indent       string // per level; "" for one line
	// Other converts values that have no form in JSON; without it they are an
	// error.
	Other func(value any) string
}

// Spaced is json.dumps(value), Compact json.dumps(value, separators=(",", ":")).
var (
	Spaced  = Style{comma: ", ", colon: ": "}
	Compact = Style{comma: ",", colon: ":"}
)

// Indented is json.dumps(value, indent=…).
func Indented(indent string) Style { return Style{comma: ",", colon: ": ", indent: indent} }

// Append appends a value.
func (s Style) Append(b []byte, value any) ([]byte, error) {
	newline := ""
	if s.indent != "" {
		newline = "\n"
	}
	return s.append(b, value, newline)
}

// append continues a line that newline began.
func (s Style) append(b []byte, value any, newline string) ([]byte, error) {
	switch v := value.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case string:
		return slap.AppendPythonJSON(b, v), nil
	case *string:
		if v == nil {
			return append(b, "null"...), nil
		}
		return slap.AppendPythonJSON(b, *v), nil
	case int:
		return strconv.AppendInt(b, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case json.Number:
		return append(b, v...), nil
	case *big.Int:
		return v.Append(b, 10), nil
	case float64:
		return appendFloat(b, v), nil
	case *float64:
		if v == nil {
			return append(b, "null"...), nil
		}
		return appendFloat(b, *v), nil
	case []any:
		return appendItems(s, b, v, newline)
	case []Object:
		return appendItems(s, b, v, newline)
	case slap.Tuple:
		return appendItems(s, b, v, newline)
	case Object:
		return s.appendObject(b, v, newline)
	case *Object:
		return s.appendObject(b, *v, newline)
	case map[string]any:
		return s.appendObject(b, Sorted(v), newline)
	}
	if s.Other != nil {
		return append(b, s.Other(value)...), nil
	}
	return b, fmt.Errorf("a %T has no form in JSON", value)
}

// appendFloat writes numbers that JSON lacks as Python does.
func appendFloat(b []byte, value float64) []byte {
	text := slap.PythonString(value)
	switch text {
	case "nan":
		text = "NaN"
	case "inf":
		text = "Infinity"
	case "-inf":
		text = "-Infinity"
	}
	return append(b, text...)
}

func appendItems[T any](s Style, b []byte, items []T, newline string) ([]byte, error) {
	inner := newline + s.indent
	b = append(b, '[')
	var err error
	for i, item := range items {
		if b, err = s.append(s.next(b, i, inner), item, inner); err != nil {
			return b, err
		}
	}
	return s.end(b, len(items), newline, ']'), nil
}

func (s Style) appendObject(b []byte, o Object, newline string) ([]byte, error) {
	inner := newline + s.indent
	b = append(b, '{')
	var err error
	for i, m := range o {
		b = append(slap.AppendPythonJSON(s.next(b, i, inner), m.Key), s.colon...)
		if b, err = s.append(b, m.Value, inner); err != nil {
			return b, err
		}
	}
	return s.end(b, len(o), newline, '}'), nil
}

// next begins an item with the given number.
func (s Style) next(b []byte, number int, inner string) []byte {
	if number > 0 {
		b = append(b, s.comma...)
	}
	return append(b, inner...)
}

// end closes a container with that many items: an empty one stays on its line.
func (s Style) end(b []byte, count int, newline string, bracket byte) []byte {
	if count > 0 {
		b = append(b, newline...)
	}
	return append(b, bracket)
}
