// SPDX-License-Identifier: GPL-3.0-or-later

package archive

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/klauspost/compress/gzip"
	"github.com/therootcompany/xz"
)

// decompress detects how the archive is compressed. Closing it ends the
// goroutines behind it; a running read of src ends when src does.
func decompress(src io.Reader) (io.ReadCloser, error) {
	buffered := bufio.NewReaderSize(src, 64<<10)
	begin, err := buffered.Peek(memberHeaderSize)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if isOurs(begin) {
		return newGzipReader(buffered), nil
	}
	// Copy, since the reader owns what Peek returned, and from the next line on
	// a goroutine owns the reader.
	begin = bytes.Clone(begin)
	source := readAhead(buffered)
	inflated, err := inflateForeign(begin, source)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", errDamaged, err), source.Close())
	}
	ahead := readAhead(inflated)
	ahead.source = source
	return ahead, nil
}

// xzDictionary is that of xz -9, the largest of the presets.
const xzDictionary = 64 << 20

func inflateForeign(begin []byte, source io.Reader) (io.Reader, error) {
	switch {
	case bytes.HasPrefix(begin, []byte{0x1f, 0x8b}):
		return gzip.NewReader(source)
	case bytes.HasPrefix(begin, []byte("BZh")):
		return bzip2.NewReader(source), nil
	case bytes.HasPrefix(begin, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		return xz.NewReader(source, xzDictionary)
	}
	return source, nil
}

func isOurs(begin []byte) bool {
	_, ours := memberSize(begin)
	return ours
}

// An aheadReader reads in its own goroutine, which owns the source until it
// ends: at the source's end or error, or with its next chunk after Close. A
// buffer belongs to the side that took it from free or chunks.
type aheadReader struct {
	chunks chan chunk
	free   chan []byte
	stop   chan struct{}
	source io.Closer // closed with this one
	rest   []byte
	whole  []byte // the buffer of rest
	err    error
}

type chunk struct {
	data []byte
	err  error
}

// chunkSize and chunkCount bound what is read ahead.
const (
	chunkSize  = 256 << 10
	chunkCount = 8
)

func readAhead(r io.Reader) *aheadReader {
	a := &aheadReader{chunks: make(chan chunk, chunkCount), free: make(chan []byte, chunkCount+2), stop: make(chan struct{})}
	go a.fill(r)
	return a
}

func (a *aheadReader) fill(r io.Reader) {
	for {
		var buffer []byte
		select {
		case buffer = <-a.free:
		default:
			buffer = make([]byte, chunkSize)
		}
		// io.ReadFull can't distinguish a short last part from a truncated one.
		n := 0
		var err error
		for n < len(buffer) && err == nil {
			var m int
			m, err = r.Read(buffer[n:])
			n += m
		}
		select {
		case a.chunks <- chunk{buffer[:n], err}:
		case <-a.stop:
			return
		}
		if err != nil {
			return
		}
	}
}

func (a *aheadReader) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.err != nil {
			return 0, a.err
		}
		if a.whole != nil {
			a.free <- a.whole
			a.whole = nil
		}
		select {
		case next := <-a.chunks:
			a.rest, a.err, a.whole = next.data, next.err, next.data[:cap(next.data)]
		case <-a.stop:
			return 0, fs.ErrClosed
		}
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

func (a *aheadReader) Close() error {
	close(a.stop)
	if a.source != nil {
		return a.source.Close()
	}
	return nil
}
