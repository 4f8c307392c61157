// SPDX-License-Identifier: GPL-3.0-or-later

package archive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/flate"
)

// Our gzip members hold at most blockSize bytes. Smaller blocks compress worse,
// since each starts without history.
const blockSize = 2 << 20

// Thorough compression keeps archives within a twentieth of zlib's best. If it
// gains less than three hundredths on a sample, it is skipped to save half the
// time.
const (
	thoroughLevel = 7
	fastLevel     = 3
	sampleSize    = 64 << 10
)

// memberHeader begins each member. The last four bytes of its extra field,
// named SL, have the size of the member, including this header.
var memberHeader = [memberHeaderSize]byte{
	0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 8, 0, 'S', 'L', 4, 0,
}

const (
	memberHeaderSize = 20
	memberSizeAt     = 16
	trailerSize      = 8 // checksum and length of the data
	// maxMember is more than an incompressible block takes.
	maxMember = blockSize + blockSize/1000 + 1024
)

// buffers have room for a block in either form. They are reused: new memory
// costs as much as inflating.
var buffers = sync.Pool{New: func() any {
	buffer := make([]byte, 0, maxMember)
	return &buffer
}}

func newBuffer() []byte { return (*buffers.Get().(*[]byte))[:0] }

func freeBuffer(buffer []byte) {
	if cap(buffer) >= maxMember {
		buffers.Put(&buffer)
	}
}

// A block is compressed or inflated by a worker.
type block struct {
	data   []byte
	failed error
	ready  chan struct{} // closed when data or failed is set
}

// workers is how many blocks are processed in parallel.
func workers() int { return min(runtime.GOMAXPROCS(0), 8) }

// A gzipWriter compresses blocks in parallel and writes them in order.
type gzipWriter struct {
	w       io.Writer
	buffer  []byte
	ordered chan *block
	done    chan struct{} // closed when all is written

	mu  sync.Mutex
	err error
}

func newGzipWriter(w io.Writer) *gzipWriter {
	z := &gzipWriter{w: w, buffer: newBuffer(), ordered: make(chan *block, workers()), done: make(chan struct{})}
	go z.writeBlocks() // the only one to write to w; Close waits for it
	return z
}

