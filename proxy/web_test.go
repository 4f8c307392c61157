// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"slapos/networkcache/server"
	"slapos/proxy"
)

// TestHTTPProxy goes through PROXY-142.
func TestHTTPProxy(t *testing.T) {
	mux := http.NewServeMux()
	var seen *http.Request
	answer := func(w http.ResponseWriter, r *http.Request) {
		seen = r
		h := w.Header()
		h.Set("Content-Type", "text/x")
		h.Set("Etag", `"e"`)
		h.Set("Set-Cookie", "a=b")
		h.Set("Access-Control-Allow-Origin", "*")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "body")
	}
	mux.HandleFunc("/a/b", answer)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/p q%x" {
			answer(w, r)
		} else {
			http.NotFound(w, r)
		}
	})
	mux.HandleFunc("/fails", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	mux.HandleFunc("/made", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/a/b?x=1")
		w.WriteHeader(http.StatusCreated)
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/a/b", http.StatusFound) })
	var circles atomic.Int32
	mux.HandleFunc("/circle", func(w http.ResponseWriter, r *http.Request) {
		circles.Add(1)
		http.Redirect(w, r, "/circle", http.StatusFound)
	})
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "some")
	})
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 3<<20)) })
	backend := httptest.NewServer(mux)
	defer backend.Close()
	secure := httptest.NewTLSServer(mux)
	defer secure.Close()
	authority := strings.TrimPrefix(backend.URL, "http://")
	l := newLab(t, proxy.Options{})
	l.header = http.Header{"Cookie": {"c=d"}, "Authorization": {"Basic x"}, "Origin": {"http://o"}, "Range": {"bytes=0-1"}}
	got := l.get("/http_proxy/http/" + authority + "/a/b?q=1&r=%2F")
	if got.status != 201 || got.body != "body" || got.header.Get("Content-Type") != "text/x" || got.header.Get("Etag") != `"e"` ||
		got.header.Get("Access-Control-Allow-Origin") != "*" || got.header.Get("Content-Disposition") != "attachment" || got.header.Get("Set-Cookie") != "" {
		t.Errorf("answer: %s %v", got, got.header)
	}
	if seen.URL.RawQuery != "q=1&r=%2F" || seen.Header.Get("Authorization") != "Basic x" || seen.Header.Get("Origin") != "http://o" ||
		seen.Header.Get("Range") != "bytes=0-1" || seen.Header.Get("Cookie") != "" {
		t.Errorf("asked: %s %v", seen.URL, seen.Header)
	}
	l.header = http.Header{}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for _, c := range []struct {
		path   string
		status int
	}{
		{"http/" + authority + "/p%20q%25x", 201},
		{"http/" + authority + "/p%2520q%2525x", 201},
		{"https/" + strings.TrimPrefix(secure.URL, "https://") + "/a/b", 201},
		{"http/" + authority, 404},
		{"http/" + authority + "/fails", 520},
		{"http/" + authority + "/moved", 201},
		{"http/" + authority + "/circle", 520},
		{"http/" + authority + "/broken", 524},
		{"http/" + closed.Addr().String() + "/", 523},
		{"https/" + authority + "/", 526},
		{"ftp/" + authority + "/", 400},
		{"http/", 404},
	} {
		if got := l.get("/http_proxy/" + c.path); got.status != c.status {
			t.Errorf("%s: %s", c.path, got)
		}
	}
	if n := circles.Load(); n > 31 {
		t.Errorf("%d requests in a circle", n)
	}
	if got := l.get("/http_proxy/http/" + authority + "/large"); len(got.body) != 3<<20 {
		t.Errorf("%d bytes of a large body", len(got.body))
	}
	want := l.server.URL + "/http_proxy/http/" + authority + "/a/b?x=1"
	if got := l.get("/http_proxy/http/" + authority + "/made").header.Get("Location"); got != want {
		t.Errorf("Location %s, want %s", got, want)
	}
	if got := l.do("HEAD", "/http_proxy/http/"+authority+"/a/b", "", ""); got.status != 201 || got.body != "" {
		t.Errorf("HEAD: %s", got)
	}
}

