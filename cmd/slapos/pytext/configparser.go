// SPDX-License-Identifier: GPL-3.0-or-later

package pytext

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"slapos/slap"
)

// ParseConfiguration reads the dialect of Python's ConfigParser with its
// defaults: strict, no inline comments, empty lines in values (CLI-22). Beyond
// it, a byte order mark is skipped. The error names file and line.
func ParseConfiguration(path string, data []byte) (*Configuration, error) {
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("%s is not UTF-8 text", path)
	}
	text := strings.TrimPrefix(string(data), "\ufeff")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	p := &parser{
		read: &Configuration{path: path, sections: map[string]map[string]string{}, defaults: map[string]string{}},
		seen: map[string]bool{},
	}
	for number, line := range strings.Split(text, "\n") {
		if err := p.line(line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, number+1, err)
		}
	}
	p.endKey()
	return p.read, nil
}

// A parser holds the place that the next line is read in.
type parser struct {
	read    *Configuration // so far
	section string
	values  map[string]string // of the section; nil before the first header
	key     string            // of the value that goes on; "" for none
	value   []string
	indent  int             // of the line with the key
	seen    map[string]bool // section and key, for duplicates
}

func (p *parser) line(line string) error {
	text := slap.PythonStrip(line)
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
		return errors.New("a line comes before any [section]") // not quoted: it may hold a secret
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
		p.values = p.read.defaults
		return nil
	}
	if p.read.Has(name) {
		return fmt.Errorf("section [%s] occurs twice", name)
	}
	p.values = map[string]string{}
	p.read.sections[name] = p.values
	p.read.order = append(p.read.order, name)
	return nil
}

// entry reads "key = value" or "key: value".
func (p *parser) entry(text string) error {
	p.endKey()
	i := strings.IndexAny(text, "=:")
	if i < 0 {
		return errors.New("the line is neither a [section] nor a key = value")
	}
	key := lower(slap.PythonStrip(text[:i]))
	if key == "" {
		return errors.New("the line has no key before its = or :")
	}
	id := p.section + "\x00" + key
	if p.seen[id] {
		return fmt.Errorf("key %s occurs twice in section [%s]", key, p.section)
	}
	p.seen[id] = true
	p.key, p.value = key, []string{slap.PythonStrip(text[i+1:])}
	return nil
}

func (p *parser) endKey() {
	if p.key != "" {
		p.values[p.key] = strings.TrimRightFunc(strings.Join(p.value, "\n"), slap.IsPythonSpace)
	}
	p.key, p.value = "", nil
}

// lower is Python's str.lower, which keeps the dot of a capital dotted i.
func lower(text string) string {
	return strings.ToLower(strings.ReplaceAll(text, "\u0130", "i\u0307"))
}

const (
	interpolationDepth = 10      // ConfigParser's own limit
	interpolationSteps = 100_000 // references of one value; they multiply from level to level
	interpolationSize  = 1 << 24 // bytes of one value
)

// interpolate resolves the references of a value: %% and %(key)s. Its errors quote
// nothing of the value, which may be a password.
func interpolate(values map[string]string, key string) (string, error) {
	i := interpolation{values: values}
	err := i.resolve(key, 1)
	return i.text.String(), err
}

type interpolation struct {
	values map[string]string
	text   strings.Builder // resolved so far
	steps  int
}

// resolve adds the value of a key to the text.
func (i *interpolation) resolve(key string, depth int) error {
	value := i.values[key]
	rest := value
	if depth > interpolationDepth {
		return errors.New("% references form a loop or nest too deep")
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
			return fmt.Errorf("a %% must be written %%%%, or begin a reference %%(key)s: character %d of the value%s",
				utf8.RuneCountInString(value)-utf8.RuneCountInString(after), i.of(key, depth))
		}
		referred := lower(name[1:])
		text, known := i.values[referred]
		switch {
		case !known && strings.ContainsFunc(referred, notInKeys):
			return fmt.Errorf("a %% must be written %%%%, and %%(key)s names a key that exists: character %d of the value%s",
				utf8.RuneCountInString(value)-utf8.RuneCountInString(after), i.of(key, depth))
		case !known:
			return fmt.Errorf("the reference %%%s)s names a key that does not exist", name)
		case !strings.Contains(text, "%"):
			i.text.WriteString(text)
		default:
			if err := i.resolve(referred, depth+1); err != nil {
				return err
			}
		}
		rest = tail
	}
}

// notInKeys reports whether a character never occurs in keys: a name with it
// may be part of a password.
func notInKeys(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-.", r)
}

// of names the key of the value, unless it is the one that was asked for.
func (i *interpolation) of(key string, depth int) string {
	if depth == 1 {
		return ""
	}
	return " of " + key
}
