// SPDX-License-Identifier: GPL-3.0-or-later

package networkcache

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"os"
	"sync"
)

// ErrChecksum is the error after a content that isn't the requested one.
var ErrChecksum = errors.New("Failed to download data to SHACACHE Server: invalid checksum.")

// Download opens the content with a sum. Reading it ends with io.EOF only if
// all of it was correct (NC-18); after any other error, discard everything made
// from it. If ShaCache doesn't have the content, the error is ErrNotFound.
func (c *Client) Download(ctx context.Context, sum string) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	response, err := c.cache.get(ctx, sum, nil)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("shacache: %w", err)
	}
	d := &download{ctx: ctx, cancel: cancel, service: c.cache, sum: sum, hash: sha512.New(), body: response.Body, length: -1, resumed: -1}
	if response.Header.Get("Accept-Ranges") == "bytes" {
		d.length = response.ContentLength
	}
	return d, nil
}

// A download resumes where it was cut off (NC-19).
type download struct {
	ctx     context.Context
	cancel  func() // also ends a wait for the rest, see Close
	service *service
	sum     string
	hash    hash.Hash

	length   int64 // of the content; -1: unknown, or can't be resumed
	position int64
	resumed  int64 // position of the last resume, to resume again only if that helped; -1: none
	err      error

	// Only one goroutine reads, but any may call Close, even during a read.
	mu     sync.Mutex // of body when it changes, and of closed
	body   io.ReadCloser
	closed bool
}

func (d *download) Read(p []byte) (int, error) {
	for d.err == nil {
		n, err := d.body.Read(p)
		d.hash.Write(p[:n])
		d.position += int64(n)
		if err != nil {
			d.err = d.ended(err)
		}
		if n > 0 {
			return n, d.err
		}
	}
	return 0, d.err
}

// ended decides what follows the end of a body, good or bad: an error, or nil
// if there is a new body.
func (d *download) ended(err error) error {
	if d.position < d.length && d.hasHelped(err) && d.ctx.Err() == nil {
		if again := d.resume(); again == nil {
			return nil
		}
	}
	if err == io.EOF && hex.EncodeToString(d.hash.Sum(nil)) != d.sum {
		return ErrChecksum
	}
	return err
}

// hasHelped reports whether the last resume made progress: any at all or, after
// a long wait, enough to be worth it.
func (d *download) hasHelped(err error) bool {
	if d.resumed >= 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		return d.position-d.resumed >= pace
	}
	return d.position > d.resumed
}

// resume requests the missing part.
func (d *download) resume() error {
	d.resumed = d.position
	header := http.Header{}
	if d.position > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", d.position))
	}
	response, err := d.service.get(d.ctx, d.sum, header)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusPartialContent { // the server sends all of it again
		_, err = io.CopyN(io.Discard, response.Body, d.position)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		err = fs.ErrClosed
	}
	if err != nil {
		response.Body.Close()
		return err
	}
	d.body.Close()
	d.body = response.Body
	return nil
}

func (d *download) Close() error {
	d.cancel()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	return d.body.Close()
}
