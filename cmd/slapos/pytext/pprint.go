// SPDX-License-Identifier: GPL-3.0-or-later

package pytext

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"slapos/slap"
)

// PPrint is Python's pprint.pformat of a value of the slap protocol: its
// literal, on several lines when it is wider than 80 columns (CLI-53).
func PPrint(value any) string {
	var p prettyPrinter
	p.format(value, 0, 0, 0)
	return p.String()
}

const pprintWidth = 80

type prettyPrinter struct{ strings.Builder }

// format writes a value that begins at column indent and is followed by
// allowance more characters on its last line.
func (p *prettyPrinter) format(value any, indent, allowance, level int) {
	text := slap.PythonRepr(value)
	if utf8.RuneCountInString(text) <= pprintWidth-indent-allowance {
		p.WriteString(text)
		return
	}
	switch value := value.(type) {
	case slap.Dict:
		p.dict(value, indent, allowance, level+1)
	case []any:
		p.list(value, indent, allowance, level+1)
	case string:
		p.text(value, indent, allowance, level+1)
	default:
		p.WriteString(text)
	}
}

func (p *prettyPrinter) dict(d slap.Dict, indent, allowance, level int) {
	p.WriteString("{")
	keys := slices.Sorted(maps.Keys(d))
	for i, key := range keys {
		text := slap.PythonRepr(key) + ": "
		p.WriteString(text)
		follows := 1
		if i == len(keys)-1 {
			follows = allowance + 1
		}
		p.format(d[key], indent+1+utf8.RuneCountInString(text), follows, level)
		if i < len(keys)-1 {
			p.newline(",", indent+1)
		}
	}
	p.WriteString("}")
}

func (p *prettyPrinter) list(list []any, indent, allowance, level int) {
	p.WriteString("[")
	for i, item := range list {
		follows := 1
		if i == len(list)-1 {
			follows = allowance + 1
		}
		p.format(item, indent+1, follows, level)
		if i < len(list)-1 {
			p.newline(",", indent+1)
		}
	}
	p.WriteString("]")
}

func (p *prettyPrinter) newline(after string, indent int) {
	p.WriteString(after + "\n" + strings.Repeat(" ", indent))
}

// text writes a long text as adjacent literals, broken after line ends, then
// after blanks.
func (p *prettyPrinter) text(text string, indent, allowance, level int) {
	if level == 1 {
		indent, allowance = indent+1, allowance+1
	}
	width := pprintWidth - indent
	var chunks []string
	lines := slap.PythonLines(text)
	for i, line := range lines {
		last := 0
		if i == len(lines)-1 {
			last = allowance
		}
		if reprLength(line) <= width-last {
			chunks = append(chunks, line)
		} else {
			chunks = append(chunks, fillLines(line, width, last)...)
		}
	}
	if len(chunks) == 1 {
		p.WriteString(slap.PythonRepr(chunks[0]))
		return
	}
	if level == 1 {
		p.WriteString("(")
	}
	for i, chunk := range chunks {
		if i > 0 {
			p.newline("", indent)
		}
		p.WriteString(slap.PythonRepr(chunk))
	}
	if level == 1 {
		p.WriteString(")")
	}
}

// fillLines joins the words of a line, each with the blanks that follow it, to
// chunks as wide as possible; last is what must stay free after the last word.
func fillLines(line string, width, last int) []string {
	var chunks []string
	current := ""
	words := splitWords(line)
	for i, word := range words {
		if i == len(words)-1 {
			width -= last
		}
		if reprLength(current+word) <= width {
			current += word
			continue
		}
		if current != "" {
			chunks = append(chunks, current)
		}
		current = word
	}
	if current != "" {
		chunks = append(chunks, current)
	}
	return chunks
}

func reprLength(text string) int { return utf8.RuneCountInString(slap.PythonRepr(text)) }

// splitWords cuts before each non-blank that follows a blank.
func splitWords(text string) []string {
	var words []string
	begin, blank := 0, false
	for i, r := range text {
		space := slap.IsPythonSpace(r)
		if blank && !space {
			words = append(words, text[begin:i])
			begin = i
		}
		blank = space
	}
	return append(words, text[begin:])
}
