// SPDX-License-Identifier: GPL-3.0-or-later

package schema

import (
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
)

// maximumWords bounds the words that a pattern is told in, maximumWays the ways
// that are tried to find them.
const (
	maximumWords = 16
	maximumWays  = 1000
)

// patternWords says in words which texts a pattern matches, if there are few or
// they begin alike; else it names the pattern.
func patternWords(pattern string) string {
	switch pattern {
	case `^\S+$`:
		return "must be one word, without blanks"
	case `^.+$`, `.+`, `^.+`:
		return "must not be empty"
	case `^[0-9]+$`, `^\d+$`:
		return "must have digits only"
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil || len(pattern) > maximumText {
		return patternNamed(pattern)
	}
	branches := []*syntax.Regexp{parsed}
	if parsed.Op == syntax.OpAlternate {
		branches = parsed.Sub
	}
	var texts words
	for _, branch := range branches {
		if sequence := flatten(branch); sequence[0].Op != syntax.OpBeginText || !texts.follow(sequence[1:], "") {
			return patternNamed(pattern)
		}
	}
	if slices.Contains(texts.beginnings, "empty") {
		return patternNamed(pattern)
	}
	var choices []string
	if len(texts.whole) > 0 {
		choices = append(choices, orList(texts.whole))
	}
	if len(texts.beginnings) > 0 {
		choices = append(choices, "begin with "+orList(texts.beginnings))
	}
	sentence := "must " + strings.Join(choices, " or ")
	if len(texts.whole) > 0 {
		sentence = "must be " + strings.Join(choices, " or ")
	}
	if texts.folded {
		sentence += ", in small or capital letters"
	}
	return sentence
}

func patternNamed(pattern string) string { return "must match the pattern " + shortened(pattern) }

// words are the texts that a pattern matches, or their beginnings.
type words struct {
	whole, beginnings []string
	folded            bool
	ways              int
}

// follow adds the texts that a sequence of expressions makes after others; false
// if they are too many, or not all known.
func (w *words) follow(sequence []*syntax.Regexp, before string) bool {
	if w.ways++; w.ways > maximumWays {
		return false
	}
	if len(sequence) == 0 {
		return w.add(&w.beginnings, before)
	}
	head, rest := sequence[0], sequence[1:]
	switch head.Op {
	case syntax.OpEndText:
		return len(rest) == 0 && w.add(&w.whole, before)
	case syntax.OpEmptyMatch:
		return w.follow(rest, before)
	case syntax.OpLiteral:
		text := string(head.Rune)
		if folded := strings.ToLower(text); head.Flags&syntax.FoldCase != 0 {
			w.folded = w.folded || folded != strings.ToUpper(text)
			text = folded
		}
		return w.follow(rest, before+text)
	case syntax.OpCharClass:
		for i := 0; i < len(head.Rune); i += 2 {
			for r := head.Rune[i]; r <= head.Rune[i+1]; r++ {
				if small := unicode.ToLower(r); small != r && holds(head, small) {
					w.folded = true
				} else if !w.follow(rest, before+string(r)) {
					return false
				}
			}
		}
		return true
	case syntax.OpAlternate:
		for _, one := range head.Sub {
			if !w.follow(slices.Concat(flatten(one), rest), before) {
				return false
			}
		}
		return true
	case syntax.OpConcat, syntax.OpCapture:
		return w.follow(slices.Concat(flatten(head), rest), before)
	case syntax.OpQuest:
		return w.follow(rest, before) && w.follow(slices.Concat(flatten(head.Sub[0]), rest), before)
	case syntax.OpStar, syntax.OpPlus:
		anything := head.Sub[0].Op == syntax.OpAnyChar || head.Sub[0].Op == syntax.OpAnyCharNotNL
		return anything && (len(rest) == 0 || len(rest) == 1 && rest[0].Op == syntax.OpEndText) && w.add(&w.beginnings, before)
	}
	return false
}

// holds reports whether a class of characters has one.
func holds(class *syntax.Regexp, r rune) bool {
	for i := 0; i < len(class.Rune); i += 2 {
		if class.Rune[i] <= r && r <= class.Rune[i+1] {
			return true
		}
	}
	return false
}

func (w *words) add(to *[]string, text string) bool {
	if text == "" {
		text = "empty"
	}
	if !slices.Contains(*to, text) {
		*to = append(*to, text)
	}
	return len(*to) <= maximumWords
}

// flatten is an expression as a sequence.
func flatten(re *syntax.Regexp) []*syntax.Regexp {
	switch re.Op {
	case syntax.OpCapture:
		return flatten(re.Sub[0])
	case syntax.OpConcat:
		var all []*syntax.Regexp
		for _, one := range re.Sub {
			all = append(all, flatten(one)...)
		}
		return all
	}
	return []*syntax.Regexp{re}
}
