// SPDX-License-Identifier: GPL-3.0-or-later

package pytext

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

// An Object is a JSON object with its keys in order.
type Object struct {
	Keys   []string
	Values map[string]any
}

// NewObject makes one without keys.
func NewObject() *Object { return &Object{Values: map[string]any{}} }

// Set stores a value; a key that was there keeps its place.
func (o *Object) Set(key string, value any) {
	if _, found := o.Values[key]; !found {
		o.Keys = append(o.Keys, key)
	}
	o.Values[key] = value
}

// Remove forgets a key, if it is there.
func (o *Object) Remove(key string) {
	delete(o.Values, key)
	for i, k := range o.Keys {
		if k == key {
			o.Keys = append(o.Keys[:i:i], o.Keys[i+1:]...)
			return
		}
	}
}

// DecodeJSON reads exactly one value.
func DecodeJSON(data []byte) (any, error) {
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
	o := NewObject()
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		value, err := decodeValue(d)
		if err != nil {
			return nil, err
		}
		o.Set(key.(string), value)
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

// Plain turns objects into dictionaries of the slap protocol.
func Plain(value any) any {
	switch value := value.(type) {
	case *Object:
		d := make(slap.Dict, len(value.Keys))
		for key, member := range value.Values {
			d[key] = Plain(member)
		}
		return d
	case []any:
		list := make([]any, len(value))
		for i, item := range value {
			list[i] = Plain(item)
		}
		return list
	}
	return value
}

// EncodeJSON writes what json.dumps(value, indent=2) writes. Dictionaries of
// the slap protocol have their keys sorted.
func EncodeJSON(value any) string {
	var b strings.Builder
	writeJSON(&b, value, "\n")
	return b.String()
}

// EncodeJSONLine writes what json.dumps(value) writes.
func EncodeJSONLine(value any) string {
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
	case *Object:
		writeJSONItems(b, "{", "}", len(value.Keys), newline, func(i int, newline string) {
			b.Write(slap.AppendPythonJSON(nil, value.Keys[i]))
			b.WriteString(": ")
			writeJSON(b, value.Values[value.Keys[i]], newline)
		})
	case slap.Dict:
		writeJSON(b, Sorted(value), newline)
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

// Sorted gives a dictionary an order.
func Sorted(d slap.Dict) *Object {
	o := &Object{Values: d}
	for key := range d {
		o.Keys = append(o.Keys, key)
	}
	slices.Sort(o.Keys)
	return o
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
		value, err := DecodeJSON([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("instance parameter _: %w", err)
		}
		ordered.Set("_", value)
	}
	return ordered, nil
}
