// SPDX-License-Identifier: GPL-3.0-or-later

package server

import (
	"bytes"
	"context"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"slapos/networkcache"
	"slapos/slap/testkit"
)

func start(t *testing.T, options Options) (*Server, string) {
	t.Helper()
	if options.Store.Contents == nil {
		options.Store.Contents = &Directory{Path: t.TempDir(), Now: options.Store.Now}
	}
	if options.Store.Entries == nil {
		options.Store.Entries = &Files{Path: filepath.Join(t.TempDir(), "dir")}
	}
	s := New(options)
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	return s, web.URL
}

// ask returns status and body.
func ask(t *testing.T, method, url, body string, headers ...string) (int, string) {
	t.Helper()
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func sumOf(content string) string {
	sum := sha512.Sum512([]byte(content))
	return hex.EncodeToString(sum[:])
}

// NC-10, NC-11.
// D-20.
func TestContents(t *testing.T) {
	_, url := start(t, Options{})
	url += "/shacache/cache"
	sum, other := sumOf("hello"), sumOf("other")
	for _, test := range []struct {
		method, path, body string
		status             int
		answer             string
		headers            []string
	}{
		{"GET", "/" + sum, "", 404, "Not found\n", nil},
		{"POST", "", "hello", 201, sum, nil},
		{"POST", "/", "hello", 201, sum, nil},
		{"PUT", "/" + sum, "hello", 201, sum, nil},
		{"PUT", "/" + other, "hello", 400, "Checksum mismatch\n", nil},
		{"PUT", "/x", "hello", 400, "Checksum mismatch\n", nil},
		{"GET", "/" + other, "", 404, "Not found\n", nil},
		{"GET", "/" + sum, "", 200, "hello", nil},
		{"GET", "/" + sum, "", 206, "ell", []string{"Range", "bytes=1-3"}},
		{"GET", "/" + sum, "", 206, "lo", []string{"Range", "bytes=3-"}},
		{"GET", "/" + sum, "", 416, "invalid range: failed to overlap\n", []string{"Range", "bytes=5-"}},
		{"GET", "/" + sum, "", 304, "", []string{"If-None-Match", `"` + sum + `"`}},
		{"GET", "/" + strings.ToUpper(sum), "", 404, "Not found\n", nil},
		{"GET", "/..%2fdir", "", 404, "Not found\n", nil},
		{"DELETE", "/" + sum, "", 405, "Method Not Allowed\n", nil},
		{"POST", "", "", 201, sumOf(""), nil},
	} {
		status, answer := ask(t, test.method, url+test.path, test.body, test.headers...)
		if status != test.status || answer != test.answer {
			t.Errorf("%s %.20s %v: %d %q, want %d %q", test.method, test.path, test.headers, status, answer, test.status, test.answer)
		}
	}
}

// NC-12, NC-13, NC-14.
// D-20: all entries of a key, the newest first.
func TestEntries(t *testing.T) {
	directory := t.TempDir()
	_, url := start(t, Options{Store: Store{Entries: &Files{Path: directory}}})
	url += "/shacache/dir/"
	entry := func(n int) string { return fmt.Sprintf(`["{\"sha512\": \"%d\", \"é\": 1}", "c2ln"]`, n) }
	if status, _ := ask(t, "GET", url+"pypi:a=1", ""); status != 404 {
		t.Errorf("unknown key: %d", status)
	}
	for _, n := range []int{1, 2, 3, 2} {
		if status, answer := ask(t, "PUT", url+"pypi:a=1", entry(n)); status != 201 || answer != "" {
			t.Errorf("PUT: %d %q", status, answer)
		}
	}
	want := "[" + entry(2) + ", " + entry(3) + ", " + entry(1) + "]"
	if status, answer := ask(t, "GET", url+"pypi:a=1", ""); status != 200 || answer != want {
		t.Errorf("GET: %d %s, want %s", status, answer, want)
	}
	if text, err := os.ReadFile(filepath.Join(directory, "pypi:a=1")); string(text) != want {
		t.Errorf("stored %s %v", text, err)
	}
	for _, body := range []string{``, `{}`, `[]`, `["a"]`, `["a", "b", "c"]`, `["a", 1]`, `["a", null]`, `["a", "b"] x`, `[["a", "b"]]`, "\xff", "[\"\xff\", \"\"]"} {
		if status, _ := ask(t, "PUT", url+"bad", body); status != 400 {
			t.Errorf("PUT %q: %d", body, status)
		}
	}
	for key, status := range map[string]int{
		".hidden": 201, "a%20b": 201, "...": 201, "%2e%2e%2fx": 400, "x%2fy": 400, "x%00": 400,
		strings.Repeat("k", 255): 201, strings.Repeat("k", 256): 400,
	} {
		if got, _ := ask(t, "PUT", url+key, entry(1)); got != status {
			t.Errorf("PUT %.20s: %d, want %d", key, got, status)
		}
	}
	if status, _ := ask(t, "PUT", url+"large", `["`+strings.Repeat("x", maximumEntry)+`", ""]`); status != 413 {
		t.Errorf("large entry: %d", status)
	}
	if left, _ := filepath.Glob(filepath.Join(directory, newPrefix+"*")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// Many simultaneous uploads are stored whole.
func TestConcurrent(t *testing.T) {
	_, url := start(t, Options{})
	content := strings.Repeat("0123456789", 100000)
	var running sync.WaitGroup
	for n := range 8 {
		running.Go(func() {
			if status, sum := ask(t, "POST", url+"/shacache/cache", content); status != 201 || sum != sumOf(content) {
				t.Errorf("POST: %d %s", status, sum)
			}
			if status, answer := ask(t, "GET", url+"/shacache/cache/"+sumOf(content), ""); status != 200 || answer != content {
				t.Errorf("GET: %d, %d bytes", status, len(answer))
			}
			ask(t, "PUT", url+"/shacache/dir/key", fmt.Sprintf(`["%d", ""]`, n))
		})
	}
	running.Wait()
	_, text := ask(t, "GET", url+"/shacache/dir/key", "")
	if entries, err := networkcache.ParseEntries([]byte(text)); len(entries) != 8 || err != nil {
		t.Errorf("%v %v", entries, err)
	}
}

// A truncated upload leaves nothing.
func TestCutOff(t *testing.T) {
	s, url := start(t, Options{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /shacache/cache HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(conn)
	if !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
		t.Errorf("answer %q", answer)
	}
	if left, _ := os.ReadDir(s.store.Contents.(*Directory).Path); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestUploaders(t *testing.T) {
	for _, test := range []struct {
		name      string
		uploaders Uploaders
		address   string
		headers   [2]string
		want      bool
	}{
		{"this machine", Uploaders{}, "127.0.0.1:1", [2]string{}, true},
		{"this machine, IPv6", Uploaders{}, "[::1]:1", [2]string{}, true},
		{"another", Uploaders{}, "192.0.2.1:1", [2]string{}, false},
		{"another through a proxy here", Uploaders{}, "127.0.0.1:1", [2]string{"X-Forwarded-For", "192.0.2.1"}, false},
		{"another through a standard proxy here", Uploaders{}, "127.0.0.1:1", [2]string{"Forwarded", "for=192.0.2.1"}, false},
		{"another through nginx here", Uploaders{}, "127.0.0.1:1", [2]string{"X-Real-Ip", "192.0.2.1"}, false},
		{"another through a cache here", Uploaders{}, "127.0.0.1:1", [2]string{"Via", "1.1 proxy"}, false},
		{"this machine is no exception", Uploaders{NotLoopback: true}, "127.0.0.1:1", [2]string{}, false},
		{"token", Uploaders{Tokens: []string{"a", "b"}}, "192.0.2.1:1", [2]string{"Authorization", "Bearer b"}, true},
		{"password", Uploaders{Tokens: []string{"a"}}, "192.0.2.1:1", [2]string{"Authorization", "Basic dTph"}, true},
		{"wrong token", Uploaders{Tokens: []string{"a"}}, "127.0.0.1:1", [2]string{"Authorization", "Bearer b"}, false},
		{"token without any", Uploaders{}, "192.0.2.1:1", [2]string{"Authorization", "Bearer x"}, false},
		{"nobody", Uploaders{}, "", [2]string{}, false},
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r.RemoteAddr = test.address
		if test.headers[0] != "" {
			r.Header.Set(test.headers[0], test.headers[1])
		}
		if got := test.uploaders.Allow(r); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
	r := httptest.NewRequest("POST", "/", nil)
	r.RemoteAddr, r.TLS = "192.0.2.1:1", &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{RawSubjectPublicKeyInfo: []byte("key")}}}
	if (Uploaders{}).Allow(r) {
		t.Error("a certificate that nobody verified is good")
	}
	r.TLS.VerifiedChains = [][]*x509.Certificate{r.TLS.PeerCertificates}
	if !(Uploaders{}).Allow(r) {
		t.Error("a verified certificate isn't good")
	}
	names := map[string]bool{uploaderOf(r): true}
	for _, authorization := range []string{"", "Bearer a", "Bearer b", "Basic dTph"} {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header.Set("Authorization", authorization)
		if names[uploaderOf(r)] = true; strings.Contains(uploaderOf(r), "Bearer") {
			t.Errorf("%s tells the token", uploaderOf(r))
		}
	}
	if len(names) != 4 { // a token is the same uploader as bearer and as password
		t.Errorf("uploaders %v", names)
	}
	_, url := start(t, Options{MayUpload: func(*http.Request) bool { return false }})
	for _, request := range []string{"POST cache", "POST cache/", "PUT cache/" + sumOf("x"), "PUT dir/key", "POST update"} {
		method, path, _ := strings.Cut(request, " ")
		if status, _ := ask(t, method, url+"/shacache/"+path, "x"); status != 401 {
			t.Errorf("%s: %d", request, status)
		}
	}
}

func TestCollect(t *testing.T) {
	now := time.Now()
	s, url := start(t, Options{Store: Store{MaximumAge: 10 * 24 * time.Hour, MaximumSize: 25, Now: func() time.Time { return now }}})
	store := func(content, key string) string {
		t.Helper()
		_, sum := ask(t, "POST", url+"/shacache/cache", content)
		ask(t, "PUT", url+"/shacache/dir/"+key, fmt.Sprintf(`["{\"sha512\": \"%s\"}", ""]`, sum))
		return sum
	}
	old := store("old content", "old")
	used := store("used content", "both")
	now = now.Add(9 * 24 * time.Hour)
	ask(t, "GET", url+"/shacache/cache/"+used, "")
	first := store("10 letters", "both")
	now = now.Add(2 * 24 * time.Hour)
	second := store("ten bytes!", "second")
	collect := func(wantCount int, want ...string) {
		t.Helper()
		count, _, err := s.store.Collect(context.Background())
		if err != nil || count != wantCount {
			t.Errorf("removed %d, %v, want %d", count, err, wantCount)
		}
		var got []string
		for name, sum := range map[string]string{"old": old, "used": used, "first": first, "second": second} {
			if status, _ := ask(t, "HEAD", url+"/shacache/cache/"+sum, ""); status == 200 {
				got = append(got, name)
			}
		}
		if len(got) != len(want) {
			t.Errorf("left %v, want %v", got, want)
		}
	}
	collect(2, "first", "second") // old by age; then used, the least recently used, by size
	if status, _ := ask(t, "GET", url+"/shacache/dir/old", ""); status != 404 {
		t.Error("the entry of what was removed is there")
	}
	if _, text := ask(t, "GET", url+"/shacache/dir/both", ""); strings.Contains(text, used) || !strings.Contains(text, first) {
		t.Errorf("entries %s", text)
	}
	collect(0, "first", "second")
	if _, text := ask(t, "GET", url+"/metrics", ""); !strings.Contains(text, "slapos_cache_contents 2") {
		t.Errorf("metrics:\n%s", text)
	}
	if err := s.store.Contents.Remove(context.Background(), second); err != nil {
		t.Fatal(err)
	}
	_, text := ask(t, "POST", url+"/shacache/update", "")
	var changed struct{ Removed, Updated []string }
	if err := json.Unmarshal([]byte(text), &changed); err != nil || len(changed.Removed) != 1 || changed.Removed[0] != "second" {
		t.Errorf("update: %s %v", text, err)
	}
}

// A damaged file of entries affects only its own key.
func TestDamagedEntries(t *testing.T) {
	var log bytes.Buffer
	directory := t.TempDir()
	_, url := start(t, Options{Store: Store{Entries: &Files{Path: directory}, Logger: slog.New(slog.NewTextHandler(&log, nil))}})
	if err := os.WriteFile(filepath.Join(directory, "key"), []byte("[half"), 0o644); err != nil {
		t.Fatal(err)
	}
	if status, _ := ask(t, "PUT", url+"/shacache/dir/key", `["{}", ""]`); status != 500 {
		t.Errorf("PUT: %d", status)
	}
	if text, _ := os.ReadFile(filepath.Join(directory, "key")); string(text) != "[half" {
		t.Errorf("changed to %s", text)
	}
	if status, _ := ask(t, "POST", url+"/shacache/update", ""); status != 200 || !strings.Contains(log.String(), "key=key") {
		t.Errorf("update: %d\n%s", status, &log)
	}
}

// Python's real client uploads here and downloads from here. NC-16.
func TestPythonClient(t *testing.T) {
	_, url := start(t, Options{})
	testPythonClient(t, url)
}

func testPythonClient(t *testing.T, url string) {
	t.Helper()
	testkit.Program(t, "openssl", "openssl") // which that client runs
	key, certificate, err := networkcache.GenerateKey("python", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(keyFile, key, 0o600); err != nil {
		t.Fatal(err)
	}
	output, err := exec.Command(testkit.Python(t), "-c", `
import io, sys
from slapos.libnetworkcache import NetworkcacheClient
url, key, certificate = sys.argv[1:]
nc = NetworkcacheClient(url + '/shacache/cache', url + '/shacache/dir',
    signature_private_key_file=key, signature_certificate_list=certificate)
data = b'0123456789' * 100000
for n in 1, 2:
    sum = nc.upload(io.BytesIO(data), 'key:1', n=n, name='\xe9')
found = list(nc.select('key:1'))
assert [entry['n'] for entry in found] == [2, 1], found
assert nc.download(found[0]['sha512']).read() == data
print(sum)
`, url, keyFile, string(certificate)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	client, err := networkcache.NewClient(networkcache.Config{
		Cache:           networkcache.Service{Download: url + "/shacache/cache"},
		Directory:       networkcache.Service{Download: url + "/shacache/dir"},
		CertificateList: string(certificate),
	})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := client.Entries(context.Background(), "key:1")
	if err != nil || len(entries) != 2 || !client.Trusts(entries[0]) || entries[0].SHA512() != strings.TrimSpace(string(output)) {
		t.Errorf("%v %v", entries, err)
	}
}

func FuzzEntry(f *testing.F) {
	f.Add("key", []byte(`["{}", ""]`))
	f.Add("../x", []byte(`["{}", "", ""]`))
	f.Fuzz(func(t *testing.T, key string, body []byte) {
		s := New(Options{Store: Store{Contents: &Directory{}, Entries: &Files{Path: t.TempDir()}}})
		r := httptest.NewRequest("PUT", "/shacache/dir/x", bytes.NewReader(body))
		r.SetPathValue("key", key)
		w := httptest.NewRecorder()
		if err := s.putEntry(w, r); err != nil || w.Code != http.StatusCreated {
			return
		}
		text, err := s.store.Entries.Read(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if entries, err := networkcache.ParseEntries(text); err != nil || len(entries) != 1 {
			t.Errorf("%q: %v %v", text, entries, err)
		}
	})
}
