// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"errors"
	"strconv"
	"strings"
)

// PythonInt reads what Python's int() reads as ASCII digits: 5, " 5 ", 1_000,
// +5 and 05. A number that is too large for an int becomes the largest or
// smallest one, since Python's have no limit.
func PythonInt(text string) (number int, ok bool) {
	text = PythonDigits(text)
	digits := strings.TrimLeft(text, "+-")
	if digits == "" || len(text)-len(digits) > 1 || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	number, err := strconv.Atoi(text)
	return number, err == nil || errors.Is(err, strconv.ErrRange)
}

// PythonDigits removes what Python allows around and within the digits of a
// number: blanks around them, and single underscores between them.
func PythonDigits(text string) string {
	text = strings.TrimSpace(text)
	isDigit := func(i int) bool { return i >= 0 && i < len(text) && '0' <= text[i] && text[i] <= '9' }
	var b strings.Builder
	for i := range len(text) {
		if text[i] != '_' || !isDigit(i-1) || !isDigit(i+1) {
			b.WriteByte(text[i])
		}
	}
	return b.String()
}
