// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// entity is a general entity of the internal subset.
type entity struct {
	text     []byte
	external bool
}

// expand returns the text of an entity that is referred to at the given depth
// of entities.
func (s *scanner) expand(name string, depth int) ([]byte, error) {
	e, ok := s.entities[name]
	switch {
	case !ok:
		return nil, s.fail("entity %s is not declared", name)
	case e.external:
		return nil, s.fail("entity %s is external", name)
	case depth >= maxEntityDepth:
		return nil, s.fail("entity %s is nested too deep or holds itself", name)
	}
	s.expanded += len(e.text) + 1
	if s.expanded > maxExpansion {
		return nil, s.fail("entities expand to more than %d bytes", maxExpansion)
	}
	return e.text, nil
}

// doctype reads a document type declaration. Only the entities of its
// internal subset matter; nothing external is ever read.
func (s *scanner) doctype() error {
	if s.rooted || len(s.outer) > 0 {
		return s.fail("misplaced DOCTYPE")
	}
	s.pos += len("<!DOCTYPE")
	if !s.space() || nameLength(s.src[s.pos:]) == 0 {
		return s.fail("malformed DOCTYPE")
	}
	for s.pos < len(s.src) {
		switch c := s.src[s.pos]; c {
		case '>':
			s.pos++
			return nil
		case '"', '\'':
			if _, err := s.quoted(); err != nil {
				return err
			}
		case '[':
			s.pos++
			if err := s.internalSubset(); err != nil {
				return err
			}
		case '<', ']', '&':
			return s.fail("malformed DOCTYPE")
		default:
			s.pos++
		}
	}
	return s.fail("unfinished DOCTYPE")
}

func (s *scanner) internalSubset() error {
	for s.pos < len(s.src) {
		s.space()
		var err error
		switch {
		case s.has("]"):
			s.pos++
			return nil
		case s.has("<!--"):
			err = s.comment()
		case s.has("<?"):
			err = s.instruction()
		case s.has("<!ENTITY"):
			err = s.entityDeclaration()
		case s.has("<!ELEMENT"), s.has("<!ATTLIST"), s.has("<!NOTATION"):
			err = s.skipDeclaration()
		case s.has("%"): // a parameter entity: its declarations are not read
			end := bytes.IndexByte(s.src[s.pos:], ';')
			if end < 2 || nameLength(s.src[s.pos+1:]) != end-1 {
				return s.fail("malformed parameter entity")
			}
			s.pos += end + 1
		default:
			return s.fail("malformed DOCTYPE")
		}
		if err != nil {
			return err
		}
	}
	return s.fail("unfinished DOCTYPE")
}

// skipDeclaration steps over a declaration to its '>' outside literals.
func (s *scanner) skipDeclaration() error {
	for s.pos < len(s.src) {
		switch s.src[s.pos] {
		case '>':
			s.pos++
			return nil
		case '"', '\'':
			if _, err := s.quoted(); err != nil {
				return err
			}
		default:
			s.pos++
		}
	}
	return s.fail("unfinished declaration")
}

func (s *scanner) entityDeclaration() error {
	start := s.pos
	s.pos += len("<!ENTITY")
	spaced := s.space()
	parameter := s.has("%")
	if parameter {
		s.pos++
		spaced = s.space()
	}
	n := nameLength(s.src[s.pos:])
	name := s.src[s.pos : s.pos+n]
	s.pos += n
	if !spaced || n == 0 || !s.space() {
		return s.fail("malformed entity declaration")
	}
	declared := entity{external: !s.has(`"`) && !s.has("'")}
	var literal []byte
	var err error
	if !declared.external {
		if literal, err = s.quoted(); err != nil {
			return err
		}
	}
	if s.declared += s.pos - start; s.declared > maxDeclarations {
		return s.fail("entities are declared in more than %d bytes", maxDeclarations)
	}
	if !declared.external {
		if declared.text, err = s.entityText(literal); err != nil {
			return err
		}
		if s.space(); !s.has(">") {
			return s.fail("malformed entity declaration")
		}
	}
	if _, known := s.entities[string(name)]; !known && !parameter { // the first declaration counts
		if s.entities == nil {
			s.entities = map[string]entity{}
		}
		s.entities[string(name)] = declared
	}
	return s.skipDeclaration()
}

