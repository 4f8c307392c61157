// SPDX-License-Identifier: GPL-3.0-or-later

package process

import "fmt"

// Limit passes lines on until they total limit bytes. Call end after the last
// line: it adds a line that says how much was left out.
func Limit(line func(string), limit int) (limited func(string), end func()) {
	passed, left := 0, 0
	limited = func(text string) {
		if passed += len(text) + 1; passed > limit {
			left += len(text) + 1
			return
		}
		line(text)
	}
	end = func() {
		if left > 0 {
			line(fmt.Sprintf("… %d more bytes left out", left))
		}
	}
	return limited, end
}