// TestPublic goes through PROXY-141.
func TestPublic(t *testing.T) {
	folder := t.TempDir()
	for name, content := range map[string]string{"secret": "s", "public/a.json": "{}", "public/b c/é.bin": "b"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../secret", filepath.Join(folder, "public/link")); err != nil {
		t.Fatal(err)
	}
	l := newLab(t, proxy.Options{PublicDirectory: filepath.Join(folder, "public")})
	got := l.get("/panel/public/a.json")
	if got.body != "{}" || got.header.Get("Content-Disposition") != "attachment; filename=a.json" || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %v", got, got.header)
	}
	l.header.Set("If-None-Match", got.header.Get("Etag"))
	if got := l.get("/panel/public/a.json"); got.status != 304 {
		t.Errorf("again: %s", got)
	}
	l.header = http.Header{}
	if got := l.get("/panel/public/b%20c/%C3%A9.bin"); got.body != "b" || got.header.Get("Content-Disposition") != "attachment; filename*=utf-8''%C3%A9.bin" {
		t.Errorf("%s %v", got, got.header)
	}
	for _, path := range []string{"", "b%20c", "nope", "link", "../secret", "%2e%2e/secret", "..%2fsecret", "/etc/passwd", "%00"} {
		if got := l.get("/panel/public/" + path); got.status != 404 {
			t.Errorf("%s: %s", path, got)
		}
	}
	l.expect(newLab(t, proxy.Options{}).get("/panel/public/a.json"), 403, "The public directory path is not configured.")
}

// TestPanel goes through PROXY-140.
func TestPanel(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(3)
	l.request("<b>bold</b>")
	l.post("/supplySupply", "url", release, "computer_id", "local_computer", "state", "available")
	got := l.get("/panel/node?id=local_computer")
	for _, text := range []string{"local_computer", "&lt;b&gt;bold&lt;/b&gt;", "slappart0", "2 free partitions", release, `href="panel.css"`} {
		if !strings.Contains(got.body, text) {
			t.Errorf("the panel lacks %s:\n%s", text, got.body)
		}
	}
	if got := l.get("/panel/panel.css"); got.status != 200 || !strings.HasPrefix(got.header.Get("Content-Type"), "text/css") {
		t.Errorf("style: %d %v", got.status, got.header)
	}
	for _, path := range []string{"index.html", "nope", "x/panel.css", "..%2fproxy.go"} {
		if got := l.get("/panel/" + path); got.status != 404 {
			t.Errorf("%s: %s", path, got)
		}
	}
}

