// SPDX-License-Identifier: GPL-3.0-or-later

package console

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/peterh/liner"
)

// typist types lines; Ctrl-C stands for itself.
type typist struct {
	lines []string
	wait  <-chan struct{} // after the last line; nil: end of input
}

const ctrlC = "\x03"

func (p *typist) AppendHistory(string) {}

func (p *typist) Prompt(string) (string, error) {
	if len(p.lines) == 0 {
		if p.wait != nil {
			<-p.wait
		}
		return "", io.EOF
	}
	line := p.lines[0]
	p.lines = p.lines[1:]
	if line == ctrlC {
		return "", liner.ErrPromptAborted
	}
	return line, nil
}

func TestPrompt(t *testing.T) {
	for _, test := range []struct {
		lines []string
		want  string // after the greeting
		code  int
	}{
		{[]string{"1 + 1", "x = [", "2]", "", "x"}, "2\n[2]\n\n", 0},
		{[]string{"x = (", ctrlC, "7 * 6"}, "42\n\n", 0},
		{[]string{"nonsense", "3"}, "3\n\n", 0},
		{[]string{"exit(0)", "1"}, "", 0},
		{[]string{"exit()", "1"}, "", 0},
		{[]string{"quit()", "1"}, "", 0},
		{[]string{"sys.exit(3)", "1"}, "", 3},
		{[]string{"x = exit(4)", "1"}, "", 4},
	} {
		s, out := newTestSession(t)
		err := s.interact(&typist{lines: test.lines})
		_, got, _ := strings.Cut(out.String(), "ends\n")
		code := 0
		var exit *ExitError
		if errors.As(err, &exit) {
			code, err = exit.Code, nil
		}
		if got != test.want || code != test.code || err != nil {
			t.Errorf("%q: %q, code %d, %v; want %q, code %d", test.lines, got, code, err, test.want, test.code)
		}
	}
}

// A signal ends a prompt that nothing is typed at.
func TestPromptInterrupted(t *testing.T) {
	s, _ := newTestSession(t)
	ctx, cancel := context.WithCancel(t.Context())
	s.ctx = ctx
	wait := make(chan struct{})
	defer close(wait)
	ended := make(chan error, 1)
	go func() { ended <- s.interact(&typist{lines: []string{"1"}, wait: wait}) }()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
