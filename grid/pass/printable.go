// SPDX-License-Identifier: GPL-3.0-or-later

package pass

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// forged is the beginning of a line of the log in the middle of a message.
var forged = regexp.MustCompile(`\n(\[?\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)`)

// colour is what compilers and tools put around words for terminals; the K is
// that of gcc and grep.
var colour = regexp.MustCompile(`\x1b\[[0-9;:]*[mK]`)

// Printable leaves colours out and escapes control characters as Go does,
// "\x1b" for one, except tabs and line ends: the output of builds reaches
// terminals (GRID-106).
// A line of output that begins as one of the log does is set in by a blank.
func Printable(text string) string {
	if strings.Contains(text, "\x1b[") {
		text = colour.ReplaceAllString(text, "")
	}
	if strings.Contains(text, "\n") {
		text = forged.ReplaceAllString(text, "\n $1")
	}
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
