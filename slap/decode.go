// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// maxShared bounds how many values references may add to those that the
// document spells out. Without it, a short document could describe a value that
// takes forever to walk.
const maxShared = 1 << 20

// maxValues bounds the values of a document. Each takes up to 320 bytes while it
// is read, which may be 50 times its XML.
const maxValues = 2_000_000

// Unmarshal reads the value of a <marshal> document. It accepts any well-formed
// XML (SLAP-20): it ignores namespaces, resolves entities of the internal
// subset within bounds, refuses external ones, and reads text escaped once or
// twice as the same value. Memory is proportional to the input, which may have
// 2,000,000 values.
//
// It fails for anything but exactly one value, for values nested deeper than
// [MaxDepth], and for classes outside the protocol.
func Unmarshal(data []byte) (any, error) {
	s, err := newScanner(data)
	if err != nil {
		return nil, fmt.Errorf("unmarshall: %w", err)
	}
	d := decoder{scanner: s}
	v, err := d.document()
	if err != nil {
		return nil, fmt.Errorf("unmarshall: %w", err)
	}
	return v, nil
}

type decoder struct {
	*scanner
	text       []byte // scratch: the text of a scalar
	interned   map[string]any
	stack      []any // children of the containers being read
	containers map[string]*container
	spare      []container // containers are allocated in blocks
	depth      int
	values     int // values read, including those that references repeat
	shared     int // those that references repeat
}

// container is a list, dictionary, set or entity to which references may refer.
type container struct {
	value any   // the target of references, once closed
	list  *List // for a reference inside the list itself
	dict  *Map  // the same for a dictionary
	open  bool
	kind  string
	size  int // number of values inside, including itself
}

// document reads to the end of the input. Only <marshal> elements may surround
// the value, and none may be inside it (SLAP-23).
func (d *decoder) document() (value any, err error) {
	found := false
	for {
		t, err := d.next()
		switch {
		case err != nil:
			return nil, err
		case t.kind == endOfDocument && !found:
			return nil, errors.New("document holds no value")
		case t.kind == endOfDocument:
			return value, nil
		case t.kind != startElement:
			continue
		case string(localName(t.name)) == "marshal" && !found:
			if d.depth++; d.depth > MaxDepth {
				return nil, ErrTooDeep
			}
			continue
		case found:
			return nil, errors.New("document holds more than one value")
		}
		if value, err = d.value(t); err != nil {
			return nil, err
		}
		found = true
	}
}

// value reads the element that t starts, to its end.
func (d *decoder) value(t token) (any, error) {
	if d.depth >= MaxDepth {
		return nil, ErrTooDeep
	}
	d.depth++
	defer func() { d.depth-- }()
	if d.values++; d.values-d.shared > maxValues {
		return nil, fmt.Errorf("more than %d values", maxValues)
	}
	switch string(localName(t.name)) {
	case "string", "unicode":
		text, err := d.scalar()
		return d.string(text), err
	case "int", "long":
		return parseScalar(d, "int", parseInteger)
	case "bool":
		return parseScalar(d, "bool", parseBool)
	case "float":
		return parseScalar(d, "float", ParsePythonFloat)
	case "complex":
		return parseScalar(d, "complex", parseComplex)
	case "none":
		_, err := d.scalar()
		return nil, err
	case "tuple":
		items, err := d.children()
		return Tuple(items), err
	case "list":
		return d.container("list", listValue)
	case "set":
		return d.container("set", setValue)
	case "dictionary":
		return d.container("dictionary", dictValue)
	case "object":
		return d.object()
	case "reference":
		return d.reference()
	}
	return nil, fmt.Errorf("element %.100s is not known", localName(t.name))
}

// scalar reads the text of an element that has no children.
func (d *decoder) scalar() ([]byte, error) {
	d.text = d.text[:0]
	for {
		t, err := d.next()
		switch {
		case err != nil:
			return nil, err
		case t.kind == characters:
			d.text = append(d.text, t.text...)
		case t.kind == startElement:
			return nil, fmt.Errorf("element %.100s inside a scalar", t.name)
		case t.kind == endElement:
			return d.text, nil
		}
	}
}

