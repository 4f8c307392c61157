// SPDX-License-Identifier: GPL-3.0-or-later

package pyjson

import (
	"fmt"
	"strconv"
	"strings"

	"slapos/slap"
)

// Bounds for untrusted texts. Python has the one for digits, and its stack ends
// near a thousand levels.
const (
	maxDigits = 4300
	maxValues = 250_000
)

// A BoundsError says that a text is too expensive to read.
type BoundsError struct{ text string }

func (e *BoundsError) Error() string { return e.text }

func boundsErrorf(format string, limit int) error {
	return &BoundsError{fmt.Sprintf(format, limit)}
}

// Bounded says why a JSON text is too expensive to read: many levels or digits
// take more time than their length suggests, many small values more memory. It
// accepts texts that aren't JSON.
func Bounded[T string | []byte](text T) error {
	depth, values := 0, 1
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case c == '[' || c == '{':
			depth++
			values++
		case c == ']' || c == '}':
			depth--
		case c == ',':
			values++
		case c >= '0' && c <= '9':
			begin := i
			for i+1 < len(text) && strings.IndexByte("0123456789+-.eE", text[i+1]) >= 0 {
				i++
			}
			if i-begin >= maxDigits || tooLarge(string(text[begin:i+1])) {
				return boundsErrorf("the JSON text has a number of more than %d digits", maxDigits)
			}
		}
		if depth > slap.MaxDepth {
			return boundsErrorf("the JSON text nests deeper than %d levels", slap.MaxDepth)
		}
		if values > maxValues {
			return boundsErrorf("the JSON text has more than %d values", maxValues)
		}
	}
	return nil
}

// tooLarge reports whether a number would have too many digits if written out.
func tooLarge(number string) bool {
	at := strings.IndexAny(number, "eE")
	if at < 0 {
		return false
	}
	exponent, err := strconv.Atoi(number[at+1:])
	return err == nil && (exponent > maxDigits || exponent < -maxDigits) || err != nil && len(number)-at > 4
}
