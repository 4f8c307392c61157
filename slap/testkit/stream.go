// SPDX-License-Identifier: GPL-3.0-or-later

package testkit

import (
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"testing"
	"testing/iotest"
	"time"
)

// Pieces are the ways in which a stream can arrive, by name: readers that
// return another's content in pieces, as a slow network does.
var Pieces = map[string]func(io.Reader) io.Reader{
	"one byte":         iotest.OneByteReader,
	"halves":           iotest.HalfReader,
	"16 KiB":           func(r io.Reader) io.Reader { return &piecesReader{r: r, size: 16 << 10} },
	"pauses":           func(r io.Reader) io.Reader { return &piecesReader{r: r, size: 64 << 10, pause: time.Millisecond} },
	"error with data":  func(r io.Reader) io.Reader { return &endReader{r: r, buffer: make([]byte, 256)} },
	"whole and random": func(r io.Reader) io.Reader { return &piecesReader{r: r, size: 256 << 10, random: true} },
}

// piecesReader returns at most size bytes at a time, after a pause.
type piecesReader struct {
	r      io.Reader
	size   int
	random bool // any number up to size
	pause  time.Duration
}

func (p *piecesReader) Read(b []byte) (int, error) {
	time.Sleep(p.pause)
	size := p.size
	if p.random {
		size = 1 + rand.IntN(size)
	}
	return p.r.Read(b[:min(size, len(b))])
}

// endReader returns the end or the error together with the last bytes. It is
// like [iotest.DataErrReader], which loses them if r does that, too.
type endReader struct {
	r              io.Reader
	buffer, unread []byte
	err            error
}

func (e *endReader) Read(b []byte) (int, error) {
	e.fill()
	n := copy(b, e.unread)
	e.unread = e.unread[n:]
	if e.fill(); len(e.unread) > 0 {
		return n, nil
	}
	return n, e.err
}

func (e *endReader) fill() {
	for len(e.unread) == 0 && e.err == nil {
		n, err := e.r.Read(e.buffer)
		e.unread, e.err = e.buffer[:n], err
	}
}

// CutReader returns the first n bytes of r, then fails with err.
func CutReader(r io.Reader, n int64, err error) io.Reader {
	return io.MultiReader(io.LimitReader(r, n), iotest.ErrReader(err))
}

// Send answers with the content of r, each piece at once. If r fails, the
// connection breaks off.
func Send(w http.ResponseWriter, r io.Reader) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := r.Read(buffer)
		if _, failed := w.Write(buffer[:n]); failed != nil {
			return // the client is gone
		}
		_ = http.NewResponseController(w).Flush() // the next write would fail
		switch err {
		case nil:
		case io.EOF:
			return
		default:
			panic(http.ErrAbortHandler)
		}
	}
}

// EachProcessors runs test with the Go scheduler using 1, 2 and 8 processors.
// No other test of the package runs meanwhile.
func EachProcessors(t *testing.T, test func(t *testing.T)) {
	for _, n := range []int{1, 2, 8} {
		t.Run(strconv.Itoa(n)+" processors", func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(n))
			test(t)
		})
	}
}

// Rounds is how often a test repeats what depends on the order of goroutines: a
// few times, or SLAPOS_TEST_ROUNDS times.
func Rounds(few int) int {
	if n, err := strconv.Atoi(os.Getenv("SLAPOS_TEST_ROUNDS")); err == nil {
		return n
	}
	return few
}
