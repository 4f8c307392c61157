// SPDX-License-Identifier: GPL-3.0-or-later

package terminal

import (
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

type around struct{ io.Writer }

func (a around) Unwrap() io.Writer { return a.Writer }

// A terminal is one behind a writer, too.
func TestSize(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 123}); err != nil {
		t.Fatal(err)
	}
	for _, stream := range []any{terminal, around{terminal}} {
		if width, height := Size(stream); width != 123 || height != 33 || !Is(stream) {
			t.Errorf("%T: %d columns, %d lines, terminal: %v", stream, width, height, Is(stream))
		}
	}
	for _, stream := range []any{io.Discard, around{io.Discard}, nil} {
		if width, height := Size(stream); width != 80 || height != 24 || Is(stream) {
			t.Errorf("%T: %d columns, %d lines, terminal: %v", stream, width, height, Is(stream))
		}
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 119 * time.Second: "119s", 2 * time.Minute: "2m", 2 * time.Hour: "2h", 48 * time.Hour: "2d",
	} {
		if got := Age(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}
