// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"fmt"
	"slices"
	"unicode/utf8"
)

// EncodeInstance writes parameters as an <instance> document (SLAP-25): UTF-8
// with an XML declaration, one parameter per line, sorted by name. Values that
// are not text are written with [PythonString]. It fails for text that XML
// cannot carry.
func EncodeInstance(parameters Dict) ([]byte, error) {
	out := []byte("<?xml version='1.0' encoding='utf-8'?>\n")
	if len(parameters) == 0 {
		return append(out, "<instance/>\n"...), nil
	}
	names := make([]string, 0, len(parameters))
	for name := range parameters {
		names = append(names, name)
	}
	slices.Sort(names)
	out = append(out, "<instance>\n"...)
	var err error
	for _, name := range names {
		out = append(out, `  <parameter id="`...)
		if out, err = appendEscaped(out, name, true); err != nil {
			return nil, fmt.Errorf("parameter name %q: %w", name, err)
		}
		out = append(out, `">`...)
		if out, err = appendEscaped(out, PythonString(parameters[name]), false); err != nil {
			return nil, fmt.Errorf("parameter %q: %w", name, err)
		}
		out = append(out, "</parameter>\n"...)
	}
	return append(out, "</instance>\n"...), nil
}

func appendEscaped(out []byte, s string, attribute bool) ([]byte, error) {
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '&':
			out = append(out, "&amp;"...)
		case r == '<':
			out = append(out, "&lt;"...)
		case r == '>':
			out = append(out, "&gt;"...)
		case r == '\r':
			out = append(out, "&#13;"...)
		case attribute && r == '"':
			out = append(out, "&quot;"...)
		case attribute && r == '\n':
			out = append(out, "&#10;"...)
		case attribute && r == '\t':
			out = append(out, "&#9;"...)
		case !isXMLCharacter(r) || r == utf8.RuneError && size == 1:
			return nil, errForbidden(s[i:], r, size)
		default:
			out = append(out, s[i:i+size]...)
		}
		i += size
	}
	return out, nil
}

// DecodeInstance reads the parameters of an <instance> document (SLAP-26): the
// parameter elements directly below the root, whatever its name. Values are
// text, or nil for an empty element. The texts of a repeated name are joined by
// a space. Empty input has no parameters.
func DecodeInstance(data []byte) (Dict, error) {
	list, err := ListInstance(data)
	if err != nil {
		return nil, err
	}
	parameters := Dict{}
	for _, parameter := range list {
		store(parameters, parameter.ID, parameter.Text)
	}
	return parameters, nil
}

// A Parameter is an element of an <instance> document.
type Parameter struct{ ID, Text string }

// ListInstance is [DecodeInstance], but keeps the document's order.
func ListInstance(data []byte) ([]Parameter, error) {
	if len(data) == 0 {
		return nil, nil
	}
	var list []Parameter
	s, err := newScanner(data)
	if err != nil {
		return nil, fmt.Errorf("parameter document: %w", err)
	}
	for {
		t, err := s.next()
		if err == nil && t.kind == startElement && len(s.open) > MaxDepth {
			err = ErrTooDeep
		}
		if err == nil && t.kind == startElement && len(s.open) == 2 && string(t.name) == "parameter" {
			var parameter Parameter
			parameter, err = s.parameter()
			list = append(list, parameter)
		}
		if err != nil {
			return nil, fmt.Errorf("parameter document: %w", err)
		}
		if t.kind == endOfDocument {
			return list, nil
		}
	}
}

// parameter reads a parameter element. Its value is the text before the first
// child.
func (s *scanner) parameter() (Parameter, error) {
	id, ok := s.get("id")
	if !ok {
		return Parameter{}, s.fail("parameter without id")
	}
	name := string(id)
	var text []byte
	for complete := false; ; {
		t, err := s.next()
		switch {
		case err != nil:
			return Parameter{}, err
		case t.kind == endElement && len(s.open) == 1:
			return Parameter{name, string(text)}, nil
		case t.kind == startElement && len(s.open) > MaxDepth:
			return Parameter{}, ErrTooDeep
		case t.kind == startElement || t.kind == otherNode:
			complete = true
		case t.kind == characters && !complete:
			text = append(text, t.text...)
		}
	}
}

func store(parameters Dict, name, text string) {
	previous, known := parameters[name].(string)
	switch {
	case len(text) == 0 && !known:
		parameters[name] = nil
	case known && len(text) > 0:
		parameters[name] = previous + " " + text
	case !known:
		parameters[name] = text
	}
}
