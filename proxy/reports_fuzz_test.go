// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzReport reads forms of which the middle is missing.
func FuzzReport(f *testing.F) {
	f.Add([]byte("computer_id=c&error_log=begin%0"), []byte("A%C3%A9%0Aend&slave_reference=None"))
	f.Add([]byte("&&=&%"), []byte("%0A&=%ff"))
	f.Add([]byte("error_log"), []byte("&computer_id=d"))
	f.Fuzz(func(t *testing.T, head, tail []byte) {
		form := parseReport(head, tail)
		for name := range form {
			if !utf8.ValidString(name) || !utf8.ValidString(form.get(name)) {
				t.Errorf("field %q: %q", name, form.get(name))
			}
		}
		for name, values := range parseReport(head, nil) {
			if got := form.get(name); len(form) > 0 && !strings.HasPrefix(got, values[0]) {
				t.Errorf("field %q: %q instead of %q", name, got, values[0])
			}
		}
	})
}
