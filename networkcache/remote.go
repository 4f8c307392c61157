// SPDX-License-Identifier: GPL-3.0-or-later

package networkcache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A Remote is a service elsewhere, for caches of caches: answers are handed on
// as they come. Several goroutines can use it.
type Remote struct{ service *service }

// NewRemote reads the files that s names. The remote waits that long for a
// connection and for each 16 KiB of an answer.
func NewRemote(s Service, wait time.Duration) (*Remote, error) {
	made, err := newService(s, wait, wait)
	return &Remote{made}, err
}

// Get requests a name. Answers other than success are a [StatusError].
func (r *Remote) Get(ctx context.Context, name string, header http.Header) (*http.Response, error) {
	return r.service.get(ctx, name, header)
}

// Send uploads size bytes under a name, or the base URL if that is "". Answers
// other than 201 are a [StatusError].
func (r *Remote) Send(ctx context.Context, method, name string, header http.Header, size int64, content io.Reader) (*http.Response, error) {
	return r.service.send(ctx, method, name, header, size, io.NopCloser(content))
}

// Redacted is the URL to download from, without password.
func (r *Remote) Redacted() string { return redacted(r.service.Download) }

// ParsePlace reads where a cache is: the URLs of shacache and shadir with blanks
// between, or one URL, below which they are at /shacache/cache and /shacache/dir
// as those of slapos cache start; /shacache may be part of it (NC-93).
func ParsePlace(text string) (cache, directory string, err error) {
	words := strings.Fields(text)
	for _, word := range words {
		parsed, err := url.Parse(word)
		if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" || strings.ContainsAny(word, "?#") {
			return "", "", fmt.Errorf("%.300q is no address of a cache, as http://HOST:PORT", word)
		}
	}
	switch len(words) {
	case 1:
		base := strings.TrimSuffix(strings.TrimRight(words[0], "/"), "/shacache") + "/shacache"
		return base + "/cache", base + "/dir", nil
	case 2:
		return words[0], words[1], nil
	}
	return "", "", errors.New("not the address of a cache: give http://HOST:PORT, or the URLs of shacache and shadir with a blank between")
}
