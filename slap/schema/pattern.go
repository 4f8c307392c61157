// SPDX-License-Identifier: GPL-3.0-or-later

package schema

import (
	"fmt"
	"regexp"
	"regexp/syntax"

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
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, err
	}
	if len(program.Inst) > maximumInstructions {
		return nil, fmt.Errorf("the pattern %s repeats too much", shortened(text))
	}
	compiled, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	return &pattern{compiled, b, len(program.Inst)}, nil
}

type pattern struct {
	*regexp.Regexp
	budget       *budget
	instructions int
}

func (p *pattern) MatchString(text string) bool {
	if p.budget.ctx != nil {
		p.budget.spend(1 + p.instructions*(1+len(text))/instructionsPerStep)
	}
	return p.Regexp.MatchString(text)
}
