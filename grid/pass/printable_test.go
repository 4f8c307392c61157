// SPDX-License-Identifier: GPL-3.0-or-later

package pass

import "testing"

// GRID-106.
func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"plain\ttext\n…":        "plain\ttext\n…",
		"\x1b]0;title\a\x1b[2J": `\x1b]0;title\a\x1b[2J`,
		"output:\n2026-01-01 00:00:00 slapos[1] ERROR a\n[2026-01-01 00:00:00,000] ERROR b\n2026": "output:\n 2026-01-01 00:00:00 slapos[1] ERROR a\n [2026-01-01 00:00:00,000] ERROR b\n2026",
		"a\x1b[01;31m\x1b[Kerror:\x1b[m\x1b[K b\n\x1b[0m2026-01-01 00:00:00 c":                    "aerror: b\n 2026-01-01 00:00:00 c",
		"10%\r20%\u009b31m": `10%\r20%\u009b31m`,
	} {
		if got := Printable(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
}
