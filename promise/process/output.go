// SPDX-License-Identifier: GPL-3.0-or-later

package process

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

const (
	// maxLine and maxMessage bound the memory of a line that never ends.
	maxLine    = 64 << 10
	maxMessage = 1 << 20
	// maxDrain bounds what is read after the child's end: the largest pipe that
	// an unprivileged process can have.
	maxDrain = 1 << 20
)

// output reads the merged output of a child (GRID-14).
type output struct {
	readEnd, writeEnd *os.File
	line              func(string)
	keep, maxLine     int
	partial, tail     []byte
	done              chan struct{}
}

func newOutput(line func(string), keep, maxLine int) (*output, error) {
	readEnd, writeEnd, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	return &output{readEnd: readEnd, writeEnd: writeEnd, line: line, keep: keep, maxLine: maxLine, done: make(chan struct{})}, nil
}

// read reads the pipe until all writers are gone or finish is called.
func (o *output) read() {
	defer close(o.done)
	buffer := make([]byte, 32<<10)
	for {
		n, err := o.readEnd.Read(buffer)
		o.consume(buffer[:n])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			o.drain(buffer)
			break
		}
		if err != nil {
			break
		}
	}
	if len(o.partial) > 0 {
		o.emit(o.partial)
	}
}

// drain reads what the pipe holds now, without waiting for a grandchild that
// keeps it open.
func (o *output) drain(buffer []byte) {
	connection, err := o.readEnd.SyscallConn()
	if err != nil {
		return
	}
	_ = connection.Control(func(fd uintptr) {
		for total := 0; total < maxDrain; {
			n, err := unix.Read(int(fd), buffer)
			if err == unix.EINTR {
				continue
			}
			if n <= 0 || err != nil {
				return
			}
			total += n
			o.consume(buffer[:n])
		}
	})
}

// finish is called after the child's end. It returns the end of the output.
func (o *output) finish() string {
	_ = o.readEnd.SetReadDeadline(time.Unix(1, 0)) // ends the wait of read
	<-o.done
	if excess := len(o.tail) - o.keep; excess > 0 {
		o.tail = o.tail[excess:]
		for len(o.tail) > 0 && !utf8.RuneStart(o.tail[0]) {
			o.tail = o.tail[1:] // the rest of a character that was cut
		}
	}
	return decode(o.tail)
}

func (o *output) consume(data []byte) {
	if o.keep > 0 {
		o.tail = append(o.tail, data...)
		if len(o.tail) > 2*o.keep+maxLine {
			o.tail = append(o.tail[:0], o.tail[len(o.tail)-o.keep:]...)
		}
	}
	if o.line == nil {
		return
	}
	for {
		end := bytes.IndexByte(data, '\n')
		if end < 0 {
			break
		}
		o.partial = append(o.partial, data[:end]...)
		o.emitPieces()
		o.emit(o.partial)
		o.partial, data = o.partial[:0], data[end+1:]
	}
	o.partial = append(o.partial, data...)
	o.emitPieces()
}

// emitPieces emits as much of an unfinished line as is too long for a piece.
func (o *output) emitPieces() {
	for len(o.partial) > o.maxLine {
		cut := o.maxLine
		for cut > o.maxLine-utf8.UTFMax && !utf8.RuneStart(o.partial[cut]) {
			cut--
		}
		o.emit(o.partial[:cut])
		o.partial = append(o.partial[:0], o.partial[cut:]...)
	}
}

func (o *output) emit(line []byte) {
	if o.line != nil {
		o.line(decode(bytes.TrimSuffix(line, []byte("\r"))))
	}
}

// decode replaces every undecodable byte.
func decode(data []byte) string {
	if utf8.Valid(data) {
		return string(data)
	}
	var text strings.Builder
	for len(data) > 0 {
		character, size := utf8.DecodeRune(data)
		text.WriteRune(character) // utf8.RuneError for a bad byte
		data = data[size:]
	}
	return text.String()
}
