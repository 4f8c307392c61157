// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// parseConfiguration reads the dialect of Python's ConfigParser with its
// defaults: strict, no inline comments, empty lines in values (CLI-22). Beyond
// it, a byte order mark is skipped. The error names file and line.
func parseConfiguration(path string, data []byte) (*configuration, error) {
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("%s is not UTF-8 text", path)
	}
	text := strings.TrimPrefix(string(data), "\ufeff")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	p := &parser{
		configuration: &configuration{path: path, sections: map[string]map[string]string{}, defaults: map[string]string{}},
		seen:          map[string]bool{},
	}
	for number, line := range strings.Split(text, "\n") {
		if err := p.line(line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, number+1, err)
		}
	}
	p.endKey()
	return p.configuration, nil
}

// A parser holds the place that the next line is read in.
type parser struct {
	*configuration
	section string
	values  map[string]string // of the section; nil before the first header
	key     string            // of the value that goes on; "" for none
	value   []string
	indent  int             // of the line with the key
	seen    map[string]bool // section and key, for duplicates
}

func (p *parser) line(line string) error {
	text := strip(line)
	if text == "" {
		if p.key != "" {
			p.value = append(p.value, "") // part of the value if more follows
		}
		return nil
	}
	if text[0] == '#' || text[0] == ';' {
		return nil
	}
	indent := utf8.RuneCountInString(line[:strings.Index(line, text)])
	if p.key != "" && indent > p.indent {
		p.value = append(p.value, text)
		return nil
	}
	p.indent = indent
	if name, ok := header(text); ok {
		return p.enter(name)
	}
	if p.values == nil {
		return fmt.Errorf("%q stands before any [section]", text)
	}
	return p.entry(text)
}

// header reads "[name]"; what follows the last bracket is ignored.
func header(text string) (name string, ok bool) {
	end := strings.LastIndexByte(text, ']')
	if text[0] != '[' || end < 2 {
		return "", false
	}
	return text[1:end], true
}

func (p *parser) enter(name string) error {
	p.endKey()
	p.section = name
	if name == "DEFAULT" {
		p.values = p.defaults
		return nil
	}
	if p.Has(name) {
		return fmt.Errorf("section [%s] occurs twice", name)
	}
	p.values = map[string]string{}
	p.sections[name] = p.values
	p.order = append(p.order, name)
	return nil
}

// entry reads "key = value" or "key: value".
func (p *parser) entry(text string) error {
	p.endKey()
	i := strings.IndexAny(text, "=:")
	if i < 0 {
		return fmt.Errorf("%q is neither a [section] nor a key = value", text)
	}
	key := lower(strip(text[:i]))
	if key == "" {
		return fmt.Errorf("%q has no key", text)
	}
	id := p.section + "\x00" + key
	if p.seen[id] {
		return fmt.Errorf("key %s occurs twice in section [%s]", key, p.section)
	}
	p.seen[id] = true
	p.key, p.value = key, []string{strip(text[i+1:])}
	return nil
}

func (p *parser) endKey() {
	if p.key != "" {
		p.values[p.key] = strings.TrimRightFunc(strings.Join(p.value, "\n"), isSpace)
	}
	p.key, p.value = "", nil
}

// isSpace is Python's str.isspace.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

func strip(text string) string { return strings.TrimFunc(text, isSpace) }

// lower is Python's str.lower, which keeps the dot of a capital dotted i.
func lower(text string) string {
	return strings.ToLower(strings.ReplaceAll(text, "\u0130", "i\u0307"))
}

const (
	interpolationDepth = 10      // ConfigParser's own limit
	interpolationSteps = 100_000 // references of one value; they multiply from level to level
	interpolationSize  = 1 << 24 // bytes of one value
)

// interpolate resolves the references of a value: %% and %(key)s.
func interpolate(values map[string]string, key string) (string, error) {
	i := interpolation{values: values}
	err := i.resolve(values[key], 1)
	return i.text.String(), err
}

type interpolation struct {
	values map[string]string
	text   strings.Builder // resolved so far
	steps  int
}

func (i *interpolation) resolve(rest string, depth int) error {
	if depth > interpolationDepth {
		return errors.New("% references go round in a circle or too deep")
	}
	for {
		before, after, found := strings.Cut(rest, "%")
		i.text.WriteString(before)
		if i.steps++; i.steps > interpolationSteps || i.text.Len() > interpolationSize {
			return errors.New("% references make the value too long")
		}
		if !found {
			return nil
		}
		if strings.HasPrefix(after, "%") {
			i.text.WriteByte('%')
			rest = after[1:]
			continue
		}
		name, tail, ok := strings.Cut(after, ")s")
		if !ok || len(name) < 2 || name[0] != '(' || strings.Contains(name, ")") {
			return fmt.Errorf("a %% must be written %%%%, or begin a reference %%(key)s: %q", shortened("%"+after))
		}
		value, known := i.values[lower(name[1:])]
		switch {
		case !known:
			return fmt.Errorf("the reference %%%s)s names a key that does not exist", name)
		case !strings.Contains(value, "%"):
			i.text.WriteString(value)
		default:
			if err := i.resolve(value, depth+1); err != nil {
				return err
			}
		}
		rest = tail
	}
}

// shortened cuts a text that goes into a message.
func shortened(text string) string {
	if runes := []rune(text); len(runes) > 40 {
		return string(slices.Concat(runes[:40], []rune("...")))
	}
	return text
}
