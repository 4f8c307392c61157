// SPDX-License-Identifier: GPL-3.0-or-later

package schema

import "unicode/utf8"

// Bounds for the description of mismatches: each line could hold a whole value
// and what the schema wants, and there could be one per value.
const (
	maximumMismatches = 1000
	maximumLine       = 4000 // bytes
	maximumText       = 300  // of it, a value
	maximumNames      = 100
)

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
