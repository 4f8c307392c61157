// SPDX-License-Identifier: GPL-3.0-or-later

package archive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"slapos/slap/testkit"
)

// makeFiles makes a tree, with one file of the given size.
func makeFiles(t *testing.T, size int) (directory string) {
	t.Helper()
	directory = filepath.Join(t.TempDir(), top)
	if err := os.Mkdir(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int{"a": 10, "b": size, "c": 0} {
		content := make([]byte, size)
		rand.NewChaCha8([32]byte{1}).Read(content[:size/8]) // the rest compresses well
		if err := os.WriteFile(filepath.Join(directory, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

// An archive is the same, however slowly it is read.
func TestPackPieces(t *testing.T) {
	testkit.NoLeaks(t)
	small := makeFiles(t, 10000)
	large := makeFiles(t, blockSize+5) // two members
	archives := map[string][]byte{small: pack(t, small), large: pack(t, large)}
	testkit.EachProcessors(t, func(t *testing.T) {
		for name, pieces := range testkit.Pieces {
			for range testkit.Rounds(1) {
				directory := small
				if name == "halves" {
					directory = large
				}
				want := archives[directory]
				read, write := io.Pipe()
				packed := make(chan error, 1)
				go func() { // owns write until it has sent its result
					err := Pack(t.Context(), write, directory)
					write.CloseWithError(err)
					packed <- err
				}()
				got, err := io.ReadAll(pieces(read))
				if failed := <-packed; failed != nil || err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: %d bytes of %d, %v, %v", name, len(got), len(want), failed, err)
				}
			}
		}
	})
}

// A failingWriter accepts so many bytes, then fails.
type failingWriter struct {
	left   int
	failed error
	calls  int // after the failure
}

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.left < 0 {
		w.calls++
		return 0, w.failed
	}
	n := min(len(p), w.left)
	if w.left -= n; n < len(p) {
		w.left = -1
		return n, w.failed
	}
	return n, nil
}

// A failing writer is an error, wherever it fails, and isn't called again.
func TestPackCutEverywhere(t *testing.T) {
	testkit.NoLeaks(t)
	directory := makeFiles(t, 100)
	size := len(pack(t, directory))
	large := makeFiles(t, blockSize+5)
	second := len(pack(t, large)) - 5 // in the second member
	testkit.EachProcessors(t, func(t *testing.T) {
		w := &failingWriter{left: second, failed: io.ErrClosedPipe}
		if err := Pack(t.Context(), w, large); !errors.Is(err, io.ErrClosedPipe) || w.calls > 0 {
			t.Errorf("at the end of a large one: %v, %d more calls", err, w.calls)
		}
		// The writer's error isn't taken for a file that vanished.
		for _, failure := range []error{errors.New("broken"), io.EOF, os.ErrNotExist, io.ErrClosedPipe} {
			step := max(1, size/testkit.Rounds(20))
			for at := 0; at < size; at += step {
				w := &failingWriter{left: at, failed: failure}
				if err := Pack(t.Context(), w, directory); !errors.Is(err, failure) || w.calls > 0 {
					t.Errorf("%v after %d of %d bytes: %v, %d more calls", failure, at, size, err, w.calls)
				}
			}
			w := &failingWriter{left: size - 1, failed: failure}
			if err := Pack(t.Context(), w, directory); !errors.Is(err, failure) {
				t.Errorf("%v at the last byte: %v", failure, err)
			}
		}
	})
}

// Packing ends when its reader is gone, or when it is cancelled.
func TestPackCutShort(t *testing.T) {
	testkit.NoLeaks(t)
	directory := makeFiles(t, blockSize+5)
	size := len(pack(t, directory))
	for at := 0; at < size; at += size / testkit.Rounds(4) {
		for _, gone := range []bool{true, false} {
			ctx, cancel := context.WithCancel(t.Context())
			read, write := io.Pipe()
			packed := make(chan error, 1)
			go func() { // owns write until it has sent its result
				err := Pack(ctx, write, directory)
				write.CloseWithError(err)
				packed <- err
			}()
			if _, err := io.CopyN(io.Discard, read, int64(at)); err != nil {
				t.Fatal(err)
			}
			if gone {
				read.Close()
			} else {
				cancel()
				_, _ = io.Copy(io.Discard, read)
			}
			// The whole directory may have been read before the end came.
			if err := <-packed; gone && !errors.Is(err, io.ErrClosedPipe) || !gone && err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("after %d of %d bytes, gone %v: %v", at, size, gone, err)
			}
			cancel()
		}
	}
}

// If a reader stops in the middle of an archive, nothing goes on reading.
func TestDecompressCutShort(t *testing.T) {
	testkit.NoLeaks(t)
	for name, content := range archivesOf(t, makeFiles(t, blockSize+5)) {
		for n := int64(0); n < blockSize; n += int64(blockSize / testkit.Rounds(2)) {
			r, err := decompress(testkit.Pieces["16 KiB"](bytes.NewReader(content)))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if _, err := io.CopyN(io.Discard, r, n); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			r.Close()
		}
	}
}
