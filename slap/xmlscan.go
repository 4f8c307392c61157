// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// scanner reads an XML document token by token, without building a tree. It
// checks that the document is well-formed, ignores namespaces, and resolves
// character references and the entities of the internal subset. External
// entities are refused, and what entities expand to is bounded.
type scanner struct {
	src      []byte
	pos      int
	outer    []source // the inputs suspended while an entity is read
	open     [][]byte // names of the open elements
	entities map[string]entity
	declared int    // bytes of their declarations
	expanded int    // bytes that entities expanded to so far
	attrs    []attr // of the last start tag
	pending  bool   // the end of an empty element tag is due
	rooted   bool   // the root element was met
}

// source is an input suspended for an entity, or the entity itself.
type source struct {
	src   []byte
	pos   int
	depth int // number of open elements where the entity began
}

type attr struct {
	name  []byte // as written, with its prefix
	value []byte
}

type tokenKind int

const (
	endOfDocument tokenKind = iota
	startElement
	endElement
	characters // text, possibly one piece of several
	otherNode  // comment or processing instruction
)

type token struct {
	kind tokenKind
	name []byte // as written, with its prefix
	text []byte // valid until the next token
}

// Bounds on entities: what their declarations may have and what they may expand
// to, in all, and how deep they may refer to one another.
const (
	maxDeclarations = 1 << 20
	maxExpansion    = 1 << 20
	maxEntityDepth  = 16
)

// maxConverted bounds documents in other encodings than UTF-8, which are copied.
const maxConverted = 16 << 20

var errNotWellFormed = errors.New("not well-formed XML")

func newScanner(data []byte) (*scanner, error) {
	data, err := toUTF8(data)
	if err != nil {
		return nil, err
	}
	return &scanner{src: data}, nil
}

func (s *scanner) fail(format string, args ...any) error {
	return fmt.Errorf("%w: byte %d: %w", errNotWellFormed, s.pos, fmt.Errorf(format, args...))
}

func (s *scanner) has(prefix string) bool {
	return len(s.src)-s.pos >= len(prefix) && string(s.src[s.pos:s.pos+len(prefix)]) == prefix
}

func (s *scanner) next() (token, error) {
	if s.pending {
		s.pending = false
		return s.closeElement(s.open[len(s.open)-1])
	}
	for {
		if s.pos >= len(s.src) {
			if done, err := s.endOfInput(); err != nil || done {
				return token{kind: endOfDocument}, err
			}
			continue
		}
		t, ready, err := s.node()
		if err != nil || ready {
			return t, err
		}
	}
}

// node reads what stands at the current position; ready is false for what
// gives no token: the document type, and an entity, whose text becomes the
// input.
func (s *scanner) node() (t token, ready bool, err error) {
	switch c := s.src[s.pos]; {
	case c == '&':
		t, err = s.reference()
		return t, t.kind == characters, err
	case c != '<':
		t, err = s.text()
	case s.has("</"):
		t, err = s.endTag()
	case s.has("<!--"):
		t, err = token{kind: otherNode}, s.comment()
	case s.has("<![CDATA["):
		t, err = s.cdata()
	case s.has("<!DOCTYPE"):
		return t, false, s.doctype()
	case s.has("<?"):
		t, err = token{kind: otherNode}, s.instruction()
	default:
		t, err = s.startTag()
	}
	return t, true, err
}

// endOfInput goes back to the input around an entity, or ends the document.
func (s *scanner) endOfInput() (done bool, err error) {
	if len(s.outer) == 0 {
		if len(s.open) > 0 {
			return false, s.fail("element %.100s is not closed", s.open[len(s.open)-1])
		}
		if !s.rooted {
			return false, s.fail("no element found")
		}
		return true, nil
	}
	last := s.outer[len(s.outer)-1]
	if last.depth != len(s.open) {
		return false, s.fail("an entity holds half an element")
	}
	s.outer = s.outer[:len(s.outer)-1]
	s.src, s.pos = last.src, last.pos
	return false, nil
}

func (s *scanner) text() (token, error) {
	start := s.pos
	for s.pos < len(s.src) {
		c := s.src[s.pos]
		switch {
		case asciiPlain[c] && c != ']':
			s.pos++
		case c == '<' || c == '&':
			return s.textToken(s.src[start:s.pos])
		case c == ']' && s.has("]]>"):
			return token{}, s.fail("]]> in text")
		case c == '\r':
			return s.lineEnd(start)
		case c == '>' || c == ']':
			s.pos++
		default:
			if err := s.character(); err != nil {
				return token{}, err
			}
		}
	}
	return s.textToken(s.src[start:s.pos])
}

// lineEnd ends a piece of text before a CR, or reads it: CR and CR LF are
// line feeds.
func (s *scanner) lineEnd(start int) (token, error) {
	if s.pos > start {
		return s.textToken(s.src[start:s.pos])
	}
	s.pos++
	if s.pos < len(s.src) && s.src[s.pos] == '\n' {
		s.pos++
	}
	return s.textToken([]byte{'\n'})
}

// character steps over one character that is not plain ASCII.
func (s *scanner) character() error {
	r, size := utf8.DecodeRune(s.src[s.pos:])
	if r == utf8.RuneError && size <= 1 || !isXMLCharacter(r) {
		return s.fail("%w", errForbidden(string(s.src[s.pos:s.pos+1]), r, size))
	}
	s.pos += size
	return nil
}

func (s *scanner) textToken(text []byte) (token, error) {
	if len(s.open) == 0 && len(bytes.Trim(text, " \t\r\n")) > 0 {
		return token{}, s.fail("text outside the root element")
	}
	return token{kind: characters, text: text}, nil
}