func (z *gzipWriter) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		n := min(len(p), blockSize-len(z.buffer))
		z.buffer = append(z.buffer, p[:n]...)
		p = p[n:]
		written += n
		if len(z.buffer) == blockSize {
			if err := z.flush(); err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

// flush hands the buffer to a worker. The channel's capacity bounds how many
// run.
func (z *gzipWriter) flush() error {
	b := &block{ready: make(chan struct{})}
	data := z.buffer
	z.buffer = newBuffer()
	z.ordered <- b
	go func() { // owns data, and b until ready is closed; writeBlocks waits for it
		defer close(b.ready)
		b.data, b.failed = deflate(data)
		freeBuffer(data)
	}()
	return z.failure()
}

func (z *gzipWriter) writeBlocks() {
	defer close(z.done)
	for b := range z.ordered {
		<-b.ready
		err := b.failed
		if err == nil && z.failure() == nil {
			_, err = z.w.Write(b.data)
		}
		freeBuffer(b.data)
		if err != nil {
			z.mu.Lock()
			z.err = err
			z.mu.Unlock()
		}
	}
}

func (z *gzipWriter) failure() error {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.err
}

// Close writes what is left and waits for the workers.
func (z *gzipWriter) Close() error {
	if len(z.buffer) > 0 {
		_ = z.flush() // the failure is returned below
	}
	close(z.ordered)
	<-z.done
	return z.failure()
}

// A deflater compresses at one level.
type deflater struct{ writers sync.Pool }

func newDeflater(level int) *deflater {
	return &deflater{sync.Pool{New: func() any {
		w, err := flate.NewWriter(nil, level)
		if err != nil {
			panic(err) // the levels are constants
		}
		return w
	}}}
}

var (
	thorough = newDeflater(thoroughLevel)
	fast     = newDeflater(fastLevel)
)

func (d *deflater) write(to *bytes.Buffer, data []byte) error {
	w := d.writers.Get().(*flate.Writer)
	defer d.writers.Put(w)
	w.Reset(to)
	if _, err := w.Write(data); err != nil {
		return err
	}
	return w.Close()
}

// size returns the compressed size of data.
func (d *deflater) size(data []byte) (int, error) {
	out := bytes.NewBuffer(newBuffer())
	defer func() { freeBuffer(out.Bytes()) }()
	err := d.write(out, data)
	return out.Len(), err
}

// deflaterFor tries a sample of the data.
func deflaterFor(data []byte) (*deflater, error) {
	if len(data) < 4*sampleSize {
		return thorough, nil
	}
	sample := data[len(data)/2:][:sampleSize]
	most, err := fast.size(sample)
	if err != nil {
		return nil, err
	}
	least, err := thorough.size(sample)
	if err != nil {
		return nil, err
	}
	if most-least <= least/33 {
		return fast, nil
	}
	return thorough, nil
}

// deflate makes one member of the data.
func deflate(data []byte) ([]byte, error) {
	d, err := deflaterFor(data)
	if err != nil {
		return nil, err
	}
	member := bytes.NewBuffer(newBuffer())
	member.Write(memberHeader[:])
	if err := d.write(member, data); err != nil {
		return nil, err
	}
	var trailer [trailerSize]byte
	binary.LittleEndian.PutUint32(trailer[:], crc32.ChecksumIEEE(data))
	binary.LittleEndian.PutUint32(trailer[4:], uint32(len(data)))
	member.Write(trailer[:])
	binary.LittleEndian.PutUint32(member.Bytes()[memberSizeAt:], uint32(member.Len()))
	return member.Bytes(), nil
}

// memberSize reads the header of one of our members. gzip reads the rest of any
// other header.
func memberSize(header []byte) (size int, ours bool) {
	if len(header) < memberHeaderSize || !bytes.Equal(header[:memberSizeAt], memberHeader[:memberSizeAt]) {
		return 0, false
	}
	n := binary.LittleEndian.Uint32(header[memberSizeAt:])
	return int(n), n > memberHeaderSize+trailerSize && n <= maxMember
}

// A gzipReader inflates our members in parallel.
type gzipReader struct {
	ordered chan *block
	stop    chan struct{}
	current []byte // the buffer of rest
	rest    []byte
	err     error
}

func newGzipReader(r io.Reader) *gzipReader {
	z := &gzipReader{ordered: make(chan *block, workers()), stop: make(chan struct{})}
	go z.readMembers(r) // the only one to read r, until its end or, after Close, the next member
	return z
}

// readMembers gives members to workers until the input ends.
func (z *gzipReader) readMembers(r io.Reader) {
	defer close(z.ordered)
	for {
		member, err := readMember(r)
		if err == io.EOF {
			return
		}
		b := &block{ready: make(chan struct{}), failed: err}
		select {
		case z.ordered <- b:
		case <-z.stop:
			return
		}
		if err != nil {
			close(b.ready)
			return
		}
		go func() { // owns member, and b until ready is closed
			defer close(b.ready)
			b.data, b.failed = inflate(member)
			freeBuffer(member)
		}()
	}
}

var errDamaged = errors.New("the archive is damaged")

// readMember returns io.EOF only at the end of the input.
func readMember(r io.Reader) ([]byte, error) {
	var header [memberHeaderSize]byte
	if n, err := io.ReadFull(r, header[:]); err != nil {
		if n > 0 && errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, errDamaged
		}
		return nil, err
	}
	size, ours := memberSize(header[:])
	if !ours {
		return nil, errDamaged
	}
	member := newBuffer()[:size]
	copy(member, header[:])
	if _, err := io.ReadFull(r, member[memberHeaderSize:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || err == io.EOF {
			return nil, errDamaged
		}
		return nil, err
	}
	return member, nil
}

var inflaters = sync.Pool{New: func() any { return flate.NewReader(bytes.NewReader(nil)) }}

// inflate returns the data of one member.
func inflate(member []byte) ([]byte, error) {
	trailer := member[len(member)-trailerSize:]
	size := binary.LittleEndian.Uint32(trailer[4:])
	if size > blockSize {
		return nil, errDamaged
	}
	r := inflaters.Get().(io.ReadCloser)
	defer inflaters.Put(r)
	body := bytes.NewReader(member[memberHeaderSize : len(member)-trailerSize])
	if err := r.(flate.Resetter).Reset(body, nil); err != nil {
		return nil, err
	}
	data := newBuffer()[:size]
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	var more [1]byte
	if n, err := r.Read(more[:]); n > 0 || err != io.EOF || body.Len() > 0 {
		return nil, errDamaged
	}
	if crc32.ChecksumIEEE(data) != binary.LittleEndian.Uint32(trailer) {
		return nil, errDamaged
	}
	return data, nil
}

func (z *gzipReader) Read(p []byte) (int, error) {
	for len(z.rest) == 0 {
		if z.err != nil {
			return 0, z.err
		}
		b, more := <-z.ordered
		if !more {
			z.err = io.EOF
			continue
		}
		<-b.ready
		freeBuffer(z.current)
		z.current, z.rest, z.err = b.data, b.data, b.failed
	}
	n := copy(p, z.rest)
	z.rest = z.rest[n:]
	return n, nil
}

// Close stops reading the input, once a running read returns.
func (z *gzipReader) Close() error {
	close(z.stop)
	return nil
}
