// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

// TestCacheGuard: no web page reads from the cache server or writes to it, in a
// browser of the machine that it runs on (D-30).
func TestCacheGuard(t *testing.T) {
	port := freeLocalPort(t)
	ctx, stop := context.WithCancel(t.Context())
	e := newEnvironment()
	e.stderr = &syncedText{}
	ended := make(chan int, 1)
	words := []string{"slapos", "cache", "start", "--port", port, "--directory", t.TempDir(), "--listen-names", "cache.example  other.example"}
	go func() { ended <- run(ctx, e, words) }()
	defer func() {
		stop()
		<-ended
	}()
	testkit.Eventually(t, testkit.Patience, "the cache server listens", func() bool {
		connection, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			connection.Close()
		}
		return err == nil
	})
	const entry = `["{}", ""]`
	for _, test := range []struct {
		method, host, origin string
		status               int
	}{
		{"PUT", "evil.example:" + port, "http://evil.example:" + port, http.StatusForbidden},
		{"PUT", "evil.example:" + port, "", http.StatusForbidden},
		{"PUT", "127.0.0.1:" + port, "http://evil.example", http.StatusForbidden},
		{"PUT", "127.0.0.1:" + port, "", http.StatusCreated},
		{"PUT", "other.example", "http://other.example", http.StatusCreated},
		{"GET", "evil.example", "", http.StatusForbidden},
		{"GET", "cache.example", "", http.StatusOK},
		{"GET", "localhost:" + port, "", http.StatusOK},
	} {
		request, err := http.NewRequestWithContext(t.Context(), test.method, "http://127.0.0.1:"+port+"/shacache/dir/key", strings.NewReader(entry))
		if err != nil {
			t.Fatal(err)
		}
		request.Host = test.host
		if test.origin != "" {
			request.Header.Set("Origin", test.origin)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != test.status {
			t.Errorf("%s %s, origin %q: %s", test.method, test.host, test.origin, response.Status)
		}
	}
}
