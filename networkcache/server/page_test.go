// SPDX-License-Identifier: GPL-3.0-or-later

package server

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"slapos/networkcache"
)

// NC-102.
func TestPage(t *testing.T) {
	key, certificate, err := networkcache.GenerateKey("COMP-<1>", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	signer, err := networkcache.ParseSigner(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, base := start(t, Options{Page: true, Signers: networkcache.ParseCertificates(string(certificate), slog.New(slog.DiscardHandler))})
	const release = "https://user:secret@example.invalid/software.cfg?<script>"
	put := func(key, content, signature string) {
		t.Helper()
		if content != "" && signature == "" {
			if signature, err = signer.Sign(content); err != nil {
				t.Fatal(err)
			}
		}
		entry := networkcache.Entry{Content: content, Signature: strings.TrimPrefix(signature, "-")}
		if status, text := ask(t, "PUT", base+"/shacache/dir/"+url.PathEscape(key), string(entry.Text())); status != 201 {
			t.Fatal(status, text)
		}
	}
	get := func(query string) string {
		t.Helper()
		s.shelf.next = time.Time{}
		response, err := http.Get(base + "/?q=" + query)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if policy := response.Header.Get("Content-Security-Policy"); policy != pagePolicy || strings.Contains(policy, "unsafe") || strings.Contains(policy, "script-src") {
			t.Errorf("policy %q", policy)
		}
		status, text := ask(t, "GET", base+"/?q="+query, "")
		if status != 200 || !strings.Contains(text, "</html>") || strings.Contains(text, "<script") || strings.Contains(text, "secret") || regexp.MustCompile(`\son\w+=|\sstyle=|javascript:`).MatchString(text) {
			t.Errorf("%s: %d\n%s", query, status, text)
		}
		return text
	}
	has := func(text string, words ...string) {
		t.Helper()
		for _, word := range words {
			if !strings.Contains(text, word) {
				t.Errorf("the page has no %q:\n%s", word, text)
			}
		}
	}
	has(get(""), "0 contents", "Nothing is stored yet")
	sum, other := sumOf("content"), sumOf("other")
	for _, content := range []string{"content", strings.Repeat("x", 1_500_000)} {
		ask(t, "POST", base+"/shacache/cache", content)
	}
	ask(t, "GET", base+"/shacache/cache/"+sum, "")
	name, err := json.Marshal(release)
	if err != nil {
		t.Fatal(err)
	}
	md5 := networkcache.ReleaseKey(release)
	put(md5, fmt.Sprintf(`{"sha512": "%s", "software_url": %s, "multiarch": "x86_64-linux-gnu", "os": ["debian", "12", "bookworm"], "timestamp": 1800000000}`, sum, name), "")
	put(md5, fmt.Sprintf(`{"sha512": "%s", "software_url": 1}`, other), "c2ln")
	put("odd key?%#", fmt.Sprintf(`{"sha512": "%s"}`, sum), "-")
	has(get(""), "2 contents, 1.5 MB, under 2 keys; 1 downloads", "https://example.invalid/software.cfg?&lt;script&gt;", `href="./?q=`+sum, "1.5 MB", time.Now().UTC().Format("2006-01-02"))
	for _, query := range []string{"https%3A%2F%2Fuser%3Asecret%40example.invalid%2Fsoftware.cfg%3F%3Cscript%3E", md5} {
		if text := pageOf(t, base, query); !strings.Contains(text, "COMP-&lt;1&gt;") || !strings.Contains(text, "unknown") || !strings.Contains(text, "not here") || !strings.Contains(text, "debian 12 x86_64-linux-gnu") || !strings.Contains(text, "2027-01-15") {
			t.Errorf("%s:\n%s", query, text)
		}
	}
	has(get(sum), "<dt>Downloads</dt><dd>1</dd>", "COMP-&lt;1&gt;", "nobody", `href="shacache/dir/odd%20key%3F%25%23"`)
	has(get(strings.ToUpper(other)), "This content isn", "unknown")
	has(get("nothing"), "Nothing is found")
	has(get("odd%20key%3F%25%23"), "nobody", sum[:16])
	if status, text := ask(t, "GET", base+"/style.css", ""); status != 200 || !strings.Contains(text, "font") {
		t.Errorf("style: %d", status)
	}
	_, without := start(t, Options{})
	if status, _ := ask(t, "GET", without+"/", ""); status != 404 {
		t.Errorf("the page is there without being wanted: %d", status)
	}
}

// pageOf is a page, whatever is on it.
func pageOf(t *testing.T, base, query string) string {
	t.Helper()
	status, text := ask(t, "GET", base+"/?q="+query, "")
	if status != 200 {
		t.Errorf("%s: %d", query, status)
	}
	return text
}

// A page costs no more than it may: the store is listed again only when that
// took a hundredth of the time.
func TestPageIsRemembered(t *testing.T) {
	files := &Files{Path: filepath.Join(t.TempDir(), "dir")}
	s, base := start(t, Options{Page: true, Store: Store{Entries: files}})
	ask(t, "GET", base+"/", "")
	s.shelf.next = time.Now().Add(time.Hour)
	ask(t, "POST", base+"/shacache/cache", "new")
	if _, text := ask(t, "GET", base+"/", ""); !strings.Contains(text, "0 contents") {
		t.Error("the store is listed again")
	}
	for i := range maximumCounted + 1 {
		s.hits.count(fmt.Sprint(i))
	}
	if len(s.hits.of) > maximumCounted {
		t.Errorf("%d contents are counted", len(s.hits.of))
	}
}

// A password in a URL is not for everybody.
func TestWithoutPassword(t *testing.T) {
	for name, want := range map[string]string{
		"https://u:p@h/x": "https://h/x", "https://h/x": "https://h/x", "/srv/a@b": "/srv/a@b", "a b": "a b", "%zz": "%zz", "": "",
	} {
		if got := withoutPassword(name); got != want {
			t.Errorf("%q: %q", name, got)
		}
	}
}
