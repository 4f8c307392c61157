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

// A gzip member of ours holds at most blockSize bytes. Smaller blocks compress
// worse: each begins without knowledge of what came before.
const blockSize = 2 << 20

// Compressing thoroughly keeps archives within a twentieth of zlib's best. Where
// a sample says that it gains less than three hundredths, half of the time is saved.
const (
	thoroughLevel = 7
	fastLevel     = 3
	sampleSize    = 64 << 10
)

// memberHeader begins each member. Its extra field, named SL, has the size of
// the member, this header included, in its last four bytes.
var memberHeader = [memberHeaderSize]byte{
	0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 8, 0, 'S', 'L', 4, 0,
}

const (
	memberHeaderSize = 20
	memberSizeAt     = 16
	trailerSize      = 8 // checksum and length of the data
	// maxMember is more than a block can take that doesn't compress.
	maxMember = blockSize + blockSize/1000 + 1024
)

// buffers have room for a block in either form. They are used again: new memory
// costs as much as to inflate what comes in.
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

// A block goes through a worker from one form to the other.
type block struct {
	data   []byte
	failed error
	ready  chan struct{} // closed when data or failed is set
}

// workers is how many blocks are worked on at once.
func workers() int { return min(runtime.GOMAXPROCS(0), 8) }

// A gzipWriter compresses blocks at once and writes them in order.
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
	go z.writeBlocks() // alone writes to w; Close waits for it
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

// flush hands the buffer to a worker. The length of the channel bounds how many
// are under way.
func (z *gzipWriter) flush() error {
	b := &block{ready: make(chan struct{})}
	data := z.buffer
	z.buffer = newBuffer()
	z.ordered <- b
	go func() { // owns data, and b until it is ready; writeBlocks waits for it
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
		_ = z.flush() // the failure is told below
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

// size is what the data would take.
func (d *deflater) size(data []byte) (int, error) {
	out := bytes.NewBuffer(newBuffer())
	defer func() { freeBuffer(out.Bytes()) }()
	err := d.write(out, data)
	return out.Len(), err
}

// deflaterFor looks at a sample of the data.
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

// memberSize reads the header of one of our members. The rest of a header that
// isn't one of ours is gzip's matter.
func memberSize(header []byte) (size int, ours bool) {
	if len(header) < memberHeaderSize || !bytes.Equal(header[:memberSizeAt], memberHeader[:memberSizeAt]) {
		return 0, false
	}
	n := binary.LittleEndian.Uint32(header[memberSizeAt:])
	return int(n), n > memberHeaderSize+trailerSize && n <= maxMember
}

// A gzipReader inflates our members at once.
type gzipReader struct {
	ordered chan *block
	stop    chan struct{}
	current []byte // the buffer of rest
	rest    []byte
	err     error
}

func newGzipReader(r io.Reader) *gzipReader {
	z := &gzipReader{ordered: make(chan *block, workers()), stop: make(chan struct{})}
	go z.readMembers(r) // alone reads r, until its end or, after Close, the next member
	return z
}

// readMembers hands members to workers until the input ends.
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
		go func() { // owns member, and b until it is ready
			defer close(b.ready)
			b.data, b.failed = inflate(member)
			freeBuffer(member)
		}()
	}
}

var errDamaged = errors.New("the archive is damaged")

// readMember returns io.EOF at the end of the input only.
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

// Close ends the reading of the input, as soon as a read under way returns.
func (z *gzipReader) Close() error {
	close(z.stop)
	return nil
}
