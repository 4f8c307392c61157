// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"slapos/slap/testkit"
)

// writePipe makes a pipe in the file system, and gives who opens it what r gives.
func writePipe(t *testing.T, r io.Reader) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "pipe.cfg")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { // owns r, and the pipe's other end, until it has told how it ended
		file, err := os.OpenFile(path, os.O_WRONLY, 0) // waits for the reader
		if err == nil {
			_, err = io.Copy(struct{ io.Writer }{file}, r)
			err = errors.Join(err, file.Close())
		}
		done <- err
	}()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return path
}

// A configuration from a pipe, and the console's standard input, are the same
// however they arrive.
func TestInputPieces(t *testing.T) {
	testkit.NoLeaks(t)
	configuration := "[slapos]\nmaster_url = http://127.0.0.1:1/\n[slapconsole]\n" + strings.Repeat("# a comment é\n", 700)
	script := strings.Repeat("# a comment é\n", 700) + "print('é', 1 + 1)\nfor n in [1, 2]:\n    print(n)\n"
	testkit.EachProcessors(t, func(t *testing.T) {
		for name, pieces := range testkit.Pieces {
			for range testkit.Rounds(1) {
				e, stdout, _ := newTestEnvironment(t)
				e.stdin = pieces(strings.NewReader(script))
				file := writePipe(t, pieces(strings.NewReader(configuration)))
				err := runConsole(t.Context(), e, consoleOptions{clientOptions: clientOptions{configuration: file}})
				if err != nil || stdout.String() != "é 2\n1\n2\n" {
					t.Errorf("%s: %q, %v", name, stdout, err)
				}
			}
		}
	})
}

// interruptingReader interrupts the command that reads from it.
type interruptingReader struct {
	io.Reader
	interrupt func()
}

func (r interruptingReader) Read(data []byte) (int, error) {
	r.interrupt()
	return r.Reader.Read(data)
}

// A signal ends a command that asks for a token.
func TestAskInterrupted(t *testing.T) {
	testkit.NoLeaks(t)
	e, stdout, _ := newTestEnvironment(t)
	ctx, cancel := context.WithCancel(t.Context())
	input, typed := io.Pipe()
	defer typed.Close()
	e.stdin = interruptingReader{input, cancel}
	if token, err := e.askToken(ctx, "", "Token: "); token != "" || !errors.Is(err, context.Canceled) || stdout.String() != "Token: \n" {
		t.Errorf("%q, %v, %q", token, err, stdout)
	}
}

// Input that breaks off is an error, and nothing of it is done.
func TestInputCutEverywhere(t *testing.T) {
	testkit.NoLeaks(t)
	broken := errors.New("broken")
	file := filepath.Join(t.TempDir(), "slapos.cfg")
	if err := os.WriteFile(file, []byte("[slapos]\nmaster_url = http://127.0.0.1:1/\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	script := "print(1)\nprint(2)\n"
	for at := 0; at <= len(script); at++ {
		e, stdout, _ := newTestEnvironment(t)
		input := testkit.CutReader(strings.NewReader(script), int64(at), broken)
		e.stdin = input
		err := runConsole(t.Context(), e, consoleOptions{clientOptions: clientOptions{configuration: file}})
		if !errors.Is(err, broken) || stdout.Len() > 0 {
			t.Errorf("a script, after %d bytes: %q, %v", at, stdout, err)
		}
		e.stdin = testkit.CutReader(strings.NewReader("token\n"), int64(min(at, 5)), broken)
		if token, err := e.askToken(t.Context(), "", "Token: "); err == nil {
			t.Errorf("a token, after %d bytes: %q", at, token)
		}
		e.stdin = testkit.CutReader(strings.NewReader(`{"a": 1}`), int64(at), broken)
		if data, err := e.openParameters(t.Context(), "-"); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("parameters, after %d bytes: %q, %v", at, data, err)
		}
	}
	for name, pieces := range testkit.Pieces {
		e, _, _ := newTestEnvironment(t)
		e.stdin = pieces(strings.NewReader("\n \na token é\nmore"))
		if token, err := e.askToken(t.Context(), "", "Token: "); err != nil || token != "a token é" {
			t.Errorf("%s: %q, %v", name, token, err)
		}
	}
}

// A signal ends a command that waits for input that nobody gives.
func TestInputInterrupted(t *testing.T) {
	testkit.NoLeaks(t)
	file := filepath.Join(t.TempDir(), "slapos.cfg")
	if err := os.WriteFile(file, []byte("[slapos]\nmaster_url = http://127.0.0.1:1/\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []func(context.Context, *environment) error{
		func(ctx context.Context, e *environment) error {
			return runConsole(ctx, e, consoleOptions{clientOptions: clientOptions{configuration: file}})
		},
		func(ctx context.Context, e *environment) error {
			return runRequest(ctx, e, requestOptions{parametersFile: "-"})
		},
	} {
		e, _, _ := newTestEnvironment(t)
		read, write := io.Pipe()
		e.stdin = read
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- command(ctx, e) }() // owns e until it has told how it ended
		fmt.Fprint(write, "print(1)\n")          // returns when it is read
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		write.Close() // in a test the process goes on, and with it the read
	}
}
