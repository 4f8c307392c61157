// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"slapos/proxy"
	"slapos/proxy/store"
)

// fuzzed is a master with a few partitions, without a network.
func fuzzed(f *testing.F) http.Handler {
	database, err := store.Open(f.Context(), store.Options{URI: filepath.Join(f.TempDir(), "proxy.db"), Computer: "c"})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { database.Close() })
	d := store.ComputerDescription{Reference: "c"}
	for _, name := range []string{"p0", "p1", "p2"} {
		d.Partitions = append(d.Partitions, store.PartitionDescription{Reference: name})
	}
	if err := database.LoadComputer(f.Context(), d); err != nil {
		f.Fatal(err)
	}
	return proxy.New(proxy.Options{Store: database, Computer: "c"})
}

// answerOf makes a request; a panic of the handler is a failure of the test.
func answerOf(t *testing.T, h http.Handler, path, kind, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", kind)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if strings.Contains(w.Body.String(), "panic") || w.Code < 200 {
		t.Errorf("%s: %d %s", path, w.Code, w.Body)
	}
	return w
}

// FuzzForm posts forms to every call that reads one.
func FuzzForm(f *testing.F) {
	golden, err := os.ReadFile("testdata/golden.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, block := range strings.Split(string(golden), "\n\n") {
		lines := strings.Split(strings.TrimSpace(block), "\n")
		path, post := strings.CutPrefix(lines[0], "POST ")
		if !post || strings.Contains(path, ".") {
			continue
		}
		form := url.Values{}
		for _, line := range lines[1 : len(lines)-1] {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			form.Set(name, value)
		}
		f.Add(path, form.Encode())
	}
	h := fuzzed(f)
	f.Fuzz(func(t *testing.T, path, body string) {
		if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " \x7f") || strings.HasPrefix(path, "//") {
			return
		}
		if parsed, err := url.ParseRequestURI(path); err != nil || parsed.Host != "" || strings.IndexFunc(path, func(r rune) bool { return r < ' ' }) >= 0 {
			return
		}
		w := answerOf(t, h, path, "application/x-www-form-urlencoded", body)
		if w.Code == http.StatusOK && !utf8.Valid(w.Body.Bytes()) {
			t.Errorf("%s answers what is no UTF-8: %q", path, w.Body)
		}
	})
}

// FuzzRPC posts bodies to the methods of JSON-RPC.
func FuzzRPC(f *testing.F) {
	golden, err := os.ReadFile("testdata/golden.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, block := range strings.Split(string(golden), "\n\n") {
		lines := strings.Split(strings.TrimSpace(block), "\n")
		if method, ok := strings.CutPrefix(lines[0], "POST /slapos."); ok && len(lines) == 3 {
			f.Add(method, strings.TrimPrefix(lines[1], "  body "))
		}
	}
	f.Add("post.v0.software_instance", `{"title": "t", "software_release_uri": "u", "software_type": "", "shared": true, "parameters": {"a": [1e999, {"b": null}]}, "sla_parameters": {"master_url": "ftp://x"}}`)
	for method, body := range map[string]string{
		"get.v1.status": `{}`, "get.v1.software_instance_status": `{"instance_guid": "a______0"}`, "get.v1.event_log": `{"event": 1}`,
		"get.v1.software_installation_status":   `{"computer_guid": "c", "software_release_uri": "u"}`,
		"allDocs.v1.event_list":                 `{"computer_guid": "c", "kind": "node", "after": 1, "limit": 7, "title": "\u0000"}`,
		"put.v1.software_instance_promise_list": `{"computer_guid": "c", "compute_partition_id": "p0", "passed": 1e3, "failing": [{"name": "\u001b[1m", "message": "\ud800"}]}`,
		"put.v0.software_instance_error":        `{"instance_guid": "a______0", "message": "Error: \u0000\r\n"}`,
	} {
		f.Add(method, body)
	}
	h := fuzzed(f)
	f.Fuzz(func(t *testing.T, method, body string) {
		w := answerOf(t, h, "/slapos."+url.PathEscape(method), "application/json", body)
		if text := w.Body.String(); w.Header().Get("Content-Type") == "application/json" && strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
			t.Errorf("%s answers %q", method, text)
		}
	})
}
