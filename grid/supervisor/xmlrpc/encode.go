// SPDX-License-Identifier: GPL-3.0-or-later

package xmlrpc

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"unicode/utf8"
)

const header = "<?xml version='1.0'?>\n"

// MarshalCall writes the call of a method. The error names a parameter whose
// type XML-RPC can't express.
func MarshalCall(method string, params ...any) ([]byte, error) {
	b := append([]byte(header), "<methodCall>\n<methodName>"...)
	b = appendText(b, method)
	b = append(b, "</methodName>\n"...)
	b, err := appendParams(b, params)
	return append(b, "</methodCall>\n"...), err
}

// MarshalResponse writes the answer that holds one value.
func MarshalResponse(value any) ([]byte, error) {
	b := append([]byte(header), "<methodResponse>\n"...)
	b, err := appendParams(b, []any{value})
	return append(b, "</methodResponse>\n"...), err
}

// MarshalFault writes an error answer.
func MarshalFault(fault *Fault) []byte {
	b := append([]byte(header), "<methodResponse>\n<fault>\n"...)
	b = append(b, "<value><struct>\n<member>\n<name>faultCode</name>\n<value><int>"...)
	b = strconv.AppendInt(b, int64(fault.Code), 10)
	b = append(b, "</int></value>\n</member>\n<member>\n<name>faultString</name>\n<value><string>"...)
	b = appendText(b, fault.Text)
	return append(b, "</string></value>\n</member>\n</struct></value>\n</fault>\n</methodResponse>\n"...)
}

func appendParams(b []byte, params []any) ([]byte, error) {
	b = append(b, "<params>\n"...)
	for i, param := range params {
		var err error
		b = append(b, "<param>\n"...)
		if b, err = appendValue(b, reflect.ValueOf(param)); err != nil {
			return nil, fmt.Errorf("XML-RPC value %d: %w", i, err)
		}
		b = append(b, "</param>\n"...)
	}
	return append(b, "</params>\n"...), nil
}

// appendValue writes the types that Python's xmlrpc.client reads by default.
// Integers beyond 32 bits are written as <int>, too, as supervisor does.
func appendValue(b []byte, v reflect.Value) ([]byte, error) {
	for v.IsValid() && (v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer) {
		v = v.Elem()
	}
	if !v.IsValid() {
		return append(b, "<value><nil/></value>\n"...), nil
	}
	b = append(b, "<value>"...)
	var err error
	switch {
	case v.Kind() == reflect.Bool:
		digit := byte('0')
		if v.Bool() {
			digit = '1'
		}
		b = append(append(append(b, "<boolean>"...), digit), "</boolean>"...)
	case v.CanInt():
		b = append(strconv.AppendInt(append(b, "<int>"...), v.Int(), 10), "</int>"...)
	case v.CanUint():
		b = append(strconv.AppendUint(append(b, "<int>"...), v.Uint(), 10), "</int>"...)
	case v.CanFloat():
		b = strconv.AppendFloat(append(b, "<double>"...), v.Float(), 'g', -1, 64)
		b = append(b, "</double>"...)
	case v.Kind() == reflect.String:
		b = append(appendText(append(b, "<string>"...), v.String()), "</string>"...)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		b = base64.StdEncoding.AppendEncode(append(b, "<base64>\n"...), v.Bytes())
		b = append(b, "\n</base64>"...)
	case v.Kind() == reflect.Slice || v.Kind() == reflect.Array:
		b, err = appendArray(b, v)
	case v.Kind() == reflect.Map && v.Type().Key().Kind() == reflect.String:
		b, err = appendMap(b, v)
	case v.Kind() == reflect.Struct:
		b, err = appendStruct(b, v)
	default:
		err = fmt.Errorf("type %s has no place in XML-RPC", v.Type())
	}
	return append(b, "</value>\n"...), err
}

func appendArray(b []byte, v reflect.Value) ([]byte, error) {
	var err error
	b = append(b, "<array><data>\n"...)
	for i := range v.Len() {
		if b, err = appendValue(b, v.Index(i)); err != nil {
			return nil, err
		}
	}
	return append(b, "</data></array>"...), nil
}

func appendMap(b []byte, v reflect.Value) ([]byte, error) {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(x, y reflect.Value) int {
		if x.String() < y.String() {
			return -1
		}
		return 1
	})
	var err error
	b = append(b, "<struct>\n"...)
	for _, key := range keys {
		if b, err = appendMember(b, key.String(), v.MapIndex(key)); err != nil {
			return nil, err
		}
	}
	return append(b, "</struct>"...), nil
}

func appendStruct(b []byte, v reflect.Value) ([]byte, error) {
	var err error
	b = append(b, "<struct>\n"...)
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name := field.Tag.Get("xml")
		if !field.IsExported() || name == "" {
			continue
		}
		if b, err = appendMember(b, name, v.Field(i)); err != nil {
			return nil, err
		}
	}
	return append(b, "</struct>"...), nil
}

func appendMember(b []byte, name string, v reflect.Value) ([]byte, error) {
	b = append(appendText(append(b, "<member>\n<name>"...), name), "</name>\n"...)
	b, err := appendValue(b, v)
	return append(b, "</member>\n"...), err
}

// appendText escapes XML's special characters and the carriage return (which a
// parser would turn into a line feed), and replaces characters that XML can't
// hold.
func appendText(b []byte, s string) []byte {
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '&':
			b = append(b, "&amp;"...)
		case r == '<':
			b = append(b, "&lt;"...)
		case r == '>':
			b = append(b, "&gt;"...)
		case r == '\r':
			b = append(b, "&#13;"...)
		case r == utf8.RuneError && size <= 1, r < 0x20 && r != '\t' && r != '\n', r == 0xFFFE, r == 0xFFFF:
			b = utf8.AppendRune(b, utf8.RuneError)
		default:
			b = append(b, s[i:i+size]...)
		}
		i += size
	}
	return b
}
