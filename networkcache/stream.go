// SPDX-License-Identifier: GPL-3.0-or-later

package networkcache

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"time"
)

// StreamHeader is a header in ShaCache's answer to OPTIONS. Its value is
// chunked if ShaCache accepts contents of unknown length.
const StreamHeader = "Shacache-Transfer"

// takesStreams asks for [StreamHeader]. Servers that don't know it need the
// length, and expect a request for the content first (NC-20).
func (c *Client) takesStreams(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodOptions, address(c.cache.Upload, ""), nil)
	if err != nil {
		return false
	}
	request.Header.Set("Accept-Encoding", "identity")
	response, err := c.cache.upload.Do(request)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.Header.Get(StreamHeader) == "chunked"
}

// stream uploads while write writes, and returns the sum. If write fails, the
// server keeps nothing.
func (c *Client) stream(ctx context.Context, write func(io.Writer) error) (sum string, err error) {
	reader, writer := io.Pipe()
	hash := sha512.New()
	written := make(chan error, 1)
	go func() { // owns the writer and the hash until written has its error
		err := write(io.MultiWriter(writer, hash))
		writer.CloseWithError(err)
		written <- err
	}()
	answer, err := c.post(ctx, -1, reader)
	reader.Close() // the server may answer before the end
	// From here on only this goroutine uses the hash.
	failed := <-written
	switch {
	case failed != nil && !errors.Is(failed, io.ErrClosedPipe):
		return "", failed
	case err != nil:
		return "", err
	case failed != nil: // the sum would be that of the part that was sent
		return "", errors.New("shacache: the server answered before the upload ended")
	}
	sum = hex.EncodeToString(hash.Sum(nil))
	return sum, checkAnswer(answer, sum)
}
