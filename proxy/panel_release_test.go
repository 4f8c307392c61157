// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"slapos/proxy"
)

// TestPanelReadsKnownReleases has the panel look at addresses that nobody asked
// for, and at files for clients of elsewhere (PROXY-185).
func TestPanelReadsKnownReleases(t *testing.T) {
	var asked atomic.Int32
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.NotFound(w, r)
	}))
	defer site.Close()
	l := newLab(t, proxy.Options{})
	l.load(1)
	release := site.URL + "/software.cfg"
	form := "/panel/request?release=" + release
	l.expectPage(l.get(form), 200, `value="`+release+`"`, `name="look"`)
	l.get("/panel/request?title=x&type=t&release=" + release)
	if n := asked.Load(); n != 0 {
		t.Errorf("a page was asked for %d times", n)
	}
	l.expectPage(l.post("/panel/request", "look", "1", "release", release), 200, `name="title"`)
	if asked.Load() != 1 {
		t.Error("a typed release isn't looked at")
	}
	l.post("/supplySupply", "url", release, "computer_id", "local_computer", "state", "available")
	l.get(form)
	if asked.Load() != 2 {
		t.Error("a supplied release isn't looked at")
	}
	l.post("/supplySupply", "url", release, "computer_id", "local_computer", "state", "destroyed")
	l.expectGoesTo(l.post("/panel/request", "title", "i", "release", release), "instance?done=requested&title=i")
	asked.Store(0)
	l.get(form)
	l.get("/panel/request?title=i")
	if asked.Load() != 2 {
		t.Error("a requested release isn't looked at")
	}
	// Files.
	file := writeRelease(t, "xml")
	const there, refused = "One web server that greets.", "for browsers of this machine only"
	l.expectPage(l.post("/panel/request", "look", "1", "release", file), 200, there)
	for name, value := range map[string]string{"X-Forwarded-For": "192.0.2.1", "Forwarded": "for=192.0.2.1", "Via": "1.1 elsewhere"} {
		l.header = http.Header{name: {value}}
		got := l.post("/panel/request", "look", "1", "release", file)
		if l.expectPage(got, 200, refused); strings.Contains(got.body, there) {
			t.Errorf("a client with %s reads a file", name)
		}
	}
}
