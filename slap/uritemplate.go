// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// expandTemplate expands a URI template (RFC 6570, all levels). Variables are
// text, integers, []string, or map[string]string, whose keys come sorted;
// those that are nil or absent are left out, as are empty lists and maps.
func expandTemplate(template string, variables map[string]any) (string, error) {
	var out []byte
	for {
		before, rest, found := strings.Cut(template, "{")
		if strings.IndexByte(before, '}') >= 0 {
			return "", fmt.Errorf("URI template: } without {")
		}
		out = appendEncoded(out, before, true)
		if !found {
			return string(out), nil
		}
		expression, after, closed := strings.Cut(rest, "}")
		if !closed || expression == "" {
			return "", fmt.Errorf("URI template: malformed expression {%.40s", rest)
		}
		var err error
		if out, err = appendExpression(out, expression, variables); err != nil {
			return "", err
		}
		template = after
	}
}

// operator is a line of the table in appendix A of RFC 6570.
type operator struct {
	first     string // before the first value
	separator string // between values
	named     bool   // values come with their name
	ifEmpty   string // after the name of an empty value
	reserved  bool   // reserved characters stay as they are
}

var simple = operator{separator: ","}

var operators = map[byte]operator{
	'+': {separator: ",", reserved: true},
	'#': {first: "#", separator: ",", reserved: true},
	'.': {first: ".", separator: "."},
	'/': {first: "/", separator: "/"},
	';': {first: ";", separator: ";", named: true},
	'?': {first: "?", separator: "&", named: true, ifEmpty: "="},
	'&': {first: "&", separator: "&", named: true, ifEmpty: "="},
}

func appendExpression(out []byte, expression string, variables map[string]any) ([]byte, error) {
	op, known := operators[expression[0]]
	if known {
		expression = expression[1:]
	} else {
		op = simple
	}
	separator := op.first
	for _, spec := range strings.Split(expression, ",") {
		name, explode := strings.CutSuffix(spec, "*")
		name, prefix, hasPrefix := strings.Cut(name, ":")
		length := -1
		if hasPrefix {
			n, err := strconv.Atoi(prefix)
			if err != nil || n < 1 || n > 9999 || explode {
				return nil, fmt.Errorf("URI template: malformed variable %q", spec)
			}
			length = n
		}
		if !isVariableName(name) {
			return nil, fmt.Errorf("URI template: malformed variable %q", spec)
		}
		value, err := expandVariable(op, name, variables[name], explode, length)
		if err != nil {
			return nil, err
		}
		if value != nil {
			out = append(append(out, separator...), value...)
			separator = op.separator
		}
	}
	return out, nil
}

// expandVariable writes one variable, nil when it has no value.
func expandVariable(op operator, name string, value any, explode bool, length int) ([]byte, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case string:
		return op.appendNamed([]byte{}, name, truncate(v, length)), nil
	case int:
		return op.appendNamed([]byte{}, name, truncate(strconv.Itoa(v), length)), nil
	case []string:
		return op.list(name, v, explode), nil
	case map[string]string:
		return op.pairs(name, v, explode), nil
	}
	return nil, fmt.Errorf("URI template: variable %s is %s", name, kindName(value))
}

func (op operator) list(name string, items []string, explode bool) []byte {
	if len(items) == 0 {
		return nil
	}
	out := []byte{}
	if op.named && !explode {
		out = append(append(out, name...), '=')
	}
	for i, item := range items {
		switch {
		case i > 0 && explode:
			out = append(out, op.separator...)
		case i > 0:
			out = append(out, ',')
		}
		if explode {
			out = op.appendNamed(out, name, item)
		} else {
			out = appendEncoded(out, item, op.reserved)
		}
	}
	return out
}

func (op operator) pairs(name string, m map[string]string, explode bool) []byte {
	if len(m) == 0 {
		return nil
	}
	out := []byte{}
	if op.named && !explode {
		out = append(append(out, name...), '=')
	}
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	between, equal := ",", ","
	if explode {
		between, equal = op.separator, "="
	}
	for i, key := range keys {
		if i > 0 {
			out = append(out, between...)
		}
		out = append(appendEncoded(out, key, op.reserved), equal...)
		out = appendEncoded(out, m[key], op.reserved)
	}
	return out
}

// appendNamed writes a value, after its name where the operator wants one.
func (op operator) appendNamed(out []byte, name, value string) []byte {
	if op.named {
		out = append(out, name...)
		if value == "" {
			return append(out, op.ifEmpty...)
		}
		out = append(out, '=')
	}
	return appendEncoded(out, value, op.reserved)
}

// truncate keeps the first n characters; all of them when n is negative.
func truncate(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

func isVariableName(name string) bool {
	for _, c := range []byte(name) {
		if !isUnreserved(c) && c != '%' || c == '-' || c == '~' {
			return false
		}
	}
	return name != ""
}

func isUnreserved(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '.' || c == '_' || c == '~'
}

// appendEncoded percent-encodes; reserved leaves reserved characters and
// triplets that are encoded already.
func appendEncoded(out []byte, s string, reserved bool) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case isUnreserved(c):
			out = append(out, c)
		case reserved && c < utf8.RuneSelf && strings.IndexByte(":/?#[]@!$&'()*+,;=", c) >= 0:
			out = append(out, c)
		case reserved && c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			out = append(out, c)
		default:
			out = fmt.Appendf(out, "%%%02X", c)
		}
	}
	return out
}

func isHex(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
