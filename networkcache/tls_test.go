// SPDX-License-Identifier: GPL-3.0-or-later

package networkcache

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"slapos/slap/testkit"
)

// startTLS serves the fake cache over TLS as identity, to clients that show a
// certificate of clients; nil asks for none. It counts requests.
func startTLS(t *testing.T, identity testkit.Identity, clients *testkit.Authority) (url string, requests *atomic.Int32) {
	t.Helper()
	fake := &fakeCache{contents: map[string][]byte{}, entries: map[string][]string{}}
	requests = new(atomic.Int32)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		fake.ServeHTTP(w, r)
	}))
	server.TLS = testkit.ServerConfig(identity, clients)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL, requests
}

// A server is verified before anything is read from it or sent to it, and knows
// the client by its certificate (NC-22). Every way in which the client talks to
// each service is tried on its own.
func TestTLS(t *testing.T) {
	ours, others := testkit.NewAuthority(t), testkit.NewAuthority(t)
	good := ours.Issue(t, "server", nil)
	named := ours.Issue(t, "named", func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"cache.example"}, nil })
	expired := ours.Issue(t, "expired", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	forClients := ours.Issue(t, "for clients", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	node, stranger := ours.Issue(t, "node", nil), others.Issue(t, "stranger", nil)

	calls := map[string]func(*Client) error{
		"download": func(c *Client) error {
			content, err := c.Download(t.Context(), strings.Repeat("0", 128))
			if err == nil {
				content.Close()
			}
			return err
		},
		"upload": func(c *Client) error {
			_, err := c.Upload(t.Context(), strings.NewReader("content"))
			return err
		},
		"list": func(c *Client) error {
			_, err := c.Entries(t.Context(), "key")
			return err
		},
		"index": func(c *Client) error {
			return c.Index(t.Context(), "key", strings.Repeat("0", 128), []Field{{"file", "x"}})
		},
	}
	for _, test := range []struct {
		name    string
		server  testkit.Identity
		clients *testkit.Authority
		files   Service
		wrong   string // in the error of a refused handshake; empty: the request gets through
	}{
		{"the system's authorities", good, nil, Service{}, "unknown authority"},
		{"another authority", good, nil, Service{CAFile: others.File}, "unknown authority"},
		{"a certificate of its own", others.Issue(t, "other", nil), nil, Service{CAFile: ours.File}, "unknown authority"},
		{"another name", named, nil, Service{CAFile: ours.File}, "127.0.0.1"},
		{"expired", expired, nil, Service{CAFile: ours.File}, "expired"},
		{"not for servers", forClients, nil, Service{CAFile: ours.File}, "incompatible key usage"},
		{"verified", good, nil, Service{CAFile: ours.File}, ""},
		{"no client certificate", good, ours, Service{CAFile: ours.File}, "certificate required"},
		{"a stranger's", good, ours, Service{CAFile: ours.File, CertificateFile: stranger.CertificateFile, KeyFile: stranger.KeyFile}, "certificate"},
		{"the node's", good, ours, Service{CAFile: ours.File, CertificateFile: node.CertificateFile, KeyFile: node.KeyFile}, ""},
		{"the node's, one file", good, ours, Service{CAFile: ours.File, CertificateFile: node.BothFile}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			url, requests := startTLS(t, test.server, test.clients)
			cache, directory := test.files, test.files
			cache.Download, cache.Upload = url+"/cache", url+"/cache"
			directory.Download, directory.Upload = url+"/dir", url+"/dir"
			client := newTestClient(t, Config{Cache: cache, Directory: directory})
			for name, call := range calls {
				requests.Store(0)
				err := call(client)
				switch {
				case test.wrong == "" && requests.Load() == 0:
					t.Errorf("%s: the server was not asked: %v", name, err)
				case test.wrong != "" && requests.Load() > 0:
					t.Errorf("%s: the server got a request", name)
				case test.wrong != "" && (err == nil || !strings.Contains(err.Error(), test.wrong)):
					t.Errorf("%s: error %v, want one of %q", name, err, test.wrong)
				}
			}
		})
	}
}

// Unusable files stop the client before it talks to anybody, unless no URL uses
// TLS.
func TestTLSFiles(t *testing.T) {
	authority := testkit.NewAuthority(t)
	node, other := authority.Issue(t, "node", nil), authority.Issue(t, "other", nil)
	for name, test := range map[string]struct {
		files Service
		wrong string
	}{
		"no CA file":                {Service{CAFile: "/nonexistent/ca"}, "/nonexistent/ca"},
		"CA file without any":       {Service{CAFile: node.KeyFile}, node.KeyFile},
		"no certificate file":       {Service{CertificateFile: "/nonexistent/node"}, "/nonexistent/node"},
		"certificate without a key": {Service{CertificateFile: node.CertificateFile}, "key"},
		"the key of another":        {Service{CertificateFile: node.CertificateFile, KeyFile: other.KeyFile}, "does not match"},
	} {
		for _, scheme := range []string{"https", "http"} {
			files := test.files
			files.Download = scheme + "://127.0.0.1:1/"
			_, err := NewClient(Config{Cache: files})
			if scheme == "http" && err != nil || scheme == "https" && (err == nil || !strings.Contains(err.Error(), test.wrong)) {
				t.Errorf("%s, %s: %v", name, scheme, err)
			}
		}
	}
}

// TLS is never given up: neither for a redirect to plain HTTP nor because the
// server speaks plain HTTP.
func TestTLSIsKept(t *testing.T) {
	plain, requests := httptest.NewServer(nil), new(atomic.Int32)
	defer plain.Close()
	plain.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { requests.Add(1) })
	authority := testkit.NewAuthority(t)
	identity := authority.Issue(t, "server", nil)
	server := httptest.NewUnstartedServer(http.RedirectHandler(plain.URL, http.StatusTemporaryRedirect))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{identity.Certificate}}
	server.StartTLS()
	defer server.Close()
	_, port, _ := net.SplitHostPort(plain.Listener.Addr().String())
	for _, url := range []string{server.URL, "https://127.0.0.1:" + port} {
		files := Service{Download: url, Upload: url, CAFile: authority.File}
		client := newTestClient(t, Config{Cache: files, Directory: files})
		if _, err := client.Entries(t.Context(), "key"); err == nil {
			t.Errorf("%s: entries", url)
		}
		if _, err := client.Upload(t.Context(), strings.NewReader("content")); err == nil {
			t.Errorf("%s: uploaded", url)
		}
	}
	if requests.Load() > 0 {
		t.Errorf("%d requests without TLS", requests.Load())
	}
}
