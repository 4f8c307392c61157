// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"
)

// MaxDepth is how deep values may nest, in both directions and formats. The
// original fails near the same depth, where Python's stack overflows.
const MaxDepth = 512

// ErrTooDeep is the error for values that nest deeper than [MaxDepth].
var ErrTooDeep = fmt.Errorf("value nests deeper than %d levels", MaxDepth)

// Marshal writes a value as a <marshal> document: one line of ASCII without XML
// declaration, byte for byte the original's.
//
// Lists, dictionaries, sets and entities are numbered. If the same one (the
// same map, pointer or non-empty slice) occurs again, it becomes a reference.
// The original cannot read references to entities, so don't use one twice.
//
// It fails for types outside the table in the package comment, for text that is
// not valid UTF-8 or has characters that XML cannot carry, and for values
// nested deeper than [MaxDepth].
func Marshal(v any) ([]byte, error) {
	e := encoders.Get().(*encoder)
	defer e.release()
	e.raw("<marshal>")
	if err := e.value(v); err != nil {
		return nil, err
	}
	e.raw("</marshal>")
	return bytes.Clone(e.out), nil
}

// encoders are reused for their memory: the answer about a large computer grows
// to megabytes, and servers write them one after the other.
var encoders = sync.Pool{New: func() any { return &encoder{next: 1} }}

// maxKept is the largest buffer that is reused.
const maxKept = 16 << 20

func (e *encoder) release() {
	if cap(e.out) > maxKept {
		return
	}
	clear(e.ids)
	clear(e.keys[:cap(e.keys)])
	*e = encoder{out: e.out[:0], ids: e.ids, next: 1, keys: e.keys[:0]}
	encoders.Put(e)
}

type encoder struct {
	out   []byte
	ids   map[identity]int
	next  int // the last number used (SLAP-12)
	depth int
	keys  []string // scratch: the keys of the dictionaries being written
}

func (e *encoder) raw(s string) { e.out = append(e.out, s...) }

func (e *encoder) value(v any) error {
	switch v := v.(type) {
	case nil:
		e.raw("<none/>")
	case string:
		return e.text(v)
	case []byte:
		return e.text(string(v))
	case State:
		return e.text(string(v))
	case bool:
		if v {
			e.raw("<bool>1</bool>")
		} else {
			e.raw("<bool>0</bool>")
		}
	case int:
		e.integer(int64(v))
	case int64:
		e.integer(v)
	case float64:
		e.raw("<float>")
		e.out = appendFloat(e.out, v)
		e.raw("</float>")
	case complex128:
		e.raw("<complex>")
		e.out = append(appendFloat(e.out, real(v)), ' ')
		e.out = appendFloat(e.out, imag(v))
		e.raw("</complex>")
	default:
		return e.rare(v)
	}
	return nil
}

func (e *encoder) rare(v any) error {
	if n := toBig(v); n != nil {
		e.bigInteger(n)
		return nil
	}
	if n, ok := v.(json.Number); ok {
		f, err := ParsePythonFloat(n.String())
		if err != nil {
			return err
		}
		return e.value(f)
	}
	return e.nested(v)
}

func (e *encoder) nested(v any) error {
	if e.depth >= MaxDepth {
		return ErrTooDeep
	}
	e.depth++
	defer func() { e.depth-- }()
	switch v := v.(type) {
	case Tuple:
		return e.sequence("tuple", v)
	case []any, *List, []string, Set, Dict, map[string]string, *Map:
		if e.reference(v) {
			return nil
		}
		return e.container(v)
	case *Computer, *Partition, *SoftwareRelease, *Instance:
		return e.entity(v)
	}
	return fmt.Errorf("Refusing to marshall %T", v) //nolint:staticcheck,revive // SLAP-17, the original's text
}

func (e *encoder) container(v any) error {
	switch v := v.(type) {
	case []any:
		return e.sequence("list", v)
	case *List:
		return e.sequence("list", v.Items)
	case []string:
		return e.sequence("list", anySlice(v))
	case Set:
		return e.sequence("set", v)
	case Dict:
		return encodeDict(e, v, e.value)
	case map[string]string:
		return encodeDict(e, v, e.text)
	case *Map:
		return e.anyKeys(v)
	}
	return nil
}

// reference numbers a container the first time, and writes a reference to it
// every other time.
func (e *encoder) reference(v any) (written bool) {
	id := identityOf(v)
	if number, seen := e.ids[id]; seen {
		e.raw(`<reference id="i`)
		e.out = strconv.AppendInt(e.out, int64(number), 10)
		e.raw(`"/>`)
		return true
	}
	e.next++
	if id != (identity{}) {
		if e.ids == nil {
			e.ids = make(map[identity]int, 16)
		}
		e.ids[id] = e.next
	}
	return false
}

