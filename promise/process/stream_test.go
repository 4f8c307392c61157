// SPDX-License-Identifier: GPL-3.0-or-later

package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

// linesOf returns the lines that a text is passed on as.
func linesOf(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// In whatever pieces bytes arrive, each line is passed on once, whole and in
// order, and the end of the output is kept.
func TestOutputPieces(t *testing.T) {
	testkit.NoLeaks(t)
	var long strings.Builder
	for n := range 3000 {
		fmt.Fprintf(&long, "line %d with é and ü\n", n)
	}
	texts := []string{"", "\n", "a", "a\n", "a\n\nb", "é", long.String(), long.String() + "no newline"}
	testkit.EachProcessors(t, func(t *testing.T) {
		for name, pieces := range testkit.Pieces {
			for range testkit.Rounds(1) {
				for _, text := range texts {
					if name == "one byte" {
						text = strings.ToValidUTF8(text[:min(len(text), 5000)], "")
					}
					var lines []string
					o, err := newOutput(func(line string) { lines = append(lines, line) }, 100, maxLine)
					if err != nil {
						t.Fatal(err)
					}
					go o.read() // owns o until finish returns
					if _, err := io.Copy(struct{ io.Writer }{o.writeEnd}, pieces(strings.NewReader(text))); err != nil {
						t.Fatal(err)
					}
					// The pipe stays open, as it does behind a background process.
					kept := o.finish()
					o.writeEnd.Close()
					o.readEnd.Close()
					if !slices.Equal(lines, linesOf(text)) {
						t.Errorf("%s: %d lines of %d", name, len(lines), len(linesOf(text)))
					}
					if len(kept) > 100 || !strings.HasSuffix(text, kept) || len(kept) < min(len(text), 99) {
						t.Errorf("%s: kept %q", name, kept)
					}
				}
			}
		}
	})
}

// A line that is too long is cut between characters, always at the same places,
// whatever pieces it arrives in; memory stays bounded.
func TestOutputLongLines(t *testing.T) {
	testkit.NoLeaks(t)
	const limit = 10
	text := strings.Repeat("é", 17) + "\nshort\r\n" + strings.Repeat("x", 3*limit) + "\n" + strings.Repeat("€", 9)
	tell := func(parts ...string) (lines []string) {
		o := &output{line: func(line string) { lines = append(lines, line) }, keep: 5, maxLine: limit}
		for _, part := range parts {
			o.consume([]byte(part))
			if len(o.partial) > limit || len(o.tail) > 2*o.keep+maxLine+len(part) {
				t.Errorf("%d bytes of a line and %d of the end are held", len(o.partial), len(o.tail))
			}
		}
		if len(o.partial) > 0 {
			o.emit(o.partial)
		}
		return lines
	}
	want := tell(text)
	if strings.Join(want, "") != strings.ReplaceAll(strings.ReplaceAll(text, "\r", ""), "\n", "") {
		t.Errorf("lines %q", want)
	}
	for first := range len(text) {
		for second := first; second <= len(text); second += 3 {
			if got := tell(text[:first], text[first:second], text[second:]); !slices.Equal(got, want) {
				t.Fatalf("pieces that end at %d and %d: %q, want %q", first, second, got, want)
			}
		}
	}
}

// The output of a child arrives whole, from both streams and as messages,
// whether it ends by itself, is killed, or leaves a process behind that keeps
// the pipe open.
func TestChildOutputPieces(t *testing.T) {
	testkit.NoLeaks(t)
	const count = 200
	print := fmt.Sprintf(`i=0; while [ $i -lt %d ]; do i=$((i+1)); printf 'out'; printf ' %%d\n' $i; printf 'message %%d\n' $i >&3; done; `, count)
	testkit.EachProcessors(t, func(t *testing.T) {
		for _, end := range []string{"", "exit 3", "kill -9 $$", "sleep 60 & echo $! >&2"} {
			for range testkit.Rounds(2) {
				var lines, messages []string // each is written only by its own reader, until Run returns
				command := shell(print + end)
				command.Output = func(line string) { lines = append(lines, line) }
				command.Messages = func(line string) { messages = append(messages, line) }
				if _, err := command.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				if len(lines) > count {
					killNumber(t, lines[count])
					lines = lines[:count]
				}
				for n := range count {
					if len(lines) != count || len(messages) != count || lines[n] != fmt.Sprint("out ", n+1) || messages[n] != fmt.Sprint("message ", n+1) {
						t.Fatalf("%q: %d lines, %d messages", end, len(lines), len(messages))
					}
				}
			}
		}
	})
}

func killNumber(t *testing.T, pid string) {
	t.Helper()
	var number int
	if _, err := fmt.Sscan(pid, &number); err != nil {
		t.Fatal(err)
	}
	process, err := os.FindProcess(number)
	if err == nil {
		err = process.Kill()
	}
	if err != nil {
		t.Error(err)
	}
}

// A child that is killed in the middle of its output leaves nothing, whatever
// it was doing.
func TestChildCutEverywhere(t *testing.T) {
	testkit.NoLeaks(t)
	testkit.EachProcessors(t, func(t *testing.T) {
		for at := 1; at < 300; at += max(1, 30/testkit.Rounds(1)) {
			ctx, cancel := context.WithCancel(t.Context())
			var got bytes.Buffer
			told := 0
			command := shell(`i=0; while :; do i=$((i+1)); echo $i; done`)
			command.Output = func(line string) {
				fmt.Fprintln(&got, line)
				if told++; told == at {
					cancel()
				}
			}
			if _, err := command.Run(ctx); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			lines := linesOf(got.String())
			for n, line := range lines[:len(lines)-1] { // the last one may be cut
				if line != fmt.Sprint(n+1) {
					t.Fatalf("line %d is %q", n+1, line)
				}
			}
		}
	})
}
