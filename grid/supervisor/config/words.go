// SPDX-License-Identifier: GPL-3.0-or-later

package config

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// SplitCommand splits a command line into words as Python's shlex.split does:
// at blanks, respecting quotes and backslashes, expanding nothing.
func SplitCommand(line string) ([]string, error) {
	const (
		between = iota
		bare
		single
		double
	)
	var words []string
	var word strings.Builder
	state := between
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case state == single && c != '\'', state == double && c != '"' && c != '\\':
			word.WriteByte(c)
		case state == single || state == double && c == '"':
			state = bare
		case c == '\\':
			if i++; i == len(line) {
				return nil, errors.New("no escaped character")
			}
			if state == double && line[i] != '"' && line[i] != '\\' {
				word.WriteByte('\\')
			}
			if state == between {
				state = bare
			}
			word.WriteByte(line[i])
		case strings.IndexByte(" \t\r\n", c) >= 0:
			if state == bare {
				words = append(words, word.String())
				word.Reset()
			}
			state = between
		case c == '\'':
			state = single
		case c == '"':
			state = double
		default:
			state = bare
			word.WriteByte(c)
		}
	}
	switch state {
	case single, double:
		return nil, errors.New("no closing quotation")
	case bare:
		words = append(words, word.String())
	}
	return words, nil
}

// wordCharacters may appear in a bare word of environment=.
const wordCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/.+-():"

// tokens splits the value of environment= as Python's shlex does in its old
// mode: bare words, quoted texts with their quotes, other characters one by
// one.
func tokens(text string) ([]string, error) {
	var all []string
	for i := 0; i < len(text); {
		c := text[i]
		start := i
		switch {
		case strings.IndexByte(" \t\r\n", c) >= 0:
			i++
			continue
		case c == '#':
			for i < len(text) && text[i] != '\n' {
				i++
			}
			continue
		case c == '\'' || c == '"':
			end := strings.IndexByte(text[i+1:], c)
			if end < 0 {
				return nil, errors.New("no closing quotation")
			}
			i += end + 2
		default:
			_, size := utf8.DecodeRuneInString(text[i:])
			i += size
			bare := strings.IndexByte(wordCharacters, c) >= 0
			for bare && i < len(text) && strings.IndexByte(wordCharacters+`'"`, text[i]) >= 0 {
				i++
			}
		}
		all = append(all, text[start:i])
	}
	return all, nil
}

// pairs reads KEY=value,KEY="value, quoted".
func pairs(text string) (map[string]string, error) {
	all, err := tokens(text)
	if err != nil {
		return nil, err
	}
	environment := map[string]string{}
	for ; len(all) > 0; all = all[min(4, len(all)):] { // the fourth is the comma
		if len(all) < 3 || all[1] != "=" {
			return nil, errors.New("unexpected end of key/value pairs in value '" + text + "'")
		}
		environment[all[0]] = strings.Trim(all[2], `'"`)
	}
	return environment, nil
}
