// SPDX-License-Identifier: GPL-3.0-or-later

package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"slapos/slap"
)

// names are the values of %(name)s: a string or an int each.
type names map[string]any

func (n names) with(more names) names {
	all := maps.Clone(n)
	maps.Copy(all, more)
	return all
}

// expand replaces %(name)s, %(name)d and the like, and %% by %, as Python's %
// operator on a dictionary. option names the value in errors.
func (n names) expand(text, option string) (string, error) {
	malformed := func(why string) error {
		return fmt.Errorf("format string %s for %s is badly formatted: %s", slap.PythonRepr(text), slap.PythonRepr(option), why)
	}
	var b strings.Builder
	for rest := text; rest != ""; {
		before, after, found := strings.Cut(rest, "%")
		b.WriteString(before)
		if !found {
			break
		}
		if strings.HasPrefix(after, "%") {
			b.WriteByte('%')
			rest = after[1:]
			continue
		}
		name, format, found := strings.Cut(strings.TrimPrefix(after, "("), ")")
		if !strings.HasPrefix(after, "(") || !found {
			return "", malformed("a single % must be written %%")
		}
		value, known := n[name]
		if !known {
			return "", fmt.Errorf("format string %s for %s contains names (%s) which cannot be expanded. Available names: %s",
				slap.PythonRepr(text), slap.PythonRepr(option), slap.PythonRepr(name),
				strings.Join(slices.Sorted(maps.Keys(n)), ", "))
		}
		end := strings.IndexFunc(format, func(r rune) bool { return !strings.ContainsRune("#0- +.123456789", r) })
		if end < 0 {
			return "", malformed("incomplete format")
		}
		shown, err := convert(value, format[:end], format[end])
		if err != nil {
			return "", malformed(err.Error())
		}
		b.WriteString(shown)
		rest = format[end+1:]
	}
	return b.String(), nil
}

// convert formats one value with %<flags><verb>.
func convert(value any, flags string, verb byte) (string, error) {
	for _, digits := range strings.FieldsFunc(flags, func(r rune) bool { return r < '0' || r > '9' }) {
		if width, err := strconv.Atoi(digits); err != nil || width > 1000 {
			return "", fmt.Errorf("width %s is too big", digits)
		}
	}
	switch verb {
	case 's':
		return fmt.Sprintf("%"+strings.Trim(flags, "0#+ ")+"v", fmt.Sprint(value)), nil
	case 'd', 'i', 'u':
		verb = 'd'
		fallthrough
	case 'x', 'X', 'o':
		if number, ok := value.(int); ok {
			return fmt.Sprintf("%"+flags+string(verb), number), nil
		}
		return "", fmt.Errorf("%%%c format: a number is required, not str", verb)
	}
	return "", fmt.Errorf("unsupported format character %q", verb)
}
