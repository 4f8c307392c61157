// SPDX-License-Identifier: GPL-3.0-or-later

package networkcache

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fakeCache is both services, to the letter of the protocol, with the failures
// that they can have.
type fakeCache struct {
	mu       sync.Mutex
	contents map[string][]byte
	entries  map[string][]string
	requests []string
	cut      int  // bodies end after so many bytes
	ranges   bool // understands ranges
	streams  bool // accepts bodies of unknown length
	refuses  bool // stores nothing more
}

func (f *fakeCache) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, r.Method+" "+r.URL.Path)
	if r.Header.Get("Connection") != "close" || r.Header.Get("Accept-Encoding") != "identity" {
		http.Error(w, "headers", http.StatusBadRequest)
		return
	}
	service, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if f.refuses && r.Method == "POST" {
		http.Error(w, "full", http.StatusInsufficientStorage)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || r.ContentLength < 0 && !f.streams {
		http.Error(w, "body", http.StatusBadRequest)
		return
	}
	switch r.Method + " " + service {
	case "OPTIONS cache":
		if f.streams {
			w.Header().Set(StreamHeader, "chunked")
		}
	case "GET cache":
		f.get(w, r, name)
	case "POST cache":
		sum := sumOf(body)
		f.contents[sum] = body
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, sum)
	case "GET dir":
		if list, found := f.entries[name]; found {
			io.WriteString(w, "["+strings.Join(list, ", ")+"]")
		} else {
			http.NotFound(w, r)
		}
	case "PUT dir":
		f.entries[name] = append(f.entries[name], string(body))
		w.WriteHeader(http.StatusCreated)
	default:
		http.Error(w, "request", http.StatusMethodNotAllowed)
	}
}

func (f *fakeCache) get(w http.ResponseWriter, r *http.Request, name string) {
	content, found := f.contents[name]
	if !found {
		http.NotFound(w, r)
		return
	}
	start := 0
	w.Header().Set("Accept-Ranges", "bytes")
	if text := r.Header.Get("Range"); f.ranges && text != "" {
		fmt.Sscanf(text, "bytes=%d-", &start)
		w.Header().Set("Content-Length", fmt.Sprint(len(content)-start))
		w.WriteHeader(http.StatusPartialContent)
	} else {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
	}
	content = content[start:]
	if f.cut > 0 && len(content) > f.cut {
		content = content[:f.cut]
	}
	w.Write(content)
}

func sumOf(content []byte) string {
	sum := sha512.Sum512(content)
	return hex.EncodeToString(sum[:])
}

func startFake(t *testing.T) (*fakeCache, Config) {
	t.Helper()
	fake := &fakeCache{contents: map[string][]byte{}, entries: map[string][]string{}, ranges: true}
	server := httptest.NewUnstartedServer(fake)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.Start()
	t.Cleanup(server.Close)
	return fake, Config{
		Cache:     Service{Download: server.URL + "/cache/", Upload: server.URL + "/cache/"},
		Directory: Service{Download: server.URL + "/dir", Upload: server.URL + "/dir"},
		Timeout:   10 * time.Second,
	}
}

func newTestClient(t *testing.T, config Config) *Client {
	t.Helper()
	client, err := NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// newIdentity makes a key file and a list with only its certificate.
func newIdentity(t testing.TB) (keyFile, certificate string) {
	t.Helper()
	key, text, err := GenerateKey("COMP-TEST", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	keyFile = filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(keyFile, key, 0o600); err != nil {
		t.Fatal(err)
	}
	return keyFile, string(text)
}

// NC-10, NC-11, NC-12, NC-13.
func TestUploadAndDownload(t *testing.T) {
	ctx := context.Background()
	fake, config := startFake(t)
	config.SignatureKeyFile, config.CertificateList = newIdentity(t)
	client := newTestClient(t, config)
	content := []byte("hello\n")
	for range 2 {
		sum, err := client.Upload(ctx, bytes.NewReader(content))
		if err != nil || sum != sumOf(content) {
			t.Fatalf("%s %v", sum, err)
		}
	}
	wanted := "GET /cache/S, POST /cache, GET /cache/S"
	if got := strings.ReplaceAll(strings.Join(fake.requests, ", "), sumOf(content), "S"); got != wanted { // NC-20
		t.Errorf("requests %s, want %s", got, wanted)
	}
	if err := client.Index(ctx, "pypi:a=1", sumOf(content), []Field{{"basename", "é\U0001F600\"\n"}, {"list", []any{1, true, nil, map[string]int{"a": 2}}}}); err != nil {
		t.Fatal(err)
	}
	if err := client.Index(ctx, "pypi:a=1", sumOf(content), nil); err == nil {
		t.Error("an entry without metadata")
	}
	entries, err := client.Entries(ctx, "pypi:a=1")
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	want := `{"sha512": "` + sumOf(content) + `", "basename": "\u00e9\ud83d\ude00\"\n", "list": [1, true, null, {"a": 2}]}`
	if entries[0].Content != want || !client.Trusts(entries[0]) { // NC-33
		t.Errorf("entry %v\nwant %s", entries[0], want)
	}
	r, err := client.Download(ctx, entries[0].SHA512())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); string(got) != "hello\n" || err != nil {
		t.Errorf("%q %v", got, err)
	}
}

func TestFailures(t *testing.T) {
	ctx := context.Background()
	fake, config := startFake(t)
	client := newTestClient(t, config)
	if _, err := client.Entries(ctx, "missing"); !errors.Is(err, ErrNotFound) {
		t.Errorf("missing key: %v", err)
	}
	if _, err := client.Download(ctx, "missing"); !errors.Is(err, ErrNotFound) {
		t.Errorf("missing content: %v", err)
	}
	fake.contents["wrong"] = []byte("something else")
	r, err := client.Download(ctx, "wrong")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadAll(r); !errors.Is(err, ErrChecksum) { // NC-18
		t.Errorf("wrong content: %v", err)
	}
	signer, _ := newIdentity(t)
	_, others := newIdentity(t)
	config.SignatureKeyFile, config.CertificateList = signer, others
	if _, err := NewClient(config); !errors.Is(err, ErrForeignSigner) { // NC-4
		t.Errorf("foreign signer: %v", err)
	}
}

// A redirect is an error (NC-15), and a password is sent but not shown (NC-21).
func TestAnswers(t *testing.T) {
	var authorization string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorization = r.Header.Get("Authorization")
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}))
	defer server.Close()
	base := strings.Replace(server.URL, "http://", "http://user:secret@", 1)
	client := newTestClient(t, Config{Cache: Service{Download: base, Upload: base}})
	_, err := client.Download(context.Background(), "x")
	var status *StatusError
	if !errors.As(err, &status) || status.Status != http.StatusFound || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v", err)
	}
	if authorization != "Basic dXNlcjpzZWNyZXQ=" {
		t.Errorf("authorization %q", authorization)
	}
	if _, err := client.Upload(context.Background(), strings.NewReader("x")); err == nil {
		t.Error("an upload that is redirected succeeds")
	}
}

