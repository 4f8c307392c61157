// SPDX-License-Identifier: GPL-3.0-or-later

package schema

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

func TestJoin(t *testing.T) {
	for _, test := range []struct{ base, reference, want string }{
		{"https://example.com/a/software.cfg", "input.json", "https://example.com/a/input.json"},
		{"https://example.com/a/software.cfg", "../b/input.json#x", "https://example.com/b/input.json#x"},
		{"https://example.com/a/software.cfg", "http://other/x.json", "http://other/x.json"},
		{"file:///srv/a/software.cfg", "input.json", "file:///srv/a/input.json"},
		{"file:/srv/a/software.cfg", "input.json", "file:///srv/a/input.json"},
		{"/srv/a b/software.cfg", "in%put.json", "/srv/a b/in%put.json"},
		{"/srv/a/software.cfg", "/srv/b/input.json", "/srv/b/input.json"},
		{"/srv/a/software.cfg", "https://example.com/x.json", "https://example.com/x.json"},
		{"software.cfg", "input.json", "input.json"},
	} {
		if got := join(test.base, test.reference); got != test.want {
			t.Errorf("%s from %s: %s, want %s", test.reference, test.base, got, test.want)
		}
	}
}

// serve serves files by their names.
func serve(t *testing.T, files map[string]string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, found := files[r.URL.Path]
		if !found {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestRead(t *testing.T) {
	url := serve(t, map[string]string{"/sr.cfg.json": `{"name": "N", "serialisation": "xml", "software-type": {
		"b": {"title": "Second", "index": 2, "request": "b.json", "serialisation": "json-in-xml"},
		"a-shared": {"software-type": "a", "shared": true, "index": 3},
		"default": {"index": 1}, "odd": 1}}`}) + "/sr.cfg"
	release, err := Read(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, found := range release.Types {
		keys = append(keys, found.Key+" "+found.SoftwareType+" "+found.Title)
	}
	if want := []string{"default default default", "b b Second", "a-shared a a-shared"}; !slices.Equal(keys, want) {
		t.Errorf("types %q, want %q", keys, want)
	}
	for _, name := range []string{"", "RootSoftwareInstance", "default"} {
		if found, ok := release.Type(name); !ok || found.Key != "default" {
			t.Errorf("%q: %+v, %v", name, found, ok)
		}
	}
	b, _ := release.Type("b")
	if s, err := b.Serialisation(); s != JSONInXML || err != nil {
		t.Error(s, err)
	}
	if s, err := release.Serialisation(); s != XML || err != nil {
		t.Error(s, err)
	}
	if _, err := release.Types[0].Compile(t.Context()); err == nil || !strings.Contains(err.Error(), "names no request schema") {
		t.Error(err)
	}
}

// TestProperties checks document order, also for a part inside another.
func TestProperties(t *testing.T) {
	files := map[string]string{
		"/sr.cfg.json": `{"serialisation": "xml", "software-type": {"default": {"request": "in.json"}}}`,
		"/in.json":     `{"properties": {"z": {"type": "string"}, "b": {"$ref": "part.json#/$defs/x~1y"}, "a": {}}}`,
		"/part.json":   `{"$defs": {"x/y": {"properties": {"two": {}, "one": {}}}}}`,
	}
	folder := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, url := range []string{serve(t, files) + "/sr.cfg", folder + "/sr.cfg"} {
		release, err := Read(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		s, err := release.Types[0].Compile(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Properties(s.Schema); !slices.Equal(got, []string{"z", "b", "a"}) {
			t.Errorf("%s: %q", url, got)
		}
		if got := s.Properties(s.Schema.Properties["b"].Ref); !slices.Equal(got, []string{"two", "one"}) {
			t.Errorf("%s: %q", url, got)
		}
		var found Mismatch
		if err := s.Check(t.Context(), []byte(`{"z": 1}`)); !errors.As(err, &found) || !slices.Equal(found, Mismatch{{"$.z", "z must be text"}}) {
			t.Error(err)
		}
	}
}

// TestConfined checks that no schema from the network reads files of this
// machine, and that nothing endless is read.
func TestConfined(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret.json")
	if err := os.WriteFile(secret, []byte(`{"type": "string"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	url := serve(t, map[string]string{
		"/sr.cfg.json": `{"serialisation": "xml", "software-type": {"default": {"request": "in.json"}, "direct": {"request": "file://` + secret + `"}}}`,
		"/in.json":     `{"$ref": "file://` + secret + `"}`,
	}) + "/sr.cfg"
	release, err := Read(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range release.Types {
		s, err := found.Compile(t.Context())
		if found.Key == "default" { // which itself can be read
			if err != nil {
				t.Fatal(err)
			}
			err = s.Check(t.Context(), []byte(`{}`))
		}
		if err == nil || !strings.Contains(err.Error(), "can't refer to a file") {
			t.Errorf("%s: %v", found.Key, err)
		}
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/dev/zero", pipe} {
		if _, err := new(reach).read(t.Context(), path, patience); err == nil || !strings.Contains(err.Error(), "is not a plain file") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := Read(t.Context(), t.TempDir()); err == nil {
		t.Error("an index that isn't there was read")
	}
}

// TestReach: a release of elsewhere doesn't have this machine ask itself or its
// neighbours, be it by a reference, a redirection or its index.
func TestReach(t *testing.T) {
	for address, want := range map[string]int32{
		"127.0.0.1": atHome, "::1": atHome, "::ffff:127.0.0.1": atHome, "0.0.0.0": atHome, "169.254.169.254": atHome, "fe80::1": atHome, "ff02::1": atHome,
		"10.0.0.1": nearby, "192.168.1.1": nearby, "fd00::1": nearby, "192.0.2.1": everywhere, "2001:db8::1": everywhere,
	} {
		if got := nearness(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %d, want %d", address, got, want)
		}
	}
	var asked atomic.Int32
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer inside.Close()
	away := httptest.NewServer(http.RedirectHandler(inside.URL, http.StatusFound))
	defer away.Close()
	url := serve(t, map[string]string{"/sr.cfg.json": `{"software-type": {"default": {"request": "` + inside.URL + `/direct.json"}}}`}) + "/sr.cfg"
	release, err := Read(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	of := release.Types[0]
	if first := of.reach.first.Load(); first != atHome {
		t.Errorf("a release of this machine is at %d", first)
	}
	if _, err := of.Compile(t.Context()); err == nil || asked.Load() != 1 { // nothing is nearer
		t.Errorf("%v, asked %d times", err, asked.Load())
	}
	of.reach.first.Store(everywhere) // as if it came from there
	if _, err := of.Compile(t.Context()); !errors.Is(err, errNearer) {
		t.Error(err)
	}
	redirected := new(reach)
	if _, err := redirected.read(t.Context(), away.URL, patience); err != nil {
		t.Error(err)
	}
	of.reach.first.Store(nearby)
	if _, err := of.reach.read(t.Context(), away.URL, patience); !errors.Is(err, errNearer) {
		t.Error(err)
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

// TestTogether: many documents are too much together.
func TestTogether(t *testing.T) {
	long := `{"description": "` + strings.Repeat("x", maximumSize-100) + `", "$ref": "`
	files := map[string]string{"/sr.cfg.json": `{"software-type": {"default": {"request": "0.json"}}}`}
	for i := range 5 {
		files[fmt.Sprintf("/%d.json", i)] = fmt.Sprintf(`%s%d.json"}`, long, i+1)
	}
	release, err := Read(t.Context(), serve(t, files)+"/sr.cfg")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := release.Types[0].Compile(t.Context()); err == nil || !strings.Contains(err.Error(), "more than 16777216 bytes") {
		t.Error(err)
	}
}

// TestLarge: a document has a size limit, wherever it comes from, and reading
// stops there.
func TestLarge(t *testing.T) {
	file := filepath.Join(t.TempDir(), "large.json")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Truncate(file, maximumSize+1)); err != nil {
		t.Fatal(err)
	}
	sent := make(chan int, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		total := 0
		for total < 16*maximumSize {
			n, err := w.Write(make([]byte, 1<<20))
			if total += n; err != nil {
				break
			}
		}
		sent <- total
	}))
	defer server.Close()
	for _, location := range []string{file, server.URL} {
		if _, err := new(reach).read(t.Context(), location, patience); err == nil || !strings.Contains(err.Error(), "is larger than") {
			t.Errorf("%s: %v", location, err)
		}
	}
	if n := <-sent; n >= 16*maximumSize {
		t.Errorf("all of %d bytes were read", n)
	}
}

// FuzzIndex reads indexes and schemas of any content.
func FuzzIndex(f *testing.F) {
	f.Add(`{"serialisation": "xml", "software-type": {"default": {"request": "in.json", "index": 1}}}`, `{"properties": {"a": {"$ref": "#"}}}`)
	f.Add(`{"software-type": []}`, `{"allOf": [{"properties": {"b": true}}], "oneOf": [1]}`)
	f.Fuzz(func(t *testing.T, index, document string) {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "in.json"), []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}
		release, err := parse(filepath.Join(folder, "sr.cfg"), []byte(index), new(reach))
		if err != nil {
			return
		}
		for _, found := range release.Types {
			if found.Request != filepath.Join(folder, "in.json") {
				continue
			}
			s, err := found.Compile(t.Context())
			if err != nil {
				continue
			}
			if names := s.Properties(s.Schema); len(names) != len(s.Schema.Properties) {
				t.Errorf("properties %q", names)
			}
			_ = s.Check(t.Context(), []byte(`{"a": 1}`))
		}
	})
}
