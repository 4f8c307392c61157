// SPDX-License-Identifier: GPL-3.0-or-later

package serve

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// D-30.
func TestGuard(t *testing.T) {
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	guard := Guard{Names: []string{"Master.example.com"}}
	firefox := http.Header{"User-Agent": {"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}}
	fetch := http.Header{"Sec-Fetch-Site": {"same-origin"}, "User-Agent": {"x"}}
	script := http.Header{"Origin": {"http://evil.example"}}
	python := http.Header{"User-Agent": {"python-requests/2.32"}}
	const loopback, open = "127.0.0.1", "192.0.2.1"
	for _, test := range []struct {
		name    string
		local   string
		method  string
		host    string
		header  http.Header
		refused bool
	}{
		{"a page whose name leads here reads", loopback, "GET", "evil.example:5000", firefox, true},
		{"a page whose name leads here looks", loopback, "HEAD", "evil.example", fetch, true},
		{"a page whose name leads here asks", loopback, "OPTIONS", "evil.example", script, true},
		{"a page whose name leads here writes", loopback, "POST", "evil.example", fetch, true},
		{"whoever uses such a name", loopback, "GET", "evil.example", nil, true},
		{"a name that begins as ours", loopback, "GET", "localhost.evil.example", firefox, true},
		{"a name that ends as ours", loopback, "GET", "evilmaster.example.com", firefox, true},
		{"an address in a name", loopback, "GET", "127.0.0.1.evil.example", firefox, true},
		{"a page of another site writes", loopback, "POST", "127.0.0.1:5000", http.Header{"Sec-Fetch-Site": {"cross-site"}}, true},
		{"a page of another site shows what is here", loopback, "GET", "127.0.0.1:5000", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"no-cors"}, "Sec-Fetch-Dest": {"image"}}, true},
		{"a page of another port has it in a frame", loopback, "GET", "localhost:5000", http.Header{"Sec-Fetch-Site": {"same-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"iframe"}}, true},
		{"an old browser's page of another site writes", loopback, "PUT", "127.0.0.1:5000", script, true},
		{"the same elsewhere", open, "DELETE", "192.0.2.1", script, true},
		{"a page whose name leads elsewhere", open, "GET", "evil.example", firefox, true},

		{"a link of another site", loopback, "GET", "127.0.0.1:5000", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}, false},
		{"an address", loopback, "GET", "127.0.0.1:5000", firefox, false},
		{"another address", loopback, "POST", "127.1.2.3", nil, false},
		{"an address of IPv6", "::1", "GET", "[::1]:5000", firefox, false},
		{"one with a zone", "fe80::1", "GET", "[fe80::1%25eth0]:5000", firefox, false},
		{"localhost", loopback, "GET", "LocalHost:5000", firefox, false},
		{"its subdomain", loopback, "GET", "slapos.localhost.", firefox, false},
		{"the machine", loopback, "GET", machine + ":5000", firefox, false},
		{"a configured name", loopback, "POST", "master.example.COM:80", fetch, false},
		{"no name", loopback, "GET", "", nil, false},
		{"our own page", loopback, "POST", "localhost:5000", fetch, false},
		{"a node by any name", open, "POST", "any.name.example", python, false},
		{"a node without a header", open, "GET", "any.name.example", nil, false},
	} {
		r := httptest.NewRequest(test.method, "/", nil)
		r.Host = test.host
		if r.Header = test.header.Clone(); r.Header == nil {
			r.Header = http.Header{}
		}
		local := &net.TCPAddr{IP: net.ParseIP(test.local), Port: 5000}
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(local)))
		reached := false
		w := httptest.NewRecorder()
		guard.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true })).ServeHTTP(w, r)
		if reached == test.refused {
			t.Errorf("%s: reached is %v", test.name, reached)
		}
		if body := w.Body.String(); test.refused && (w.Code != http.StatusForbidden || strings.Count(body, "\n") != 1) {
			t.Errorf("%s: %d %q", test.name, w.Code, body)
		}
	}
}
