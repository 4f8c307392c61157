package format

import (
	"bytes"
	"fmt"
	"strings"
)

// indentXML lays a compact document out as the computer file is: each element
// on its own line, two blanks more per level, empty elements as <x/>, ASCII
// only (FMT-74). The document is one that slap.Marshal made: elements hold
// either elements or text, and < and > stand only around tags.
func indentXML(document []byte) []byte {
	var out bytes.Buffer
	depth := 0
	line := func(parts ...string) {
		for range depth {
			out.WriteString("  ")
		}
		for _, part := range parts {
			writeASCII(&out, part)
		}
		out.WriteByte('\n')
	}
	for text := string(document); ; {
		open := strings.IndexByte(text, '<')
		if open < 0 {
			return out.Bytes()
		}
		end := open + strings.IndexByte(text[open:], '>') + 1
		tag, rest := text[open:end], text[end:]
		switch content, closing, found := leaf(tag, rest); {
		case strings.HasPrefix(tag, "</"):
			depth--
			line(tag)
			text = rest
		case strings.HasSuffix(tag, "/>"):
			line(tag)
			text = rest
		case found && content == "":
			line(tag[:len(tag)-1], "/>")
			text = rest[len(closing):]
		case found:
			line(tag, content, closing)
			text = rest[len(content)+len(closing):]
		default:
			line(tag)
			depth++
			text = rest
		}
	}
}

// leaf returns the text of the element that tag opens and its closing tag, if
// it holds no other elements.
func leaf(tag, rest string) (content, closing string, found bool) {
	content, _, _ = strings.Cut(rest, "<")
	name, _, _ := strings.Cut(strings.Trim(tag, "</>"), " ")
	closing = "</" + name + ">"
	return content, closing, strings.HasPrefix(rest[len(content):], closing)
}

// writeASCII writes other characters by their numbers.
func writeASCII(out *bytes.Buffer, text string) {
	for _, r := range text {
		if r >= 0x80 {
			text = numbered(text)
			break
		}
	}
	out.WriteString(text)
}

func numbered(text string) string {
	var out strings.Builder
	for _, r := range text {
		if r < 0x80 {
			out.WriteByte(byte(r))
		} else {
			fmt.Fprintf(&out, "&#%d;", r)
		}
	}
	return out.String()
}
