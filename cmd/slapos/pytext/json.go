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
	"strconv"
	"strings"

	"slapos/slap"
	"slapos/slap/pyjson"
)

// An Object is a JSON object with its keys in order.
type Object = pyjson.Object

// NewObject makes one without keys.
func NewObject() *Object { return &Object{} }

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
		return nil, jsonError(data, d.InputOffset(), errors.New("unexpected text after the value"))
	}
	return value, nil
}

// Stand-ins for the constants that Python's json module writes and JSON lacks:
// a number too large, and one that nobody writes.
const (
	infinity   = "1e999999"
	notANumber = "-0e-999999"
)

// pythonConstants replaces Infinity and NaN outside of strings, and separates
// them from their neighbours.
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
		err = errors.New("the text ends too soon")
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
	o := pyjson.Builder{Object: Object{}} // of a key that is given twice, the last value counts
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		value, err := decodeValue(d)
		if err != nil {
			return nil, err
		}
		o.Set(token.(string), value)
	}
	_, err := d.Token()
	return &o.Object, err
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
		d := make(slap.Dict, len(*value))
		for _, member := range *value {
			d[member.Key] = Plain(member.Value)
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
		value, err := DecodeJSON([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("instance parameter _: %w", err)
		}
		ordered.Set("_", value)
	}
	return ordered, nil
}
