// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"net/url"
	"strings"
)

// Form is an ordered list of form fields. The order is the original's (section
// 5 of the protocol).
type Form []Field

// Field is one field of a [Form].
type Field struct {
	Name, Value string
}

// Encode writes the form urlencoded, as in a query or a POST body: UTF-8
// percent encoding, "+" for a space.
func (f Form) Encode() string {
	var b strings.Builder
	for i, field := range f {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(field.Name))
		b.WriteByte('=')
		b.WriteString(url.QueryEscape(field.Value))
	}
	return b.String()
}

// repr writes the form as a Python dictionary, in order, as in error messages
// (SLAP-8).
func (f Form) repr() string {
	b := []byte{'{'}
	for i, field := range f {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = appendStringRepr(b, field.Name)
		b = append(b, ": "...)
		b = appendStringRepr(b, field.Value)
	}
	return string(append(b, '}'))
}