// entityText resolves the character references in the literal of an entity;
// others are resolved where the entity is used.
func (s *scanner) entityText(literal []byte) ([]byte, error) {
	if err := s.checkCharacters(literal); err != nil {
		return nil, err
	}
	inner := &scanner{src: literal}
	var text []byte
	for inner.pos < len(literal) {
		c := literal[inner.pos]
		switch {
		case c == '%':
			return nil, s.fail("parameter entity inside an entity")
		case c == '&' && inner.has("&#"):
			r, _, err := inner.referenceName()
			if err != nil {
				return nil, err
			}
			text = utf8.AppendRune(text, r)
		default:
			text = append(text, c)
			inner.pos++
		}
	}
	return text, nil
}

// toUTF8 converts a document from the encoding that its first bytes or its
// declaration tell, and takes the declaration off. Known are UTF-8 and, up to
// maxConverted bytes, UTF-16 and the single-byte encodings.
func toUTF8(data []byte) ([]byte, error) {
	var err error
	wide := true
	switch {
	case bytes.HasPrefix(data, []byte("\xFF\xFE")):
		data, err = fromUTF16(data[2:], binary.LittleEndian)
	case bytes.HasPrefix(data, []byte("\xFE\xFF")):
		data, err = fromUTF16(data[2:], binary.BigEndian)
	case bytes.HasPrefix(data, []byte("<\x00")):
		data, err = fromUTF16(data, binary.LittleEndian)
	case bytes.HasPrefix(data, []byte("\x00<")):
		data, err = fromUTF16(data, binary.BigEndian)
	default:
		data, wide = bytes.TrimPrefix(data, []byte("\xEF\xBB\xBF")), false
	}
	if err != nil {
		return nil, err
	}
	name, end, err := declaredEncoding(data)
	if err != nil {
		return nil, err
	}
	data = data[end:]
	plain := plainName(name)
	if wide || plain == "" || plain == "utf8" || plain == "usascii" || plain == "ascii" {
		return data, nil
	}
	for _, e := range charmap.All {
		if c, ok := e.(*charmap.Charmap); ok && plainName(c.String()) == plain {
			if len(data) > maxConverted {
				return nil, errTooLargeToConvert
			}
			return c.NewDecoder().Bytes(data)
		}
	}
	return nil, fmt.Errorf("%w: unknown encoding %.40q", errNotWellFormed, name)
}

var errTooLargeToConvert = fmt.Errorf("more than %d MiB that are not UTF-8", maxConverted>>20)

func fromUTF16(data []byte, order binary.ByteOrder) ([]byte, error) {
	if len(data) > maxConverted {
		return nil, errTooLargeToConvert
	}
	if len(data)%2 != 0 {
		return nil, fmt.Errorf("%w: half a UTF-16 character", errNotWellFormed)
	}
	text := make([]byte, 0, len(data))
	for i := 0; i < len(data); i += 2 {
		r := rune(order.Uint16(data[i:]))
		if utf16.IsSurrogate(r) {
			if i+4 > len(data) {
				return nil, fmt.Errorf("%w: half a UTF-16 pair", errNotWellFormed)
			}
			i += 2
			if r = utf16.DecodeRune(r, rune(order.Uint16(data[i:]))); r == utf8.RuneError {
				return nil, fmt.Errorf("%w: half a UTF-16 pair", errNotWellFormed)
			}
		}
		text = utf8.AppendRune(text, r)
	}
	return text, nil
}

var xmlDeclaration = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^<\?xml\s+version\s*=\s*(?:"[\w.:-]+"|'[\w.:-]+')` +
		`(?:\s+encoding\s*=\s*(?:"([A-Za-z][\w.-]*)"|'([A-Za-z][\w.-]*)'))?` +
		`(?:\s+standalone\s*=\s*(?:"(?:yes|no)"|'(?:yes|no)'))?\s*\?>`)
})

// declaredEncoding returns the encoding that an XML declaration names, "" for
// none, and where the declaration ends.
func declaredEncoding(data []byte) (name string, end int, err error) {
	if !bytes.HasPrefix(data, []byte("<?xml")) || len(data) > 5 && !isSpace(data[5]) {
		return "", 0, nil
	}
	found := xmlDeclaration().FindSubmatch(data)
	if found == nil {
		return "", 0, fmt.Errorf("%w: malformed XML declaration", errNotWellFormed)
	}
	return string(found[1]) + string(found[2]), len(found[0]), nil
}

// plainName strips an encoding's name of what people write differently.
func plainName(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(name))
}
