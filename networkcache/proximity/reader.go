// SPDX-License-Identifier: GPL-3.0-or-later

package proximity

import (
	"context"
	"errors"
	"io"
)

// A reader reads what has arrived of a content, and waits for the rest until
// its context ends. The size is known.
type reader struct {
	fetch    *fetch
	ctx      context.Context
	position int64
}

func (r *reader) Read(p []byte) (int, error) {
	f := r.fetch
	for len(p) > 0 {
		f.mu.Lock()
		size, readable, err, more := f.size, f.arrived, f.err, f.more
		if !f.verified {
			readable = min(readable, size-1) // a whole that is wrong mustn't look complete
		}
		f.mu.Unlock()
		switch {
		case err != nil:
			return 0, err
		case r.position >= size:
			return 0, io.EOF
		case r.position < readable:
			n, err := f.file.ReadAt(p[:min(int64(len(p)), readable-r.position)], r.position)
			r.position += int64(n)
			return n, err
		}
		select {
		case <-more:
		case <-r.ctx.Done():
			return 0, r.ctx.Err()
		}
	}
	return 0, nil
}

func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.position
	case io.SeekEnd:
		r.fetch.mu.Lock()
		offset += r.fetch.size
		r.fetch.mu.Unlock()
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning")
	}
	r.position = offset
	return offset, nil
}

// Close is called once.
func (r *reader) Close() error {
	r.fetch.cache.leave(r.fetch)
	return nil
}
