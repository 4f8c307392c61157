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

// TestHTTPProxyLoop has the proxy fetch from itself (PROXY-181).
func TestHTTPProxyLoop(t *testing.T) {
	var asked atomic.Int32
	var via atomic.Value
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		via.Store(strings.Join(r.Header.Values("Via"), ","))
		if to := r.FormValue("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
		}
	}))
	defer site.Close()
	var log strings.Builder // written under the lock of the log
	l := newLab(t, proxy.Options{AccessLog: &log})
	other := newLab(t, proxy.Options{})
	_, port, _ := strings.Cut(l.server.Listener.Addr().String(), ":")
	ours, others, outside := "/http_proxy/http/127.0.0.1:"+port, "/http_proxy/http/"+other.server.Listener.Addr().String(), "/http_proxy/http/"+strings.TrimPrefix(site.URL, "http://")
	for what, path := range map[string]string{
		"its address":            ours + "/getRunId",
		"its name":               "/http_proxy/http/localhost:" + port + "/panel/",
		"itself, nested":         strings.Repeat(ours, 500) + outside + "/",
		"itself, by another":     others + ours + outside + "/",
		"itself, by a redirect":  outside + "/?to=" + l.server.URL + ours + "/getRunId",
		"strangers, nested":      strings.Repeat(outside, 6) + "/",
		"others, without an end": strings.Repeat(others, 6) + outside + "/",
	} {
		asked.Store(0)
		if got := l.get(path); got.status != http.StatusLoopDetected {
			t.Errorf("%s: %.300s", what, got)
		}
		if n := asked.Load(); n > 1 || n == 1 && !strings.Contains(what, "redirect") {
			t.Errorf("%s: the site was asked %d times", what, n)
		}
	}
	if got := l.get(others + outside + "/"); got.status != 200 || strings.Count(via.Load().(string), "slapos-") != 2 {
		t.Errorf("by another: %s, Via %v", got, via.Load())
	}
	l.header.Set("Via", "1.1 a, 1.1 b, 1.1 c, 1.1 d")
	if got := l.get(outside + "/"); got.status != 200 {
		t.Errorf("four hops: %s", got)
	}
	l.header.Add("Via", "1.1 e")
	if got := l.get(outside + "/"); got.status != http.StatusLoopDetected {
		t.Errorf("five hops: %s", got)
	}
	l.server.Close() // so that all is logged
	if n := strings.Count(log.String(), "\n"); n > 20 {
		t.Errorf("%d requests", n)
	}
}

// TestHTTPProxyIsBounded has pages fetched that don't come.
func TestHTTPProxyIsBounded(t *testing.T) {
	release := make(chan struct{})
	site := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer site.Close()
	defer close(release)
	l := newLab(t, proxy.Options{})
	path := "/http_proxy/http/" + strings.TrimPrefix(site.URL, "http://") + "/"
	var full atomic.Int32
	done := make(chan struct{})
	for range 300 {
		go func() { // ends with its answer
			defer func() { done <- struct{}{} }()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.server.URL+path, nil)
			if err != nil {
				return
			}
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				return
			}
			answer.Body.Close()
			if answer.StatusCode == http.StatusServiceUnavailable {
				full.Add(1)
			}
		}()
	}
	for range 300 {
		<-done
	}
	if n := full.Load(); n == 0 || n > 300-200 {
		t.Errorf("%d of 300 got a request to retry", n)
	}
}

// TestHTTPProxyIsShared: a client that has all fetched that it may keeps no other out (PROXY-181).
func TestHTTPProxyIsShared(t *testing.T) {
	release := make(chan struct{})
	site := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			return
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer site.Close()
	p := proxy.New(proxy.Options{Store: newLab(t, proxy.Options{}).Store})
	status := func(client, path string) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/http_proxy/http/"+strings.TrimPrefix(site.URL, "http://")+path, nil)
		r.Host, r.RemoteAddr = "localhost", client
		answer := httptest.NewRecorder()
		p.ServeHTTP(answer, r)
		return answer.Code
	}
	done := make(chan int)
	for range 100 {
		go func() { done <- status("192.0.2.1:1", "/waits") }() // ends with its answer
	}
	for range 100 - 64 {
		if got := <-done; got != http.StatusServiceUnavailable {
			t.Errorf("more than a share: %d", got)
		}
	}
	if got := status("192.0.2.1:2", "/"); got != http.StatusServiceUnavailable {
		t.Errorf("the same client: %d", got)
	}
	if got := status("192.0.2.2:1", "/"); got != http.StatusOK {
		t.Errorf("another client: %d", got)
	}
	close(release)
	for range 64 {
		<-done
	}
	if got := status("192.0.2.1:2", "/"); got != http.StatusOK {
		t.Errorf("the client afterwards: %d", got)
	}
}
