// SPDX-License-Identifier: GPL-3.0-or-later

package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ini is the content of one or more files, with sections in the order of their
// first lines. Keys are in lower case; values of several lines hold line feeds.
type ini struct {
	names    []string
	sections map[string]map[string]string
	files    map[string]string // where a section begins
	defaults map[string]string // of [DEFAULT], under every section
}

func newINI() *ini {
	return &ini{
		sections: map[string]map[string]string{},
		files:    map[string]string{},
		defaults: map[string]string{},
	}
}

func (f *ini) has(section string) bool {
	_, found := f.sections[section]
	return found
}

func (f *ini) get(section, option string) (string, bool) {
	if value, found := f.sections[section][option]; found {
		return value, true
	}
	value, found := f.defaults[option]
	return value, found
}

// replace changes every value.
func (f *ini) replace(text, by string) {
	for _, options := range append([]map[string]string{f.defaults}, f.values()...) {
		for option, value := range options {
			if strings.Contains(value, text) {
				options[option] = strings.ReplaceAll(value, text, by)
			}
		}
	}
}

func (f *ini) values() (all []map[string]string) {
	for _, options := range f.sections {
		all = append(all, options)
	}
	return all
}

// reader is the state between two lines of a file.
type reader struct {
	*ini
	file    string
	options map[string]string // of the current section
	option  string            // the one that continuation lines belong to
	lines   []string          // its value
	indent  int
}

// parse adds the content of a file, as Python's RawConfigParser does when
// inline comments start with ; or #.
func (f *ini) parse(file string, data []byte) error {
	r := &reader{ini: f, file: file}
	number := 0
	for line := range bytes.Lines(data) {
		number++
		if !utf8.Valid(line) {
			return fmt.Errorf("%s, line %d: not UTF-8", file, number) // as the original
		}
		if err := r.line(strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r")); err != nil {
			return fmt.Errorf("%s, line %d: %w", file, number, err)
		}
	}
	r.endOption()
	return nil
}

func (r *reader) line(line string) error {
	text, commented := withoutComment(line)
	text = strings.TrimSpace(text)
	if text == "" {
		if !commented && r.option != "" {
			r.lines = append(r.lines, "")
		}
		return nil
	}
	indent := strings.IndexFunc(line, func(c rune) bool { return !unicode.IsSpace(c) })
	if r.option != "" && indent > r.indent {
		r.lines = append(r.lines, text)
		return nil
	}
	r.indent = indent
	r.endOption()
	if end := strings.LastIndexByte(text, ']'); text[0] == '[' && end > 1 {
		r.section(text[1:end])
		return nil
	}
	if r.options == nil {
		return errors.New("no section header before this line") // not quoted: it may hold a secret
	}
	at := strings.IndexAny(text, "=:")
	if at < 1 {
		return errors.New("neither a section nor an option")
	}
	r.option = strings.ToLower(strings.TrimSpace(text[:at]))
	r.lines = []string{strings.TrimSpace(text[at+1:])}
	return nil
}

func (r *reader) section(name string) {
	if name == "DEFAULT" {
		r.options = r.defaults
		return
	}
	if !r.has(name) {
		r.names = append(r.names, name)
		r.sections[name] = map[string]string{}
		r.files[name] = r.file
	}
	r.options = r.sections[name]
}

func (r *reader) endOption() {
	if r.option != "" {
		r.options[r.option] = strings.TrimRightFunc(strings.Join(r.lines, "\n"), unicode.IsSpace)
	}
	r.option, r.lines = "", nil
}

// withoutComment cuts a line at the first ; or # that starts the line or
// follows a blank.
func withoutComment(line string) (text string, commented bool) {
	blank := true
	for i, c := range line {
		if (c == ';' || c == '#') && blank {
			return line[:i], true
		}
		blank = unicode.IsSpace(c)
	}
	return line, false
}
