// SPDX-License-Identifier: GPL-3.0-or-later

package terminal

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// D-15: on a terminal.
func TestStatusLine(t *testing.T) {
	var terminal bytes.Buffer
	now := time.Unix(1000, 0)
	line := &StatusLine{terminal: &terminal, now: func() time.Time { return now }, width: func() int { return 40 }}
	plain := slog.NewTextHandler(&terminal, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.MessageKey {
			return a
		}
		return slog.Attr{}
	}})
	log := slog.New(line.Above(plain))
	shows := func(what, want string) {
		t.Helper()
		if got := terminal.String(); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
		terminal.Reset()
	}

	line.Plan(3)
	line.Begin("one")
	log.Info("begun")
	shows("before anything is done that takes time", "msg=begun\n")
	line.Step("one", "building")
	shows("a step", eraseLine+"[1/3] building one, 0s")
	now = now.Add(75 * time.Second)
	log.With("a", 1).Info("output")
	shows("a message goes above the line", eraseLine+"msg=output\n"+eraseLine+"[1/3] building one, 1m15s")
	line.Begin("two")
	line.Step("two", "downloading")
	shows("another", eraseLine+"[1/3] building one, 1m15s (and 1 more)")
	line.End("one")
	shows("the first ended", eraseLine+"[2/3] downloading two, 0s")
	line.Step("two", "checking something with a very long name of")
	if got := strings.TrimPrefix(terminal.String(), eraseLine); len([]rune(got)) != 39 || !strings.HasSuffix(got, "…") {
		t.Errorf("cut to the width: %q", got)
	}
	terminal.Reset()
	line.End("two")
	shows("the end", eraseLine)
}
