// SPDX-License-Identifier: GPL-3.0-or-later

package schema

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// Bounds for the description of mismatches: each line could hold a whole value
// and what the schema wants, and there could be one per value.
const (
	maximumMismatches = 1000
	maximumLine       = 4000 // bytes
	maximumText       = 300  // of it, a value
	maximumNames      = 100
)

var errLong = errors.New("it is long")

// shortened is a value cut to a readable length.
func shortened(text string) string { return cut(text, maximumText) }

func cut(text string, end int) string {
	if len(text) <= end {
		return text
	}
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// small is a kind of error that takes little memory to describe.
func small(is jsonschema.ErrorKind) jsonschema.ErrorKind {
	switch is := is.(type) {
	case *kind.Enum:
		return &kind.Enum{Got: smallValue(is.Got), Want: smallList(is.Want)}
	case *kind.Const:
		return &kind.Const{Got: smallValue(is.Got), Want: smallValue(is.Want)}
	case *kind.Format:
		if text, ok := is.Got.(string); ok && len(text) > maximumText {
			return &kind.Format{Got: shortened(text), Want: is.Want, Err: errLong} // its own holds all
		}
	case *kind.Pattern:
		return &kind.Pattern{Got: shortened(is.Got), Want: shortened(is.Want)}
	case *kind.PropertyNames:
		return &kind.PropertyNames{Property: shortened(is.Property)}
	case *kind.AdditionalProperties:
		return &kind.AdditionalProperties{Properties: smallNames(is.Properties)}
	case *kind.Required:
		return &kind.Required{Missing: smallNames(is.Missing)}
	case *kind.Dependency:
		return &kind.Dependency{Prop: shortened(is.Prop), Missing: smallNames(is.Missing)}
	case *kind.DependentRequired:
		return &kind.DependentRequired{Prop: shortened(is.Prop), Missing: smallNames(is.Missing)}
	}
	return is
}

func smallNames(names []string) []string {
	short := make([]string, 0, maximumNames+1)
	for _, name := range names[:min(len(names), maximumNames)] {
		short = append(short, shortened(name))
	}
	if more := len(names) - len(short); more > 0 {
		short = append(short, fmt.Sprintf("… %d more", more))
	}
	return short
}

func smallList(values []any) []any {
	short := make([]any, 0, maximumNames+1)
	for _, value := range values[:min(len(values), maximumNames)] {
		short = append(short, smallValue(value))
	}
	if more := len(values) - len(short); more > 0 {
		short = append(short, fmt.Sprintf("… %d more", more))
	}
	return short
}

// smallValue keeps texts and numbers; the library only says of other values
// that they are lists or objects.
func smallValue(value any) any {
	if text, ok := value.(string); ok {
		return shortened(text)
	}
	return value
}
