// SPDX-License-Identifier: GPL-3.0-or-later

package proximity

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"slapos/networkcache"
)

// A localError is a failure of this cache, not of an upstream.
type localError struct{ error }

func (e *localError) Unwrap() error { return e.error }

var errDiffers = errors.New("another upstream told another size")

// pieceSize is how much is read from an upstream before readers are woken.
const pieceSize = 128 << 10

// from asks an upstream once for what is missing. Without error, all has
// arrived; its sum isn't checked.
func (f *fetch) from(u *upstream) error {
	start := f.arrived
	header := http.Header{"Via": {f.via}}
	if start > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", start))
		if etag := f.etags[u]; etag != "" {
			header.Set("If-Range", etag)
		}
	}
	response, err := u.get(f.ctx, u.contents, f.sum, header)
	var status *networkcache.StatusError
	if start > 0 && !f.isOpen() && errors.As(err, &status) && status.Status == http.StatusRequestedRangeNotSatisfiable {
		if err := f.restart(); err != nil {
			return &localError{err}
		}
		return f.from(u)
	}
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if etag := response.Header.Get("Etag"); !strings.HasPrefix(etag, "W/") {
		f.etags[u] = etag
	}
	err = f.receive(u, response, start)
	if errors.Is(err, errDiffers) && !f.isOpen() {
		if err := f.restart(); err != nil {
			return &localError{err}
		}
		return f.from(u)
	}
	var here *localError
	if err != nil && f.ctx.Err() == nil && !errors.As(err, &here) {
		_ = u.failed(u.contents, f.sum, err)
	}
	return err
}

// receive takes the body of an answer to a request for what follows start.
func (f *fetch) receive(u *upstream, response *http.Response, start int64) error {
	size, begin, err := extent(response)
	maximum := f.cache.store.MaximumSize
	switch {
	case err != nil:
		return err
	case begin != 0 && begin != start:
		return fmt.Errorf("the answer begins at byte %d, not at %d", begin, start)
	case maximum > 0 && size > maximum:
		return fmt.Errorf("%w: %d bytes", errSize, size)
	case f.size >= 0 && size != f.size, size >= 0 && start > size:
		f.cache.shun(f.sum, f.sizedBy) // which hasn't sent it
		return fmt.Errorf("%w, %d instead of %d", errDiffers, size, max(f.size, start))
	}
	f.sizedBy = u
	f.change(func() { f.size = size })
	if size >= openAtOnce {
		f.open()
	}
	body := io.Reader(response.Body)
	if _, err := io.CopyN(io.Discard, body, start-begin); err != nil {
		return err
	}
	if size < 0 && maximum > 0 {
		body = io.LimitReader(body, maximum-start+1)
	}
	if !slices.Contains(f.sources, u) {
		f.sources = append(f.sources, u)
	}
	if err := f.copy(body); err != nil {
		return err
	}
	switch {
	case size < 0 && maximum > 0 && f.arrived > maximum:
		return fmt.Errorf("%w: more than %d bytes", errSize, maximum)
	case f.arrived < size:
		return io.ErrUnexpectedEOF
	}
	return nil
}

// copy appends to the file.
func (f *fetch) copy(body io.Reader) error {
	piece := make([]byte, pieceSize)
	for {
		n, err := body.Read(piece)
		if n > 0 {
			if _, err := f.file.WriteAt(piece[:n], f.arrived); err != nil {
				return &localError{err}
			}
			f.hash.Write(piece[:n])
			f.cache.counts.received.Add(float64(n))
			f.change(func() { f.arrived += int64(n) })
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// extent is the size of the content in an answer, -1 if that doesn't tell, and
// the byte with which its body begins.
func extent(response *http.Response) (size, begin int64, err error) {
	if response.StatusCode == http.StatusOK {
		return response.ContentLength, 0, nil
	}
	if response.StatusCode != http.StatusPartialContent {
		return 0, 0, fmt.Errorf("unexpected answer %s", response.Status)
	}
	return parseContentRange(response.Header.Get("Content-Range"))
}

// parseContentRange reads "bytes BEGIN-END/SIZE" of an answer up to the end of
// a content.
func parseContentRange(text string) (size, begin int64, err error) {
	extent, found := strings.CutPrefix(text, "bytes ")
	bounds, total, slash := strings.Cut(extent, "/")
	first, last, dash := strings.Cut(bounds, "-")
	numbers := make([]int64, 0, 3)
	for _, number := range []string{first, last, total} {
		if n, err := strconv.ParseUint(number, 10, 63); err == nil {
			numbers = append(numbers, int64(n))
		}
	}
	if !found || !slash || !dash || len(numbers) < 3 || numbers[0] > numbers[1] || numbers[1] != numbers[2]-1 {
		return 0, 0, fmt.Errorf("unexpected Content-Range %.100q", text)
	}
	return numbers[2], numbers[0], nil
}
