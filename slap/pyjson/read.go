// SPDX-License-Identifier: GPL-3.0-or-later

package pyjson

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
)

// A SyntaxError says why a text is not one JSON value.
type SyntaxError struct {
	Line   int
	Reason string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

// Parse reads one value as Python's json.loads does. Objects are *[Object], in
// which the last of equal keys counts; whole numbers are int64 or *[big.Int]; NaN
// and Infinity are numbers. Errors are a *[SyntaxError].
func Parse(text []byte) (any, error) {
	text = pythonConstants(text)
	d := decoder(text)
	value, err := parseValue(d)
	if err != nil {
		return nil, syntaxError(text, d, err)
	}
	return value, ended(text, d)
}

// Read reads one value of an untrusted text, see [Bounded]. Objects are maps, and
// numbers are [json.Number]: the types that a schema validates. Errors are a
// *[SyntaxError] or a *[BoundsError].
func Read(text []byte) (value any, err error) {
	if err := Bounded(text); err != nil {
		return nil, err
	}
	d := decoder(text)
	if err := d.Decode(&value); err != nil {
		return nil, syntaxError(text, d, err)
	}
	if err := ended(text, d); err != nil {
		return nil, err
	}
	return value, nil
}

// RawMember is a key of an object and the text of its value.
type RawMember struct {
	Key   string
	Value json.RawMessage
}

// Members lists the members of an object in the order of its text, those before
// an error too. What follows the object is not read.
func Members(text []byte) (members []RawMember, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return members, err
		}
		member := RawMember{Key: key.(string)}
		if err := d.Decode(&member.Value); err != nil {
			return members, err
		}
		members = append(members, member)
	}
	_, err = d.Token()
	return members, err
}

// Number is a whole number, an int64 or a *[big.Int], unless the text has a
// fraction or an exponent. Numbers that are too large are infinite, as in Python.
func Number(text string) any {
	if strings.ContainsAny(text, ".eE") {
		f, _ := strconv.ParseFloat(text, 64)
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

func decoder(text []byte) *json.Decoder {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d
}

// ended fails unless the text ends after the value.
func ended(text []byte, d *json.Decoder) error {
	if _, err := d.Token(); err != io.EOF {
		return syntaxError(text, d, errors.New("unexpected text after the value"))
	}
	return nil
}

func syntaxError(text []byte, d *json.Decoder, err error) error {
	offset := d.InputOffset()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err, offset = errors.New("the text ends too soon"), int64(len(bytes.TrimRight(text, " \t\r\n")))
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		offset = syntax.Offset
	}
	offset = min(max(offset, 0), int64(len(text)))
	return &SyntaxError{Line: 1 + bytes.Count(text[:offset], []byte("\n")), Reason: err.Error()}
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

func parseValue(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case json.Number:
		if token == notANumber {
			return math.NaN(), nil
		}
		return Number(string(token)), nil
	case json.Delim:
		if token == '{' {
			return parseObject(d)
		}
		list := []any{}
		for d.More() {
			item, err := parseValue(d)
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

func parseObject(d *json.Decoder) (any, error) {
	o := Builder{Object: Object{}} // of a key that is given twice, the last value counts
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		value, err := parseValue(d)
		if err != nil {
			return nil, err
		}
		o.Set(token.(string), value)
	}
	_, err := d.Token()
	return &o.Object, err
}
