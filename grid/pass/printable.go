// SPDX-License-Identifier: GPL-3.0-or-later

package pass

import (
	"strconv"
	"strings"
	"unicode"
)

// Printable escapes control characters as Go does, "\x1b" for one, except tabs
// and line ends: the output of builds reaches terminals (GRID-106).
func Printable(text string) string {
	isControl := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }
	if !strings.ContainsFunc(text, isControl) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if isControl(r) {
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