// Content that a cache has stored under another sum doesn't count as stored,
// and isn't signed.
func TestUploadElsewhere(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, sumOf([]byte("other")))
	}))
	defer server.Close()
	client := newTestClient(t, Config{Cache: Service{Upload: server.URL}})
	if _, err := client.Upload(t.Context(), strings.NewReader("content")); err == nil {
		t.Error("no error")
	}
}

// The client stops reading an answer that is longer than any correct one.
func TestAnswersAreLimited(t *testing.T) {
	const large = 256 << 20
	sent := make(chan int, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(map[string]int{http.MethodGet: http.StatusOK, http.MethodPost: http.StatusCreated}[r.Method])
		piece, total := bytes.Repeat([]byte(" "), 1<<20), 0
		for total < large {
			n, err := w.Write(piece)
			if total += n; err != nil {
				break
			}
		}
		sent <- total
	}))
	defer server.Close()
	client := newTestClient(t, Config{Cache: Service{Upload: server.URL}, Directory: Service{Download: server.URL}})
	for name, call := range map[string]func() error{
		"entries": func() error { _, err := client.Entries(t.Context(), "key"); return err },
		"upload":  func() error { _, err := client.Upload(t.Context(), strings.NewReader("x")); return err },
	} {
		if err := call(); err == nil {
			t.Errorf("%s: taken", name)
		}
		if n := <-sent; n >= large {
			t.Errorf("%s: all of %d bytes were read", name, n)
		}
	}
}

// Truncated bodies are resumed (NC-19).
func TestResume(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 100000)
	for _, ranges := range []bool{true, false} {
		fake, config := startFake(t)
		fake.contents[sumOf(content)] = content
		fake.cut, fake.ranges = 300000, ranges
		client := newTestClient(t, config)
		r, err := client.Download(context.Background(), sumOf(content))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		got, err := io.ReadAll(r)
		if ranges && (err != nil || !bytes.Equal(got, content)) {
			t.Errorf("resumed: %d bytes, %v, after %v", len(got), err, fake.requests)
		}
		if !ranges && err == nil {
			t.Error("a body that never comes whole is accepted")
		}
		if len(fake.requests) > 5 {
			t.Errorf("%d requests", len(fake.requests))
		}
	}
}

// NC-17.
func TestTimeout(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		io.WriteString(w, "hello")
		w.(http.Flusher).Flush()
		<-release
	}))
	defer server.Close()
	defer close(release)
	client := newTestClient(t, Config{Cache: Service{Download: server.URL}, Timeout: 50 * time.Millisecond})
	r, err := client.Download(context.Background(), "x")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadAll(r); err == nil {
		t.Error("a silent server is waited for")
	}
}

// NC-17: the default waits, and those of longer timeouts.
func TestTimeouts(t *testing.T) {
	for timeout, want := range map[time.Duration][2]time.Duration{
		0: {time.Minute, time.Hour}, 2 * time.Hour: {time.Minute, time.Hour}, time.Second: {time.Second, time.Second},
	} {
		client := newTestClient(t, Config{Timeout: timeout})
		for _, service := range []*service{client.cache, client.directory} {
			got := [2]time.Duration{}
			for i, one := range []*http.Client{service.download, service.upload} {
				got[i] = one.Transport.(*http.Transport).TLSHandshakeTimeout
			}
			if got != want {
				t.Errorf("Timeout %v: download and upload wait %v, want %v", timeout, got, want)
			}
		}
	}
}

// A server that sends a byte now and then is given up, too, not resumed for
// ever.
func TestDrops(t *testing.T) {
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		w.Header().Set("Accept-Ranges", "bytes")
		w.Header().Set("Content-Length", "1000000")
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				if _, err := io.WriteString(w, "x"); err != nil {
					return
				}
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	}))
	defer server.Close()
	client := newTestClient(t, Config{Cache: Service{Download: server.URL}, Timeout: 300 * time.Millisecond})
	r, err := client.Download(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadAll(r); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if n := requests.Load(); n > 3 {
		t.Errorf("%d requests", n)
	}
}
