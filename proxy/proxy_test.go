// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"slapos/proxy"
	"slapos/proxy/store"
	"slapos/slap"
)

const release = "http://example.com/sr.cfg"

// lab is a local master that listens.
type lab struct {
	*testing.T
	store.Store
	uri    string
	server *httptest.Server
	header http.Header // of every request
}

func newLab(t *testing.T, options proxy.Options) *lab {
	t.Helper()
	return newLabOn(t, filepath.Join(t.TempDir(), "proxy.db"), options, time.Now)
}

// newLabOn takes a database, and a clock.
func newLabOn(t *testing.T, uri string, options proxy.Options, now func() time.Time) *lab {
	t.Helper()
	l := &lab{T: t, uri: uri, header: http.Header{}}
	database, err := store.Open(t.Context(), store.Options{URI: l.uri, Computer: "local_computer", Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { database.Close() })
	l.Store, options.Store, options.Computer = database, database, "local_computer"
	l.server = httptest.NewUnstartedServer(nil)
	_, options.Port, _ = strings.Cut(l.server.Listener.Addr().String(), ":")
	l.server.Config.Handler = proxy.New(options)
	l.server.Start()
	t.Cleanup(l.server.Close)
	return l
}

// load formats the default computer.
func (l *lab) load(partitions int) {
	l.Helper()
	d := store.ComputerDescription{Reference: "local_computer"}
	for i := range partitions {
		d.Partitions = append(d.Partitions, store.PartitionDescription{Reference: fmt.Sprintf("slappart%d", i),
			Addresses: []store.NetworkAddress{{Interface: fmt.Sprintf("tap%d", i), Address: fmt.Sprintf("10.0.0.%d", i+1), Netmask: "255.255.255.255"}}})
	}
	if err := l.LoadComputer(l.Context(), d); err != nil {
		l.Fatal(err)
	}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, a.body) }

// page is the message of an error page (PROXY-12).
func (a answer) page() string {
	if m := regexp.MustCompile(`(?s)^<!doctype html>\n<html lang=en>\n<title>.*</title>\n<h1>.*</h1>\n<p>(.*)</p>\n$`).FindStringSubmatch(a.body); m != nil {
		return m[1]
	}
	return ""
}

var client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func (l *lab) do(method, path, kind, body string) answer {
	l.Helper()
	r, err := http.NewRequestWithContext(l.Context(), method, l.server.URL+path, strings.NewReader(body))
	if err != nil {
		l.Fatal(err)
	}
	r.Header = l.header.Clone()
	r.Host = l.header.Get("Host")
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	response, err := client.Do(r)
	if err != nil {
		l.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		l.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(text)}
}

func (l *lab) get(path string) answer { l.Helper(); return l.do(http.MethodGet, path, "", "") }

func (l *lab) post(path string, fields ...string) answer {
	l.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return l.do(http.MethodPost, path, "application/x-www-form-urlencoded", form.Encode())
}

func (l *lab) rpc(method, body string) answer {
	l.Helper()
	return l.do(http.MethodPost, "/"+method, "application/json", body)
}

func (l *lab) expect(got answer, status int, body string) {
	l.Helper()
	if got.status != status || got.body != body && got.page() != body {
		l.Errorf("got %s\nwant %d %s", got, status, body)
	}
}

func marshal(t *testing.T, value any) string {
	t.Helper()
	text, err := slap.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// request is the form of a request for an instance.
func (l *lab) request(title string, more ...string) answer {
	l.Helper()
	return l.post("/requestComputerPartition", append([]string{"software_release", release, "software_type", "default",
		"partition_reference", title, "state", "<marshal><none/></marshal>"}, more...)...)
}

// timestamps are what differs between two runs.
var timestamps = regexp.MustCompile(`(timestamp</string><string>|"processing_timestamp": )[0-9.]+`)

// TestGolden replays a run of the original, and expects its answers byte for
// byte: partitions (PROXY-33, PROXY-34), software (PROXY-36, PROXY-37), what is
// ignored or fixed (PROXY-38, PROXY-39, PROXY-40), instances (PROXY-41,
// PROXY-44, PROXY-45, PROXY-65, PROXY-67) and their names by JSON-RPC (PROXY-92).
func TestGolden(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"public", "content", "metadata"} {
		if err := os.Mkdir(filepath.Join(folder, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "public/a.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	l := newLab(t, proxy.Options{
		Products:        map[string]string{"kvm": "http://example.com/kvm/software.cfg"},
		PublicDirectory: filepath.Join(folder, "public"),
		Shacache:        proxy.Shacache{Store: cacheStore(folder)},
	})
	text, err := os.ReadFile("testdata/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	for i, block := range strings.Split(strings.TrimSpace(string(text)), "\n\n")[1:] {
		lines := strings.Split(block, "\n")
		l.header = http.Header{"Host": {"127.0.0.1:15001"}}
		got := l.replay(lines[0], lines[1:len(lines)-1])
		want := strings.ReplaceAll(lines[len(lines)-1], `\n`, "\n")
		if page := got.page(); page != "" {
			got.body = "page: " + page
		}
		if location := got.header.Get("Location"); location != "" {
			got.body = "Location: " + location
		}
		shown := timestamps.ReplaceAllString(strings.TrimRight(got.String(), " \n"), "${1}T")
		if want = timestamps.ReplaceAllString(strings.TrimRight(want, " \n"), "${1}T"); shown != want {
			t.Errorf("%d: %s\n got %s\nwant %s", i, lines[0], shown, want)
		}
	}
}

// replay makes a request of the file: a line of method and path, then fields,
// a header or a body.
func (l *lab) replay(line string, details []string) answer {
	l.Helper()
	method, path, _ := strings.Cut(line, " ")
	form := url.Values{}
	kind, body := "", ""
	for _, detail := range details {
		detail = strings.TrimPrefix(detail, "  ")
		if value, ok := strings.CutPrefix(detail, "Authorization: "); ok {
			l.header.Set("Authorization", value)
		} else if value, ok := strings.CutPrefix(detail, "body "); ok {
			kind, body = "application/json", value
		} else {
			name, value, _ := strings.Cut(detail, "=")
			form.Set(name, value)
		}
	}
	if method == http.MethodPost && body == "" {
		kind, body = "application/x-www-form-urlencoded", form.Encode()
	}
	return l.do(method, path, kind, body)
}