func parseScalar[T any](d *decoder, name string, parse func(string) (T, error)) (any, error) {
	text, err := d.scalar()
	if err != nil {
		return nil, err
	}
	v, err := parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return v, nil
}

// children reads the values inside the current element, to its end.
func (d *decoder) children() ([]any, error) {
	base := len(d.stack)
	for {
		t, err := d.next()
		switch {
		case err != nil:
			return nil, err
		case t.kind == startElement:
			v, err := d.value(t)
			if err != nil {
				return nil, err
			}
			d.stack = append(d.stack, v)
		case t.kind == endElement:
			items := make([]any, len(d.stack)-base)
			copy(items, d.stack[base:])
			clear(d.stack[base:])
			d.stack = d.stack[:base]
			return items, nil
		}
	}
}

// container reads a container; build makes its value of the children.
func (d *decoder) container(kind string, build func(*container, []any) (any, error)) (any, error) {
	c := d.register(kind)
	before := d.values
	items, err := d.children()
	if err != nil {
		return nil, err
	}
	value, err := build(c, items)
	if err != nil {
		return nil, err
	}
	c.value, c.open, c.size = value, false, d.values-before+1
	return value, nil
}

// register records the container that the last start tag opens, so that
// references can refer to it.
func (d *decoder) register(kind string) *container {
	if len(d.spare) == 0 {
		d.spare = make([]container, 64)
	}
	c := &d.spare[0]
	d.spare = d.spare[1:]
	c.kind, c.open = kind, true
	if id, ok := d.get("id"); ok {
		if d.containers == nil {
			d.containers = map[string]*container{}
		}
		d.containers[string(id)] = c
	}
	return c
}

func (d *decoder) reference() (any, error) {
	id, _ := d.get("id")
	c := d.containers[string(id)]
	if c == nil {
		return nil, fmt.Errorf("reference to unknown id %.100q", id)
	}
	if _, err := d.scalar(); err != nil {
		return nil, err
	}
	if c.open {
		switch c.kind {
		case "list":
			if c.list == nil {
				c.list = &List{}
			}
			return c.list, nil
		case "dictionary":
			if c.dict == nil {
				c.dict = &Map{}
			}
			return c.dict, nil
		case "set":
			return nil, errors.New("a set cannot hold itself")
		}
		return c.value, nil // an entity
	}
	d.values += c.size
	if d.shared += c.size; d.shared > maxShared {
		return nil, fmt.Errorf("references repeat more than %d values", maxShared)
	}
	return c.value, nil
}

func listValue(c *container, items []any) (any, error) {
	if c.list != nil {
		c.list.Items = items
		return c.list, nil
	}
	return items, nil
}

func setValue(_ *container, items []any) (any, error) {
	set := make(Set, 0, len(items))
	seen := make(map[any]bool, len(items))
	for _, item := range items {
		key, err := hashKey(item)
		if err != nil {
			return nil, fmt.Errorf("set: %w", err)
		}
		if !seen[key] {
			seen[key] = true
			set = append(set, item)
		}
	}
	return set, nil
}

func dictValue(c *container, items []any) (any, error) {
	if len(items)%2 != 0 {
		return nil, errors.New("dictionary with a key without value")
	}
	if c.dict == nil && !slices.ContainsFunc(items, isOddKey(items)) {
		d := make(Dict, len(items)/2)
		for i := 0; i < len(items); i += 2 {
			d[items[i].(string)] = items[i+1]
		}
		return d, nil
	}
	m := c.dict
	if m == nil {
		m = &Map{}
	}
	for i := 0; i < len(items); i += 2 {
		if err := m.Set(items[i], items[i+1]); err != nil {
			return nil, fmt.Errorf("dictionary: %w", err)
		}
	}
	return m, nil
}

