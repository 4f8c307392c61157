// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"slapos/slap"
)

// JSON as Python's json module reads and writes it: keys keep their order,
// integers are not floats. Values are nil, bool, *big.Int, int64, float64,
// string, []any and *object.

// An object is a JSON object with its keys in order.
type object struct {
	keys   []string
	values map[string]any
}

func newObject() *object { return &object{values: map[string]any{}} }

// set stores a value; a key that was there keeps its place.
func (o *object) set(key string, value any) {
	if _, found := o.values[key]; !found {
		o.keys = append(o.keys, key)
	}
	o.values[key] = value
}

func (o *object) remove(key string) {
	delete(o.values, key)
	for i, k := range o.keys {
		if k == key {
			o.keys = append(o.keys[:i:i], o.keys[i+1:]...)
			return
		}
	}
}

// decodeJSON reads exactly one value.
func decodeJSON(data []byte) (any, error) {
	data = pythonConstants(data)
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	value, err := decodeValue(d)
	if err != nil {
		return nil, jsonError(data, d.InputOffset(), err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, jsonError(data, d.InputOffset(), errors.New("more text follows the value"))
	}
	return value, nil
}

// What stands for the constants that Python's json module writes and JSON has
// no words for: a number too large, and one that nobody writes.
const (
	infinity   = "1e999999"
	notANumber = "-0e-999999"
)

// pythonConstants replaces Infinity and NaN outside of texts, kept apart from
// what stands beside them.
func pythonConstants(data []byte) []byte {
	if !bytes.Contains(data, []byte("NaN")) && !bytes.Contains(data, []byte("Infinity")) {
		return data
	}
	var b bytes.Buffer
	within, negative := false, false
	for len(data) > 0 {
		n := 1
		switch {
		case within && data[0] == '\\':
			n = min(2, len(data))
		case data[0] == '"':
			within = !within
		case !within && bytes.HasPrefix(data, []byte("NaN")):
			b.WriteString(" " + notANumber + " ")
			data = data[len("NaN"):]
			continue
		case !within && bytes.HasPrefix(data, []byte("Infinity")):
			if !negative {
				b.WriteByte(' ')
			}
			b.WriteString(infinity + " ")
			data = data[len("Infinity"):]
			continue
		}
		negative = data[0] == '-'
		b.Write(data[:n])
		data = data[n:]
	}
	return b.Bytes()
}

func jsonError(data []byte, offset int64, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the text ends too early")
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		offset = syntax.Offset
	}
	offset = min(max(offset, 0), int64(len(data)))
	return fmt.Errorf("line %d: %w", 1+bytes.Count(data[:offset], []byte("\n")), err)
}

func decodeValue(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case json.Number:
		return pythonNumber(string(token)), nil
	case json.Delim:
		if token == '{' {
			return decodeObject(d)
		}
		list := []any{}
		for d.More() {
			item, err := decodeValue(d)
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		_, err := d.Token()
		return list, err
	}
	return token, nil
}

func decodeObject(d *json.Decoder) (any, error) {
	o := newObject()
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		value, err := decodeValue(d)
		if err != nil {
			return nil, err
		}
		o.set(key.(string), value)
	}
	_, err := d.Token()
	return o, err
}

// pythonNumber is an integer unless the text has a fraction or an exponent.
func pythonNumber(text string) any {
	if text == notANumber {
		return math.NaN()
	}
	if strings.ContainsAny(text, ".eE") {
		f, _ := strconv.ParseFloat(text, 64) // too large is infinite, as in Python
		return f
	}
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return i
	}
	i, _ := new(big.Int).SetString(text, 10)
	return i
}

// plain turns objects into dictionaries of the slap protocol.
func plain(value any) any {
	switch value := value.(type) {
	case *object:
		d := make(slap.Dict, len(value.keys))
		for key, member := range value.values {
			d[key] = plain(member)
		}
		return d
	case []any:
		list := make([]any, len(value))
		for i, item := range value {
			list[i] = plain(item)
		}
		return list
	}
	return value
}

// encodeJSON writes what json.dumps(value, indent=2) writes. Dictionaries of
// the slap protocol have their keys sorted.
func encodeJSON(value any) string {
	var b strings.Builder
	writeJSON(&b, value, "\n")
	return b.String()
}

// encodeJSONLine writes what json.dumps(value) writes.
func encodeJSONLine(value any) string {
	var b strings.Builder
	writeJSON(&b, value, "")
	return b.String()
}

// writeJSON starts each line that it opens with the text newline; "" makes it
// one line.
func writeJSON(b *strings.Builder, value any, newline string) {
	switch value := value.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		b.WriteString(strconv.FormatBool(value))
	case string:
		b.Write(slap.AppendPythonJSON(nil, value))
	case *object:
		writeJSONItems(b, "{", "}", len(value.keys), newline, func(i int, newline string) {
			b.Write(slap.AppendPythonJSON(nil, value.keys[i]))
			b.WriteString(": ")
			writeJSON(b, value.values[value.keys[i]], newline)
		})
	case slap.Dict:
		writeJSON(b, sortedObject(value), newline)
	case []any:
		writeJSONItems(b, "[", "]", len(value), newline, func(i int, newline string) {
			writeJSON(b, value[i], newline)
		})
	default:
		text := slap.PythonRepr(value)
		switch text {
		case "nan":
			text = "NaN"
		case "inf":
			text = "Infinity"
		case "-inf":
			text = "-Infinity"
		}
		b.WriteString(text)
	}
}

func writeJSONItems(b *strings.Builder, begin, end string, count int, newline string, item func(i int, newline string)) {
	separator, inner := ", ", ""
	if newline != "" {
		inner = newline + "  "
		separator = "," + inner
	}
	b.WriteString(begin)
	for i := range count {
		if i > 0 {
			b.WriteString(separator)
		} else {
			b.WriteString(inner)
		}
		item(i, inner)
	}
	if count > 0 {
		b.WriteString(newline)
	}
	b.WriteString(end)
}

// sortedObject gives a dictionary an order.
func sortedObject(d slap.Dict) *object {
	o := &object{values: d}
	for key := range d {
		o.keys = append(o.keys, key)
	}
	slices.Sort(o.keys)
	return o
}