// begin opens an element, with the number of the current container, except for
// tuples, which have none.
func (e *encoder) begin(name string) {
	e.out = append(append(e.out, '<'), name...)
	if name != "tuple" {
		e.raw(` id="i`)
		e.out = strconv.AppendInt(e.out, int64(e.next), 10)
		e.out = append(e.out, '"')
	}
}

func (e *encoder) end(name string) {
	e.raw("</")
	e.raw(name)
	e.out = append(e.out, '>')
}

func (e *encoder) sequence(name string, items []any) error {
	e.begin(name)
	if len(items) == 0 {
		e.raw("/>")
		return nil
	}
	e.out = append(e.out, '>')
	for _, item := range items {
		if err := e.value(item); err != nil {
			return err
		}
	}
	e.end(name)
	return nil
}

// encodeDict writes a dictionary sorted by key (SLAP-14).
func encodeDict[V any](e *encoder, d map[string]V, value func(V) error) error {
	e.begin("dictionary")
	if len(d) == 0 {
		e.raw("/>")
		return nil
	}
	e.out = append(e.out, '>')
	first := len(e.keys)
	for key := range d {
		e.keys = append(e.keys, key)
	}
	last := len(e.keys)
	slices.Sort(e.keys[first:last])
	for i := first; i < last; i++ {
		key := e.keys[i]
		if err := e.text(key); err != nil {
			return err
		}
		if err := value(d[key]); err != nil {
			return underKey(key, err)
		}
	}
	e.keys = e.keys[:first]
	e.end("dictionary")
	return nil
}

func (e *encoder) anyKeys(m *Map) error {
	e.begin("dictionary")
	if m.Len() == 0 {
		e.raw("/>")
		return nil
	}
	e.out = append(e.out, '>')
	for _, key := range m.sortedKeys() {
		if err := e.value(key); err != nil {
			return err
		}
		value, _ := m.Get(key)
		if err := e.value(value); err != nil {
			return underKey(PythonRepr(key), err)
		}
	}
	e.end("dictionary")
	return nil
}

// underKey adds the key to an error.
func underKey(key string, err error) error {
	if errors.Is(err, ErrTooDeep) {
		return err
	}
	return fmt.Errorf("%q: %w", key, err)
}

func (e *encoder) integer(n int64) {
	e.raw("<int>")
	e.out = strconv.AppendInt(e.out, n, 10)
	e.raw("</int>")
}

// longFrom is the magnitude from which integers are <long> (SLAP-11): 1e24 as a
// float, slightly less than 10^24.
var longFrom, _ = new(big.Int).SetString("999999999999999983222784", 10)

func (e *encoder) bigInteger(n *big.Int) {
	name := "int"
	if n.CmpAbs(longFrom) >= 0 {
		name = "long"
	}
	e.out = append(append(append(e.out, '<'), name...), '>')
	e.out = n.Append(e.out, 10)
	e.end(name)
}

func (e *encoder) text(s string) error {
	e.raw("<string>")
	if err := e.characters(s); err != nil {
		return err
	}
	e.raw("</string>")
	return nil
}

// characters writes text, escaped twice (SLAP-15).
func (e *encoder) characters(s string) error {
	plain := 0 // start of the text that needs no escape
	for i := 0; i < len(s); {
		c := s[i]
		if asciiPlain[c] {
			i++
			continue
		}
		e.out = append(e.out, s[plain:i]...)
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case c == '&':
			e.raw("&amp;amp;")
		case c == '<':
			e.raw("&amp;lt;")
		case c == '>':
			e.raw("&amp;gt;")
		case !isXMLCharacter(r) || r == utf8.RuneError && size == 1:
			return errForbidden(s[i:], r, size)
		default:
			e.raw("&#")
			e.out = strconv.AppendInt(e.out, int64(r), 10)
			e.out = append(e.out, ';')
		}
		i += size
		plain = i
	}
	e.out = append(e.out, s[plain:]...)
	return nil
}

// asciiPlain marks the bytes that stand for themselves.
var asciiPlain = func() (plain [256]bool) {
	plain['\t'], plain['\n'] = true, true
	for c := ' '; c <= 0x7f; c++ {
		plain[c] = c != '&' && c != '<' && c != '>'
	}
	return plain
}()

// isXMLCharacter reports whether XML 1.0 can carry r.
func isXMLCharacter(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r <= 0xD7FF ||
		r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 && r <= 0x10FFFF
}

func errForbidden(s string, r rune, size int) error {
	if r == utf8.RuneError && size <= 1 {
		return fmt.Errorf("text holds the byte 0x%02X, %w", s[0], ErrNotUTF8)
	}
	return fmt.Errorf("text holds the character U+%04X, which XML cannot carry", r)
}
