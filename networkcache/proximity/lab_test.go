// SPDX-License-Identifier: GPL-3.0-or-later

package proximity

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"slapos/networkcache"
	"slapos/networkcache/server"
	"slapos/slap/testkit"
)

// A far is a server whose requests are seen, and may be answered otherwise.
type far struct {
	url   string
	store server.Store
	// instead answers a request, unless it returns false.
	instead func(w http.ResponseWriter, r *http.Request) bool

	mu       sync.Mutex
	requests []*http.Request
}

func startFar(t *testing.T) *far {
	t.Helper()
	f := &far{store: server.Store{Contents: &server.Directory{Path: t.TempDir()}, Entries: &server.Files{Path: t.TempDir()}}}
	real := server.New(server.Options{Store: f.store, MayUpload: func(*http.Request) bool { return true }})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.requests = append(f.requests, r)
		f.mu.Unlock()
		if f.instead == nil || !f.instead(w, r) {
			real.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(web.Close)
	f.url = web.URL
	return f
}

// seen are the requests so far for a path that has a word, and their headers.
func (f *far) seen(word string) (seen []*http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.requests {
		if strings.Contains(r.URL.Path, word) {
			seen = append(seen, r)
		}
	}
	return seen
}

func (f *far) put(t *testing.T, content string) (sum string) {
	t.Helper()
	sum, err := f.store.Contents.Store(t.Context(), strings.NewReader(content), "")
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func (f *far) add(t *testing.T, key string, entry networkcache.Entry) {
	t.Helper()
	if err := f.store.Entries.Add(t.Context(), key, entry.Text(), ""); err != nil {
		t.Fatal(err)
	}
}

// A near is a proximity cache under test.
type near struct {
	*Cache
	url, directory string
	log            *lines
	clock          *clock
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// lines collect a log.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func upstreamAt(t testing.TB, url string) Upstream {
	t.Helper()
	cache, directory, err := networkcache.ParsePlace(url)
	if err != nil {
		t.Fatal(err)
	}
	return Upstream{networkcache.Service{Download: cache, Upload: cache}, networkcache.Service{Download: directory, Upload: directory}}
}

// startNear starts a cache in a directory, or a new one if that is "", before
// servers with these URLs.
func startNear(t *testing.T, directory string, change func(*Options), urls ...string) *near {
	t.Helper()
	if directory == "" {
		directory = t.TempDir()
	}
	n := &near{directory: directory, log: new(lines), clock: &clock{now: time.Now()}}
	store := &server.Store{
		Contents: &server.Directory{Path: directory}, Entries: &server.Files{Path: filepath.Join(directory, "dir")},
		Logger: slog.New(slog.NewTextHandler(n.log, nil)), Now: n.clock.time,
	}
	options := Options{Store: store, Fresh: time.Minute, Wait: 20 * time.Second}
	for _, url := range urls {
		options.Upstreams = append(options.Upstreams, upstreamAt(t, url))
	}
	if change != nil {
		change(&options)
	}
	var err error
	if n.Cache, err = New(options); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(server.New(server.Options{Store: *store, Origin: n.Cache}))
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
		n.Close()
	})
	n.url = web.URL
	return n
}

// An answer is what a client got; err is why its body ended early.
type answer struct {
	status int
	body   string
	header http.Header
	err    error
}

func ask(t testing.TB, method, url, body string, headers ...string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return answer{err: err}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, string(text), response.Header, err}
}

func (n *near) get(t testing.TB, sum string, headers ...string) answer {
	t.Helper()
	return ask(t, "GET", n.url+"/shacache/cache/"+sum, "", headers...)
}

func (n *near) entries(t testing.TB, key string, headers ...string) answer {
	t.Helper()
	return ask(t, "GET", n.url+"/shacache/dir/"+key, "", headers...)
}

// has reports whether the content is stored, once nothing is being fetched.
func (n *near) has(t *testing.T, sum string) bool {
	t.Helper()
	n.settle(t)
	has, err := n.store.Contents.Has(t.Context(), sum)
	if err != nil {
		t.Fatal(err)
	}
	return has
}

func (n *near) settle(t *testing.T) {
	t.Helper()
	testkit.Eventually(t, 10*time.Second, "the fetches haven't ended", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return len(n.fetches) == 0
	})
}

func noise(size int) string {
	content := make([]byte, size)
	rand.NewChaCha8([32]byte{1}).Read(content)
	return string(content)
}

func sumOf(content string) string {
	sum := sha512.Sum512([]byte(content))
	return hex.EncodeToString(sum[:])
}

func entryOf(sum string) networkcache.Entry {
	return networkcache.Entry{Content: fmt.Sprintf(`{"sha512": "%s", "é": 1}`, sum), Signature: "c2ln"}
}

// serveRanges answers with a content as any server does.
func serveRanges(w http.ResponseWriter, r *http.Request, content string) {
	w.Header().Set("Etag", `"a tag"`)
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
}

// abort ends an answer in the middle, after what was written.
func abort(w http.ResponseWriter) {
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}