// isOddKey returns a function to call for each item of alternating keys and
// values, which reports keys that aren't text.
func isOddKey(items []any) func(any) bool {
	i := -1
	return func(item any) bool {
		i++
		_, isText := item.(string)
		return i%2 == 0 && !isText
	}
}

// Short texts are mostly names of attributes, which repeat: the first ones are
// kept and shared.
const (
	maxInternedLength = 64
	maxInterned       = 1024
)

func (d *decoder) string(text []byte) any {
	if v, ok := d.interned[string(text)]; ok {
		return v
	}
	var v any = unescape(text)
	if len(text) <= maxInternedLength && len(d.interned) < maxInterned {
		if d.interned == nil {
			d.interned = map[string]any{}
		}
		d.interned[string(text)] = v
	}
	return v
}

// unescape reverses the inner escaping of SLAP-15. Texts may be large, so it
// makes one copy.
func unescape(text []byte) string {
	at := bytes.IndexByte(text, '&')
	if at < 0 {
		return string(text)
	}
	var b strings.Builder
	b.Grow(len(text))
	for ; at >= 0; at = bytes.IndexByte(text, '&') {
		b.Write(text[:at])
		text = text[at:]
		length, plain := 1, byte('&')
		switch {
		case bytes.HasPrefix(text, []byte("&gt;")):
			length, plain = len("&gt;"), '>'
		case bytes.HasPrefix(text, []byte("&lt;")):
			length, plain = len("&lt;"), '<'
		case bytes.HasPrefix(text, []byte("&amp;")):
			length = len("&amp;")
		}
		b.WriteByte(plain)
		text = text[length:]
	}
	b.Write(text)
	return b.String()
}

// maxDigits bounds integers, whose parsing takes more than linear time. It is
// the bound of Python's int().
const maxDigits = 4300

// parseInteger reads what Python's int() reads. The result is an int, or a
// *big.Int if it does not fit.
func parseInteger(text string) (any, error) {
	digits, err := pythonDigits(text)
	if err != nil {
		return nil, err
	}
	if n, err := strconv.Atoi(digits); err == nil {
		return n, nil
	}
	unsigned := strings.TrimLeft(digits, "+-")
	if len(unsigned) == 0 || len(digits)-len(unsigned) > 1 || strings.Trim(unsigned, "0123456789") != "" {
		return nil, fmt.Errorf("%.40q is not an integer", text)
	}
	if len(unsigned) > maxDigits {
		return nil, fmt.Errorf("integer of more than %d digits", maxDigits)
	}
	n, _ := new(big.Int).SetString(digits, 10)
	return n, nil
}

// pythonDigits removes what Python allows around and inside the digits of a
// number: white space around them, and single underscores between them.
func pythonDigits(text string) (string, error) {
	s := strings.TrimSpace(text)
	if strings.IndexByte(s, '_') < 0 {
		return s, nil
	}
	for i := range len(s) {
		if s[i] == '_' && (i == 0 || i == len(s)-1 || !isDigit(s[i-1]) || !isDigit(s[i+1])) {
			return "", fmt.Errorf("%.40q is not a number", text)
		}
	}
	return strings.ReplaceAll(s, "_", ""), nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func parseBool(text string) (bool, error) {
	n, err := parseInteger(text)
	return n != 0, err
}

// ParsePythonFloat reads what Python's float() reads: overflow gives an
// infinity, hexadecimal is refused.
func ParsePythonFloat(text string) (float64, error) {
	s, err := pythonDigits(text)
	if err != nil {
		return 0, err
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || strings.ContainsAny(s, "xXpP") {
		return 0, fmt.Errorf("%.40q is not a number", text)
	}
	return f, nil
}

func parseComplex(text string) (complex128, error) {
	parts := strings.Fields(text)
	if len(parts) < 2 {
		return 0, errors.New("two numbers expected")
	}
	re, err := ParsePythonFloat(parts[0])
	if err != nil {
		return 0, err
	}
	im, err := ParsePythonFloat(parts[1])
	if err != nil {
		return 0, err
	}
	return complex(re, im), nil
}