// TestShacache goes through PROXY-150 to 158.
// NC-71, NC-72, NC-73.
func TestShacache(t *testing.T) {
	l := newLab(t, proxy.Options{})
	for _, path := range []string{"cache/x", "dir/x"} {
		l.expect(l.get("/shacache/"+path), 503, "Shacache not configured")
	}
	folder := t.TempDir()
	upstream := cacheLab(t, filepath.Join(folder, "up"), proxy.Shacache{})
	l = cacheLab(t, filepath.Join(folder, "here"), proxy.Shacache{UpstreamCache: upstream.server.URL + "/shacache/cache/", UpstreamDirectory: upstream.server.URL + "/shacache/dir"})

	content := strings.Repeat("content", 100_000)
	digest := sha512.Sum512([]byte(content))
	sum := hex.EncodeToString(digest[:])
	upstream.expect(upstream.do("POST", "/shacache/cache", "", content), 201, sum)
	upstream.expect(upstream.do("POST", "/shacache/cache/", "", content), 201, sum)
	upstream.expect(upstream.do("PUT", "/shacache/cache/"+sum, "", content), 201, sum)
	upstream.expect(upstream.do("PUT", "/shacache/cache/00", "", content), 400, "Checksum mismatch")
	entry := fmt.Sprintf(`["{\"sha512\":\"%s\",\"file\":\"f\"}","sig"]`, sum)
	const json = "application/json"
	upstream.expect(upstream.do("PUT", "/shacache/dir/k1", json, entry), 201, "")
	upstream.expect(upstream.do("PUT", "/shacache/dir/k1", json, `{}`), 400, "Invalid entry format")
	for _, body := range []string{`[1]`, `[1, 2]`, `["a", null]`} {
		upstream.expect(upstream.do("PUT", "/shacache/dir/k1", json, body), 400, "Invalid entry format")
	}
	upstream.expect(upstream.do("PUT", "/shacache/dir/"+strings.Repeat("k", 256), json, entry), 400, "Key too long")
	if got := upstream.do("PUT", "/shacache/dir/k1", "text/plain", entry); got.status != 415 {
		t.Errorf("no JSON: %s", got)
	}
	stored := fmt.Sprintf(`[["{\"sha512\":\"%s\",\"file\":\"f\"}", "sig"]]`, sum)
	upstream.expect(upstream.get("/shacache/dir/k1"), 200, stored)

	// Through the one here, which keeps it.
	for range 2 {
		l.expect(l.get("/shacache/dir/k1"), 200, stored)
		got := l.get("/shacache/cache/" + sum)
		if got.body != content || got.header.Get("Content-Disposition") != "attachment; filename="+sum {
			t.Errorf("%.100s %v", got, got.header)
		}
	}
	l.header.Set("Range", "bytes=0-6")
	if got := l.get("/shacache/cache/" + sum); got.status != 206 || got.body != "content" {
		t.Errorf("range: %.100s", got)
	}
	l.header = http.Header{}
	for _, path := range []string{"cache/nope", "dir/nope", "cache/..", "dir/%2e%2e", "cache/a%2fb", "nope", "update/x"} {
		if got := l.get("/shacache/" + path); got.status != 404 {
			t.Errorf("%s: %s", path, got)
		}
	}
	here := func(name string) string { return filepath.Join(folder, "here", name) }
	if err := os.WriteFile(here("metadata/old"), []byte("[]"), 0o644); err != nil {
		t.Fatal(err)
	}
	l.expect(l.do("POST", "/shacache/update", "", ""), 200, `{"removed": ["old"], "updated": ["k1"]}`)

	// Without upstream, what isn't here goes.
	for name, text := range map[string]string{"notlist": "{}", "half": `[` + entry + `, ["{}", "s"]]`, "bad": "{", "gone": `[["{\"sha512\":\"1\"}", ""]]`} {
		if err := os.WriteFile(filepath.Join(folder, "up/metadata", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	upstream.expect(upstream.do("POST", "/shacache/update", "", ""), 200, `{"removed": ["gone", "half", "notlist"], "updated": []}`)
	upstream.expect(upstream.get("/shacache/dir/half"), 200, "["+entry+"]")
	files, _ := filepath.Glob(filepath.Join(folder, "*/content/.*"))
	if len(files) > 0 {
		t.Errorf("left over: %q", files)
	}
}

// Upstream is asked for contents and keys, never for what a path leads to.
func TestShacachePaths(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = io.WriteString(w, "[]")
	}))
	defer server.Close()
	l := cacheLab(t, t.TempDir(), proxy.Shacache{UpstreamCache: server.URL + "/cache", UpstreamDirectory: server.URL + "/dir"})
	for _, kind := range []string{"cache", "dir"} {
		for _, name := range []string{"%2e%2e", "%2e", "..%2fa", "a%2fb", "%2fa", "a%00"} {
			if got := l.get("/shacache/" + kind + "/" + name); got.status != 404 {
				t.Errorf("%s %s: %s", kind, name, got)
			}
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("upstream was asked %d times", n)
	}
	if l.expect(l.get("/shacache/dir/k"), 200, "[]"); asked.Load() != 1 {
		t.Error("upstream wasn't asked for a key")
	}
}

// NC-71.
func TestShacacheUpstreamFailures(t *testing.T) {
	status, body := 503, ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	defer server.Close()
	l := cacheLab(t, t.TempDir(), proxy.Shacache{UpstreamCache: server.URL, UpstreamDirectory: server.URL})
	l.expect(l.get("/shacache/cache/00"), 502, "Upstream returned 503")
	l.expect(l.get("/shacache/dir/k"), 502, "Upstream returned 503")
	status, body = 200, "not what it says"
	l.expect(l.get("/shacache/cache/00"), 502, "Upstream error: invalid checksum")
	if got := l.get("/shacache/dir/k"); got.status != 502 || !strings.HasPrefix(got.page(), "Upstream error: ") {
		t.Errorf("bad JSON: %s", got)
	}
	body = `{"a": 1}`
	l.expect(l.get("/shacache/dir/k"), 200, `{"a": 1}`)
	status = 404
	if got := l.get("/shacache/dir/k"); got.status != 404 {
		t.Errorf("what is no list was kept: %s", got)
	}
}

func cacheLab(t *testing.T, folder string, cache proxy.Shacache) *lab {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(folder, "content"), 0o755); err != nil {
		t.Fatal(err)
	}
	cache.Store = cacheStore(folder)
	return newLab(t, proxy.Options{Shacache: cache})
}

func cacheStore(folder string) server.Store {
	return server.Store{
		Contents: &server.Directory{Path: filepath.Join(folder, "content")},
		Entries:  &server.Files{Path: filepath.Join(folder, "metadata")},
	}
}