// reference reads what starts with '&': a character, which comes back as
// text, or an entity, whose text becomes the input.
func (s *scanner) reference() (token, error) {
	r, name, err := s.referenceName()
	if err != nil {
		return token{}, err
	}
	if name == "" {
		if len(s.open) == 0 {
			return token{}, s.fail("text outside the root element")
		}
		return token{kind: characters, text: utf8.AppendRune(nil, r)}, nil
	}
	if len(s.open) == 0 {
		return token{}, s.fail("entity outside the root element")
	}
	text, err := s.expand(name, len(s.outer))
	if err != nil {
		return token{}, err
	}
	s.outer = append(s.outer, source{src: s.src, pos: s.pos, depth: len(s.open)})
	s.src, s.pos = []byte(text), 0
	return token{}, nil
}

// referenceName reads a reference: to the character r, or to the named
// entity.
func (s *scanner) referenceName() (r rune, name string, err error) {
	end := bytes.IndexByte(s.src[s.pos:], ';')
	if end < 0 || end > 256 {
		return 0, "", s.fail("unfinished reference")
	}
	body := s.src[s.pos+1 : s.pos+end]
	switch string(body) {
	case "lt":
		r = '<'
	case "gt":
		r = '>'
	case "amp":
		r = '&'
	case "quot":
		r = '"'
	case "apos":
		r = '\''
	default:
		if len(body) > 0 && body[0] == '#' {
			if r, err = s.characterReference(body[1:]); err != nil {
				return 0, "", err
			}
			break
		}
		if nameLength(body) != len(body) || len(body) == 0 {
			return 0, "", s.fail("malformed reference")
		}
		name = string(body)
	}
	s.pos += end + 1
	return r, name, nil
}

func (s *scanner) characterReference(digits []byte) (rune, error) {
	base := 10
	if len(digits) > 0 && digits[0] == 'x' {
		base, digits = 16, digits[1:]
	}
	if len(digits) == 0 || digits[0] == '+' || digits[0] == '-' {
		return 0, s.fail("malformed character reference")
	}
	n, err := strconv.ParseInt(string(digits), base, 32)
	if err != nil || !isXMLCharacter(rune(n)) {
		return 0, s.fail("reference to a character that XML cannot carry")
	}
	return rune(n), nil
}

func (s *scanner) comment() error {
	body := s.src[s.pos+4:]
	end := bytes.Index(body, []byte("--"))
	if end < 0 || !bytes.HasPrefix(body[end:], []byte("-->")) {
		return s.fail("malformed comment")
	}
	if err := s.checkCharacters(body[:end]); err != nil {
		return err
	}
	s.pos += 4 + end + 3
	return nil
}

func (s *scanner) instruction() error {
	body := s.src[s.pos+2:]
	n := nameLength(body)
	end := bytes.Index(body, []byte("?>"))
	if n == 0 || end < n || bytes.EqualFold(body[:n], []byte("xml")) || end > n && !isSpace(body[n]) {
		return s.fail("malformed processing instruction")
	}
	if err := s.checkCharacters(body[:end]); err != nil {
		return err
	}
	s.pos += 2 + end + 2
	return nil
}

func (s *scanner) cdata() (token, error) {
	if len(s.open) == 0 {
		return token{}, s.fail("text outside the root element")
	}
	const opening = len("<![CDATA[")
	body := s.src[s.pos+opening:]
	end := bytes.Index(body, []byte("]]>"))
	if end < 0 {
		return token{}, s.fail("unfinished CDATA")
	}
	text := body[:end]
	if err := s.checkCharacters(text); err != nil {
		return token{}, err
	}
	s.pos += opening + end + 3
	if bytes.IndexByte(text, '\r') >= 0 {
		text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
		text = bytes.ReplaceAll(text, []byte("\r"), []byte("\n"))
	}
	return token{kind: characters, text: text}, nil
}

func (s *scanner) checkCharacters(text []byte) error {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size <= 1 || !isXMLCharacter(r) {
			return s.fail("%w", errForbidden(string(text[i:i+1]), r, size))
		}
		i += size
	}
	return nil
}

func (s *scanner) space() (skipped bool) {
	for s.pos < len(s.src) && isSpace(s.src[s.pos]) {
		s.pos++
		skipped = true
	}
	return skipped
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// nameLength is the length of the XML name that b starts with, 0 for none.
func nameLength(b []byte) int {
	for i := 0; i < len(b); {
		c := b[i]
		switch {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == ':':
			i++
		case i > 0 && (c >= '0' && c <= '9' || c == '-' || c == '.'):
			i++
		case c >= 0x80:
			r, size := utf8.DecodeRune(b[i:])
			if !isNameRune(r, i == 0) {
				return i
			}
			i += size
		default:
			return i
		}
	}
	return len(b)
}

// isNameRune reports whether a character outside ASCII may stand in a name,
// by the rules of XML 1.0, fifth edition.
func isNameRune(r rune, first bool) bool {
	switch {
	case r == 0xB7, r >= 0x300 && r <= 0x36F, r == 0x203F, r == 0x2040:
		return !first
	case r >= 0xC0 && r <= 0x1FFF:
		return r != 0xD7 && r != 0xF7 && r != 0x37E
	}
	return r == 0x200C || r == 0x200D || r >= 0x2070 && r <= 0x218F || r >= 0x2C00 && r <= 0x2FEF ||
		r >= 0x3001 && r <= 0xD7FF || r >= 0xF900 && r <= 0xFDCF || r >= 0xFDF0 && r <= 0xFFFC ||
		r >= 0x10000 && r <= 0xEFFFF
}

// localName strips the prefix of a name.
func localName(name []byte) []byte { return name[bytes.LastIndexByte(name, ':')+1:] }
