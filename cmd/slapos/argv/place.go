// SPDX-License-Identifier: GPL-3.0-or-later

package argv

import "github.com/urfave/cli/v2"

// A Place is the position of a shell's cursor: in a command, at the value of an
// option or after some arguments.
type Place struct {
	Path      []string
	Command   *cli.Command      // nil before the end of its name
	Option    cli.Flag          // whose value stands at the cursor, or nil
	Arguments []string          // before the cursor
	Values    map[string]string // of the options before it, by their first names
}

// PlaceOf reads words like Read, but refuses none: the line is not finished
// yet. The last word is the one at the cursor.
func PlaceOf(commands []*cli.Command, global []cli.Flag, words []string) Place {
	if len(words) > 0 {
		words = words[:len(words)-1]
	}
	r := &reader{line: &Line{}, words: words, global: global}
	if r.command(commands) != nil || r.line.Command == nil {
		return Place{}
	}
	p := Place{Path: r.line.Path, Command: r.line.Command, Values: map[string]string{}}
	for _, word := range r.words {
		if r.isOption(word) {
			p.Option = nil
			if f, rest, err := r.find(word); err == nil && f != nil && TakesValue(f) && rest == "" {
				p.Option = f
			}
			continue
		}
		if p.Option == nil {
			p.Arguments = append(p.Arguments, word)
			continue
		}
		p.Values[p.Option.Names()[0]] = word
		if _, several := p.Option.(*WordsFlag); !several {
			p.Option = nil
		}
	}
	return p
}
