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

// StreamHeader is in an answer to OPTIONS of ShaCache, with the value chunked,
// when it takes contents whose length isn't known before.
const StreamHeader = "Shacache-Transfer"

// takesStreams asks for [StreamHeader]. Servers that don't know of it need the
// length, and expect to be asked for the content first (NC-20).
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

// stream uploads what write writes, while it does, and returns its sum. When
// writing fails, the server keeps nothing.
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
	reader.Close() // the server may have answered before the end
	// From here on nobody else touches the hash.
	failed := <-written
	switch {
	case failed != nil && !errors.Is(failed, io.ErrClosedPipe):
		return "", failed
	case err != nil:
		return "", err
	case failed != nil: // its sum would be that of the part that was sent
		return "", errors.New("shacache: the server answers an upload before its end")
	}
	sum = hex.EncodeToString(hash.Sum(nil))
	return sum, checkAnswer(answer, sum)
}
