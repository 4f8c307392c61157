// SPDX-License-Identifier: GPL-3.0-or-later

package schema

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Bounds for a regular expression. Counted repetitions make a long one of a few
// letters, and a match takes a multiple of that.
const (
	maximumPattern      = 2000 // bytes
	maximumInstructions = 20_000
	instructionsPerStep = 256 // per match
)

// engine compiles the patterns of a schema, and of values that must be
// patterns. A match takes its steps from the budget before it begins, since it
// can't be interrupted.
func (b *budget) engine(text string) (jsonschema.Regexp, error) {
	if len(text) > maximumPattern {
		return nil, fmt.Errorf("a pattern of more than %d bytes", maximumPattern)
	}
	if conditions, rest := lookaheads(text); len(conditions) > 0 {
		return b.conditional(text, conditions, rest)
	}
	return b.plain(text, fromPython(text))
}

// plain compiles a pattern without conditions. The text is how its author wrote
// it.
func (b *budget) plain(name, text string) (*pattern, error) {
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, err
	}
	if len(program.Inst) > maximumInstructions {
		return nil, errors.New("it repeats too much")
	}
	compiled, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	return &pattern{compiled, name, b, len(program.Inst)}, nil
}

type pattern struct {
	*regexp.Regexp
	text         string
	budget       *budget
	instructions int
}

func (p *pattern) String() string { return p.text }

func (p *pattern) MatchString(text string) bool {
	if p.budget.ctx != nil {
		p.budget.spend(1 + p.instructions*(1+len(text))/instructionsPerStep)
	}
	return p.Regexp.MatchString(text)
}

// fromPython writes what Python writes in another way.
func fromPython(text string) string {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			out.WriteByte(text[i])
			continue
		}
		switch i++; {
		case text[i] == 'Z':
			out.WriteString(`\z`)
		case text[i] == 'u' && i+4 < len(text):
			out.WriteString(`\x{` + text[i+1:i+5] + `}`)
			i += 4
		default:
			out.WriteByte('\\')
			out.WriteByte(text[i])
		}
	}
	return out.String()
}

// condition is a look ahead from the beginning of a text.
type condition struct {
	text   string
	absent bool
}

// lookaheads takes a pattern apart that begins with ^ and looks ahead from
// there, as ^(?!-)[a-z-]+$ does: that needs no way back.
func lookaheads(text string) (conditions []condition, rest string) {
	rest, anchored := strings.CutPrefix(text, "^")
	if !anchored {
		return nil, ""
	}
	for strings.HasPrefix(rest, "(?!") || strings.HasPrefix(rest, "(?=") {
		end, _ := groupEnd(rest)
		if end < 0 {
			return nil, ""
		}
		conditions = append(conditions, condition{rest[3:end], rest[2] == '!'})
		rest = rest[end+1:]
	}
	if _, alternatives := groupEnd("(" + rest + ")"); alternatives {
		return nil, ""
	}
	return conditions, rest
}

// groupEnd finds the parenthesis that ends the group at the beginning of a
// text, and tells whether alternatives are in that group itself.
func groupEnd(text string) (end int, alternatives bool) {
	depth, class := 0, -1
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case class >= 0:
			if c == ']' && i > class+1 && !(i == class+2 && text[i-1] == '^') {
				class = -1
			}
		case c == '[':
			class = i
		case c == '(':
			depth++
		case c == '|':
			alternatives = alternatives || depth == 1
		case c == ')':
			if depth--; depth == 0 {
				return i, alternatives
			}
		}
	}
	return -1, alternatives
}

func (b *budget) conditional(text string, conditions []condition, rest string) (jsonschema.Regexp, error) {
	whole, err := b.plain(text, fromPython("^(?:"+rest+")"))
	if err != nil {
		return nil, err
	}
	c := &conditional{pattern: whole}
	for _, condition := range conditions {
		ahead, err := b.plain(text, fromPython("^(?:"+condition.text+")"))
		if err != nil {
			return nil, err
		}
		c.ahead, c.absent = append(c.ahead, ahead), append(c.absent, condition.absent)
	}
	return c, nil
}

type conditional struct {
	*pattern
	ahead  []*pattern
	absent []bool
}

func (c *conditional) MatchString(text string) bool {
	for i, ahead := range c.ahead {
		if ahead.MatchString(text) == c.absent[i] {
			return false
		}
	}
	return c.pattern.MatchString(text)
}
