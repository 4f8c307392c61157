// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// cleanLog makes the text of an error fit to be kept and shown: UTF-8 without
// control characters, and not longer than its last MaximumLog bytes.
func cleanLog(log string) string {
	// Cutting first bounds the work. What is replaced may become longer or shorter.
	log = lastBytes(log, 4*MaximumLog)
	var b strings.Builder
	b.Grow(len(log))
	for i := 0; i < len(log); {
		r, size := utf8.DecodeRuneInString(log[i:])
		switch {
		case r == '\x1b':
			size = escapeSize(log[i:])
		case r == '\r' && strings.HasPrefix(log[i:], "\r\n"):
		case r == '\r':
			b.WriteByte('\n')
		case r != '\n' && r != '\t' && hidden(r):
			b.WriteRune(utf8.RuneError)
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return lastBytes(b.String(), MaximumLog)
}

// hidden reports whether a character does something else than to be seen.
func hidden(r rune) bool {
	return r == '\u2028' || r == '\u2029' || unicode.IsControl(r) || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}

// escapeSize is the length of a terminal's escape sequence, which colours the
// output of builds.
func escapeSize(text string) int {
	if len(text) < 2 || text[1] != '[' {
		return 1
	}
	for i := 2; i < len(text) && i < 32; i++ {
		if c := text[i]; c >= 0x40 && c <= 0x7e {
			return i + 1
		} else if c < 0x20 || c > 0x3f {
			break
		}
	}
	return 2
}

// lastBytes is the end of a text, from a whole line on if there is one.
func lastBytes(text string, size int) string {
	if len(text) <= size {
		return text
	}
	text = text[len(text)-size:]
	if i := strings.IndexByte(text, '\n'); i >= 0 && i < size/2 {
		return text[i+1:]
	}
	for len(text) > 0 && !utf8.RuneStart(text[0]) {
		text = text[1:]
	}
	return text
}

// messageOf makes a line of a text.
func messageOf(text string) string {
	if len(text) > 16*MaximumMessage {
		text = text[:16*MaximumMessage]
	}
	clean := true
	for _, r := range text {
		clean = clean && r != utf8.RuneError && !hidden(r)
	}
	if !clean {
		text = strings.Join(strings.Fields(cleanLog(text)), " ")
	}
	if utf8.RuneCountInString(text) <= MaximumMessage {
		return text
	}
	return string([]rune(text)[:MaximumMessage-1]) + "…"
}

// summary is the line of an error that says most: that of a build names its
// directory first, and what went wrong near its end.
func summary(log string) string {
	log = strings.TrimSpace(log)
	first, rest, _ := strings.Cut(log, "\n")
	if promiseFailed(first) {
		return messageOf(first)
	}
	last := ""
	for line := range strings.SplitSeq(log, "\n") {
		if line = strings.TrimSpace(line); namesError(line) {
			last = line
		}
	}
	if last == "" && strings.HasSuffix(first, ":") && strings.TrimSpace(rest) != "" {
		lines := strings.Split(strings.TrimSpace(rest), "\n")
		last = strings.TrimSpace(lines[len(lines)-1])
	}
	if last == "" {
		last = first
	}
	if last == "" {
		last = "an error without a text"
	}
	return messageOf(last)
}

// namesError reports whether a line is the one in which buildout and Python say
// what failed: "Error: …", "OSError: …", "zc.buildout.UserError: …".
func namesError(line string) bool {
	name, said, found := strings.Cut(line, ": ")
	if !found || strings.TrimSpace(said) == "" || strings.ContainsAny(name, " \t\"'/") {
		return false
	}
	return strings.EqualFold(name, "error") || strings.HasSuffix(name, "Error") || strings.HasSuffix(name, "Exception")
}
