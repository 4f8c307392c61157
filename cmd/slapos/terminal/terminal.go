// SPDX-License-Identifier: GPL-3.0-or-later

// Package terminal is what commands need to write on a terminal beyond lines of
// a log: its size, text that fits a place and can't act on it, and a [StatusLine]
// below the log, which shows what a pass works on.
package terminal

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// fileOf returns the file that a stream writes to. A writer around another one
// names it by Unwrap.
func fileOf(stream any) (file *os.File, ok bool) {
	if around, ok := stream.(interface{ Unwrap() io.Writer }); ok {
		stream = around.Unwrap()
	}
	file, ok = stream.(*os.File)
	return file, ok
}

// Is reports whether a stream is a terminal.
func Is(stream any) bool {
	file, ok := fileOf(stream)
	return ok && term.IsTerminal(int(file.Fd()))
}

// Size returns the number of columns and of lines of a terminal, 80 and 24 if it
// doesn't tell them.
func Size(stream any) (width, height int) {
	if file, ok := fileOf(stream); ok {
		if width, height, err := term.GetSize(int(file.Fd())); err == nil && width > 0 && height > 1 {
			return width, height
		}
	}
	return 80, 24
}

// Cut shortens text to width characters; an ellipsis shows it.
func Cut(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:max(0, width-1)]) + "…"
}

// OneLine prepares foreign text for a table: its first line, shortened, without
// control characters.
func OneLine(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	text = strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return '\ufffd'
		}
		return r
	}, text)
	return Cut(text, 200)
}

// Age is a duration in its largest unit.
func Age(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
