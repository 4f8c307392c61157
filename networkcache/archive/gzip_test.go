// SPDX-License-Identifier: GPL-3.0-or-later

package archive

import (
	"bytes"
	"compress/gzip"
	"math/rand/v2"
	"os"
	"testing"
)

// Thorough compression is used where it shortens the archive.
func TestDeflaterFor(t *testing.T) {
	noise := make([]byte, blockSize)
	rand.NewChaCha8([32]byte{}).Read(noise)
	if got, err := deflaterFor(noise); got != fast || err != nil {
		t.Errorf("noise is compressed thoroughly: %v", err)
	}
	if got, err := deflaterFor(program(t)); got != thorough || err != nil {
		t.Errorf("a program is compressed fast: %v", err)
	}
}

// A real program takes at most a twentieth more than with zlib's best
// compression, which the original uses.
func TestSizeOfArchives(t *testing.T) {
	data := program(t)
	var ours, best bytes.Buffer
	z := newGzipWriter(&ours)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	g, err := gzip.NewWriterLevel(&best, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if ours.Len() > best.Len()+best.Len()/20 {
		t.Errorf("%d bytes, gzip -9 needs %d", ours.Len(), best.Len())
	}
}

// program returns the start of a program that is larger than a block.
func program(t *testing.T) []byte {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data[:min(len(data), 2*blockSize)]
}
