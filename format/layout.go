// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"bytes"
	"fmt"
	"slices"
	"unicode/utf8"

	"slapos/slap/pyjson"
)

// indentXML formats a compact document as the computer file: each element on
// its own line, two blanks more per level, empty elements as <x/>, ASCII only
// (FMT-74). slap.Marshal made the document: elements contain either elements or
// text, and < and > only occur in tags.
func indentXML(document []byte) []byte {
	out := make([]byte, 0, 2*len(document))
	for text, depth := numbered(document), 0; ; {
		open := bytes.IndexByte(text, '<')
		if open < 0 {
			return out
		}
		text = text[open:]
		length := bytes.IndexByte(text, '>') + 1
		isClosing := bytes.HasPrefix(text, []byte("</"))
		if isClosing {
			depth--
		}
		for range depth {
			out = append(out, "  "...)
		}
		switch content := leaf(text, length); {
		case content == 0:
			out = append(append(out, text[:length-1]...), "/>"...)
			length += length + len("/") // of both tags
		case content > 0:
			closing := length + content
			length = closing + bytes.IndexByte(text[closing:], '>') + 1
			out = append(out, text[:length]...)
		default:
			out = append(out, text[:length]...)
			if !isClosing && text[length-2] != '/' {
				depth++
			}
		}
		out = append(out, '\n')
		text = text[length:]
	}
}

// leaf returns the length of the text in an element. The element's tag has the
// given length and starts document. leaf returns -1 if the tag doesn't open an
// element with only text.
func leaf(document []byte, tag int) int {
	name, _, _ := bytes.Cut(document[1:tag-1], []byte(" "))
	content := bytes.IndexByte(document[tag:], '<')
	if content < 0 || document[tag-2] == '/' {
		return -1
	}
	closing, found := bytes.CutPrefix(document[tag+content:], []byte("</"))
	if !found || !bytes.HasPrefix(closing, name) || closing[len(name)] != '>' {
		return -1
	}
	return content
}

// numbered writes characters beyond ASCII as character references.
func numbered(document []byte) []byte {
	isWide := func(b byte) bool { return b >= utf8.RuneSelf }
	if !slices.ContainsFunc(document, isWide) {
		return document
	}
	var out []byte
	for _, r := range string(document) {
		if r < utf8.RuneSelf {
			out = append(out, byte(r))
		} else {
			out = fmt.Appendf(out, "&#%d;", r)
		}
	}
	return out
}

// pythonJSON writes a value of a document as Python's
// json.dumps(sort_keys=True, indent=...) does, so that both programs write
// identical files.
func pythonJSON(value any, indent string) []byte {
	text, err := pyjson.Indented(indent).Append(nil, value)
	if err != nil {
		panic(err) // we made the documents
	}
	return text
}
