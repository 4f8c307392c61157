// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strings"
)

// Dict is a dictionary whose keys are text, the usual one.
type Dict = map[string]any

// Tuple is Python's tuple.
type Tuple []any

// Set is Python's set. The order of its elements is kept as it was written.
type Set []any

// List is a list with an identity of its own: the same *List met twice while
// encoding is written once and referred to afterwards. Plain []any does for
// everything else; [Unmarshal] returns a *List only for a list that holds
// itself.
type List struct {
	Items []any
}

// Map is a dictionary with keys of any hashable kind (nil, bool, integers,
// floats, text, tuples of these, entities). [Unmarshal] returns a *Map only
// for a dictionary that has a key other than text, or that holds itself.
type Map struct {
	keys   []any
	values []any
	index  map[any]int
}

// Len is the number of entries.
func (m *Map) Len() int { return len(m.keys) }

// At returns the entry at position i, in the order of insertion.
func (m *Map) At(i int) (key, value any) { return m.keys[i], m.values[i] }

// Get returns the value stored under key. As in Python, 1, 1.0 and true are
// the same key.
func (m *Map) Get(key any) (value any, ok bool) {
	h, err := hashKey(key)
	if err != nil {
		return nil, false
	}
	i, ok := m.index[h]
	if !ok {
		return nil, false
	}
	return m.values[i], true
}

// Set stores value under key. It fails when the key is not hashable: a list,
// a dictionary, a set, or a type that does not belong to the protocol.
func (m *Map) Set(key, value any) error {
	h, err := hashKey(key)
	if err != nil {
		return err
	}
	if i, ok := m.index[h]; ok {
		m.values[i] = value
		return nil
	}
	if m.index == nil {
		m.index = map[any]int{}
	}
	m.index[h] = len(m.keys)
	m.keys = append(m.keys, key)
	m.values = append(m.values, value)
	return nil
}

// Canonical forms of keys that Go cannot compare, or compares otherwise than
// Python.
type (
	bigKey     string
	tupleKey   string
	complexKey complex128
	nanKey     struct{ _ *int }
)

// hashKey maps keys that Python holds for equal to equal comparable values.
func hashKey(v any) (any, error) {
	switch v := v.(type) {
	case nil, string, *Computer, *Partition, *SoftwareRelease, *Instance:
		return v, nil
	case bool:
		if v {
			return int64(1), nil
		}
		return int64(0), nil
	case float64:
		return hashFloat(v), nil
	case complex128:
		if imag(v) == 0 {
			return hashFloat(real(v)), nil
		}
		return complexKey(v), nil
	case Tuple:
		var b strings.Builder
		for _, item := range v {
			h, err := hashKey(item)
			if err != nil {
				return nil, err
			}
			text := fmt.Sprintf("%T %v", h, h)
			fmt.Fprintf(&b, "%d:%s,", len(text), text)
		}
		return tupleKey(b.String()), nil
	}
	if n := toBig(v); n != nil {
		return hashInteger(n), nil
	}
	return nil, fmt.Errorf("%s cannot be a key", kindName(v))
}

func hashInteger(n *big.Int) any {
	if n.IsInt64() {
		return n.Int64()
	}
	return bigKey(n.String())
}

func hashFloat(f float64) any {
	switch {
	case math.IsNaN(f):
		return nanKey{new(int)}
	case math.IsInf(f, 0) || f != math.Trunc(f):
		return f
	}
	n, _ := big.NewFloat(f).Int(nil)
	return hashInteger(n)
}

// toBig returns the integer that v holds, nil when v is no integer.
func toBig(v any) *big.Int {
	switch v := v.(type) {
	case json.Number:
		if n, ok := new(big.Int).SetString(v.String(), 10); ok {
			return n
		}
	case int:
		return big.NewInt(int64(v))
	case int64:
		return big.NewInt(v)
	case int32:
		return big.NewInt(int64(v))
	case uint64:
		return new(big.Int).SetUint64(v)
	case *big.Int:
		return v
	}
	return nil
}

// kindName names the kind of a value in the words of the protocol.
func kindName(v any) string {
	switch v.(type) {
	case nil:
		return "none"
	case []any, []string, *List:
		return "a list"
	case Dict, map[string]string:
		return "a dictionary"
	case *Map:
		return "a dictionary with keys that are no text"
	case Set:
		return "a set"
	case Tuple:
		return "a tuple"
	case string, State, []byte:
		return "text"
	case bool:
		return "a bool"
	case *Computer:
		return "a computer"
	case *Partition:
		return "a partition"
	case *SoftwareRelease:
		return "a software release"
	case *Instance:
		return "an instance"
	}
	if toBig(v) != nil {
		return "an integer"
	}
	return fmt.Sprintf("a %T", v)
}
