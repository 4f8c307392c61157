// SPDX-License-Identifier: GPL-3.0-or-later

package proximity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
	"unicode/utf8"

	"slapos/networkcache"
	"slapos/networkcache/server"
)

// An upstream is a cache that is asked. One that can't be reached isn't asked
// again for some time, so that it costs its clients' time only now and then.
type upstream struct {
	cache            *Cache
	contents, direct *networkcache.Remote

	mu   sync.Mutex
	away time.Time // until then it isn't asked
}

func newUpstream(c *Cache, u Upstream) (made *upstream, err error) {
	made = &upstream{cache: c}
	if made.contents, err = networkcache.NewRemote(u.Cache, c.options.Wait); err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	if made.direct, err = networkcache.NewRemote(u.Directory, c.options.Wait); err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	return made, nil
}

// rest is how long an upstream that can't be reached isn't asked.
const rest = 10 * time.Second

var errAway = errors.New("can't be reached")

// get asks for a name. The error [networkcache.ErrNotFound] is an answer, others
// are logged.
func (u *upstream) get(ctx context.Context, remote *networkcache.Remote, name string, header http.Header) (*http.Response, error) {
	u.mu.Lock()
	isAway := u.cache.store.Now().Before(u.away)
	u.mu.Unlock()
	if isAway {
		return nil, errAway
	}
	response, err := remote.Get(ctx, name, header)
	u.cache.counts.asked(err)
	if err == nil || errors.Is(err, networkcache.ErrNotFound) {
		return response, err
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var status *networkcache.StatusError
	if !errors.As(err, &status) {
		u.mu.Lock()
		u.away = u.cache.store.Now().Add(rest)
		u.mu.Unlock()
	}
	return nil, u.failed(remote, name, err)
}

// failed logs an error and returns it.
func (u *upstream) failed(remote *networkcache.Remote, name string, err error) error {
	u.cache.store.Logger.Warn("Upstream failed", "upstream", remote.Redacted(), "name", name, "error", err)
	return err
}

// maximumEntries bounds the entries of a key, in bytes, as for every client.
const maximumEntries = 16 << 20

// entries asks for those of a key.
func (u *upstream) entries(ctx context.Context, key, via string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*u.cache.options.Wait)
	defer cancel()
	response, err := u.get(ctx, u.direct, key, http.Header{"Via": {via}})
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maximumEntries+1))
	if err == nil && len(text) > maximumEntries {
		err = fmt.Errorf("more than %d bytes of entries", maximumEntries)
	}
	if err == nil {
		text, err = onlyEntries(text)
	}
	if err != nil {
		return nil, u.failed(u.direct, key, err)
	}
	return text, nil
}

// onlyEntries leaves out what isn't an entry, and keeps the others byte by byte.
func onlyEntries(text []byte) ([]byte, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(text, &list); err != nil || list == nil || !utf8.Valid(text) {
		return nil, errors.New("the answer is no list of entries")
	}
	kept := []byte{'['}
	for _, entry := range list {
		if _, err := networkcache.ParseEntry(entry); err != nil {
			continue
		}
		if len(kept) > 1 {
			kept = append(kept, ", "...)
		}
		kept = append(kept, entry...)
	}
	return append(kept, ']'), nil
}

// putContent uploads a content.
func (u *upstream) putContent(ctx context.Context, via, sum string, content io.ReadSeeker) error {
	size, err := content.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = content.Seek(0, io.SeekStart)
	}
	if err != nil {
		return err
	}
	header := http.Header{"Via": {via}, "Content-Type": {"application/octet-stream"}}
	response, err := u.contents.Send(ctx, http.MethodPost, "", header, size, content)
	if err != nil {
		return u.refused(u.contents, sum, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1024))
	if err == nil && string(answer) != sum {
		err = fmt.Errorf("it answers %.128q instead of the sum", answer)
	}
	if err != nil {
		return u.refused(u.contents, sum, err)
	}
	return nil
}

// putEntry adds an entry.
func (u *upstream) putEntry(ctx context.Context, via, key string, entry []byte) error {
	header := http.Header{"Via": {via}, "Content-Type": {"application/json"}}
	response, err := u.direct.Send(ctx, http.MethodPut, key, header, int64(len(entry)), bytes.NewReader(entry))
	if err != nil {
		return u.refused(u.direct, key, err)
	}
	return response.Body.Close()
}

// refused logs why an upload failed, and makes it an answer: what the client
// can do something about, such as no space, keeps its status.
func (u *upstream) refused(remote *networkcache.Remote, name string, err error) error {
	_ = u.failed(remote, name, err)
	var status *networkcache.StatusError
	if errors.As(err, &status) && status.Status != http.StatusUnauthorized && status.Status != http.StatusNotFound && status.Status >= 400 {
		return &server.Refusal{Status: status.Status, Text: "The upstream refuses this upload"}
	}
	return errUpstream
}
