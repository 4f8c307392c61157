// SPDX-License-Identifier: GPL-3.0-or-later

package buildout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"slapos/slap/testkit"
)

// In whatever pieces buildout's output arrives, each line is logged once, whole
// and in order, and the error of a failure contains all of it.
func TestOutputPieces(t *testing.T) {
	b, l := newBuilder(t)
	pipe := filepath.Join(b.Directory, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	testkit.HandOver(t, pipe)
	script := writeScript(t, filepath.Join(b.Directory, "bin/buildout"), "#!/bin/sh\ncat pipe\nexit 3\n")
	var long strings.Builder
	for n := range 2000 {
		fmt.Fprintf(&long, "Installing part-%d with é and ü.\n", n)
	}
	broken := errors.New("broken off")
	// print has buildout print the content of a reader, and returns what was logged.
	print := func(t *testing.T, from io.Reader) (logged []string, failure *Error) {
		t.Helper()
		l.mu.Lock()
		l.lines = nil
		l.mu.Unlock()
		printed := make(chan error, 1)
		go func() { // ends with the reader, and closes printed
			target, err := os.OpenFile(pipe, os.O_WRONLY, 0)
			if err == nil {
				_, err = io.Copy(struct{ io.Writer }{target}, from)
				err = errors.Join(err, target.Close())
			}
			printed <- err
		}()
		err := b.Run(context.Background(), b.script(script))
		if errPrint := <-printed; errPrint != nil && !errors.Is(errPrint, broken) {
			t.Fatal(errPrint)
		}
		if !errors.As(err, &failure) {
			t.Fatalf("error %v", err)
		}
		for _, line := range l.lines {
			if text, isOutput := strings.CutPrefix(line, "INFO "); isOutput {
				logged = append(logged, text)
			}
		}
		return logged, failure
	}
	linesOf := func(text string) []string {
		if text == "" {
			return nil
		}
		return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	}
	testkit.NoLeaks(t)
	testkit.EachProcessors(t, func(t *testing.T) {
		for name, pieces := range testkit.Pieces {
			text := long.String() + "While:\n  Installing.\nError: no newline"
			if name == "one byte" {
				text = text[len(text)-500:]
				text = text[strings.Index(text, "\n")+1:]
			}
			logged, failure := print(t, pieces(strings.NewReader(text)))
			if !slices.Equal(logged, linesOf(text)) || failure.Output != text {
				t.Errorf("%s: %d lines logged of %d, the error tells %d bytes of %d", name, len(logged), len(linesOf(text)), len(failure.Output), len(text))
			}
		}
		for _, end := range []int{0, 1, 33, 34, 35, 4096, 65536} {
			text := long.String()[:end]
			logged, failure := print(t, testkit.CutReader(strings.NewReader(long.String()), int64(end), broken))
			if !slices.Equal(logged, linesOf(strings.ToValidUTF8(text, "\ufffd"))) || failure.Output != text && failure.Output != strings.ToValidUTF8(text, "\ufffd") {
				t.Errorf("cut at %d: logged %d lines, the error tells %d bytes", end, len(logged), len(failure.Output))
			}
		}
	})
}
