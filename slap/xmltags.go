// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"bytes"
	"unicode/utf8"
)

func (s *scanner) startTag() (token, error) {
	if len(s.open) == 0 && s.rooted {
		return token{}, s.fail("second root element")
	}
	n := nameLength(s.src[s.pos+1:])
	if n == 0 {
		return token{}, s.fail("malformed tag")
	}
	name := s.src[s.pos+1 : s.pos+1+n]
	s.pos += 1 + n
	s.attrs = s.attrs[:0]
	for {
		spaced := s.space()
		switch {
		case s.has(">"):
			s.pos++
		case s.has("/>"):
			s.pos += 2
			s.pending = true
		case spaced:
			if err := s.attribute(); err != nil {
				return token{}, err
			}
			continue
		default:
			return token{}, s.fail("malformed tag")
		}
		s.rooted = true
		s.open = append(s.open, name)
		return token{kind: startElement, name: name}, nil
	}
}

func (s *scanner) endTag() (token, error) {
	n := nameLength(s.src[s.pos+2:])
	name := s.src[s.pos+2 : s.pos+2+n]
	s.pos += 2 + n
	s.space()
	if !s.has(">") {
		return token{}, s.fail("malformed end tag")
	}
	s.pos++
	return s.closeElement(name)
}

func (s *scanner) closeElement(name []byte) (token, error) {
	last := len(s.open) - 1
	if last < 0 || !bytes.Equal(s.open[last], name) {
		return token{}, s.fail("end tag %.100s without its start", name)
	}
	if n := len(s.outer); n > 0 && s.outer[n-1].depth > last {
		return token{}, s.fail("an entity holds half an element")
	}
	s.open = s.open[:last]
	return token{kind: endElement, name: name}, nil
}

func (s *scanner) attribute() error {
	n := nameLength(s.src[s.pos:])
	if n == 0 {
		return s.fail("malformed attribute")
	}
	name := s.src[s.pos : s.pos+n]
	s.pos += n
	s.space()
	if !s.has("=") {
		return s.fail("attribute %.100s without value", name)
	}
	s.pos++
	s.space()
	value, err := s.quoted()
	if err != nil {
		return err
	}
	for _, a := range s.attrs {
		if bytes.Equal(a.name, name) {
			return s.fail("attribute %.100s given twice", name)
		}
	}
	if len(s.attrs) >= maxAttributes {
		return s.fail("more than %d attributes", maxAttributes)
	}
	if !isPlainAttribute(value) {
		if value, err = s.attributeValue(value, 0); err != nil {
			return err
		}
	}
	s.attrs = append(s.attrs, attr{name, value})
	return nil
}

// isPlainAttribute reports whether a literal stands for itself, as nearly all
// do.
func isPlainAttribute(literal []byte) bool {
	for _, c := range literal {
		if !asciiPlain[c] || c < ' ' {
			return false
		}
	}
	return true
}

// maxAttributes keeps the search for repeated attributes short; the formats
// need three.
const maxAttributes = 64

// quoted reads a literal between quotes and returns what is inside.
func (s *scanner) quoted() ([]byte, error) {
	if !s.has(`"`) && !s.has("'") {
		return nil, s.fail("quote expected")
	}
	end := bytes.IndexByte(s.src[s.pos+1:], s.src[s.pos])
	if end < 0 {
		return nil, s.fail("unfinished literal")
	}
	literal := s.src[s.pos+1 : s.pos+1+end]
	s.pos += end + 2
	return literal, nil
}

// attributeValue resolves the references in an attribute's literal and turns
// white space into spaces.
func (s *scanner) attributeValue(literal []byte, depth int) ([]byte, error) {
	inner := &scanner{src: literal, entities: s.entities, expanded: s.expanded}
	var value []byte
	for inner.pos < len(literal) {
		switch c := literal[inner.pos]; {
		case c == '<':
			return nil, s.fail("< in an attribute")
		case c == '&':
			r, name, err := inner.referenceName()
			if err != nil {
				return nil, err
			}
			if name == "" {
				value = utf8.AppendRune(value, r)
				continue
			}
			text, err := inner.expand(name, depth)
			if err != nil {
				return nil, err
			}
			text, err = inner.attributeValue(text, depth+1)
			if err != nil {
				return nil, err
			}
			value = append(value, text...)
		case c == '\r' && bytes.HasPrefix(literal[inner.pos:], []byte("\r\n")):
			inner.pos++
		case isSpace(c):
			value = append(value, ' ')
			inner.pos++
		default:
			start := inner.pos
			if err := inner.character(); err != nil {
				return nil, err
			}
			value = append(value, literal[start:inner.pos]...)
		}
	}
	s.expanded = inner.expanded
	return value, nil
}

// get returns the attribute of the given local name from the last start tag.
func (s *scanner) get(local string) (value []byte, ok bool) {
	for _, a := range s.attrs {
		if string(localName(a.name)) == local {
			return a.value, true
		}
	}
	return nil, false
}
