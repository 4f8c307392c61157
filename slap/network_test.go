// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestNormalizeURL(t *testing.T) {
	for input, want := range map[string]string{ // SLAP-1, SLAP-2
		"http://fd00::1":                           "http://[fd00::1]/",
		"http://fd00::1:80":                        "http://[fd00::1:80]/",
		"http://fe80:1234:1234:1234:1:1:1:1:5000":  "http://[fe80:1234:1234:1234:1:1:1:1]:5000/",
		"http://[fd00::1]:5000":                    "http://[fd00::1]:5000/",
		"http://127.0.0.1:5":                       "http://127.0.0.1:5/",
		"https://host/base":                        "https://host/base/",
		"https://host/base/":                       "https://host/base/",
		"http://FD00:0:0::1/x":                     "http://[fd00::1]/x/",
		"http://fe80:1234:1234:1234:1:1:1:1:5000/": "http://[fe80:1234:1234:1234:1:1:1:1]:5000/",
	} {
		if got := NormalizeURL(input); got != want {
			t.Errorf("NormalizeURL(%s) = %s, want %s", input, got, want)
		}
	}
	for _, bad := range []string{"", "host", "ftp://host", "http://", "http://[::1", "http://a b/"} {
		if _, err := NewClient(ClientConfig{MasterURL: bad}); err == nil || !strings.Contains(err.Error(), "master URL") {
			t.Errorf("%q: error %v", bad, err)
		}
	}
}

func TestResolve(t *testing.T) {
	c := newTestClient(t, ClientConfig{MasterURL: "http://h/base"})
	for path, want := range map[string]string{
		"requestComputerPartition": "http://h/base/requestComputerPartition", "/root": "http://h/root", "http://o/x": "http://o/x",
	} {
		r, err := c.request(t.Context(), call{method: "GET", path: path})
		if err != nil || r.URL.String() != want {
			t.Errorf("%s: %v, %v, want %s", path, r.URL, err, want)
		}
	}
}

func TestParseNetrc(t *testing.T) {
	const text = `# comment
machine other login no password no
machine h
  login "a" account b
  password c#d # comment
macdef init
machine h login macro password macro

default login x password y`
	for _, test := range []struct {
		text, host, login, password string
		ok                          bool
	}{
		{text, "h", "a", "c#d", true},
		{text, "unknown", "x", "y", true},
		{"default login x password y\nmachine h login a password b", "h", "a", "b", true},
		{"machine h login a", "other", "", "", false},
		{"machine h login a", "h", "a", "", true},
		{"machine", "h", "", "", false},
		{"", "h", "", "", false},
	} {
		login, password, ok := parseNetrc(test.text, test.host)
		if login != test.login || password != test.password || ok != test.ok {
			t.Errorf("%q, %s: %q %q %v", test.text, test.host, login, password, ok)
		}
	}
}

// TestLogin sends the login in .netrc, but not if other authentication applies
// (SLAP-5), nor to another host after a redirect.
func TestLogin(t *testing.T) {
	home := t.TempDir()
	netrc := "machine 127.0.0.1 login user password secret\n"
	if err := os.WriteFile(filepath.Join(home, ".netrc"), []byte(netrc), 0o600); err != nil {
		t.Fatal(err)
	}
	server := newRecorder(t, map[string]string{"getSoftwareReleaseListFromSoftwareProduct": "<list/>", "startedComputerPartition": ""})
	const basic = "Basic dXNlcjpzZWNyZXQ="

	c := newTestClient(t, ClientConfig{MasterURL: server.URL, Home: home})
	if _, err := c.ProductReleases(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	if r, _ := server.last(t); r.header.Get("Authorization") != basic {
		t.Errorf("GET: %q", r.header.Get("Authorization"))
	}
	if err := c.Started(t.Context(), PartitionID{"C", "p"}); err != nil {
		t.Fatal(err)
	}
	if r, _ := server.last(t); !strings.HasPrefix(r.header.Get("Authorization"), "X-SlapPartition") {
		t.Errorf("POST of a partition: %q", r.header.Get("Authorization"))
	}

	localhost := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	redirecting := httptest.NewServer(http.RedirectHandler(localhost+"/getSoftwareReleaseListFromSoftwareProduct", http.StatusFound))
	defer redirecting.Close()
	c = newTestClient(t, ClientConfig{MasterURL: redirecting.URL, Home: home})
	if _, err := c.ProductReleases(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	if r, _ := server.last(t); r.header.Get("Authorization") != "" {
		t.Errorf("another host after a redirect: %q", r.header.Get("Authorization"))
	}

	withUser, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	withUser.User = url.UserPassword("u", "p")
	c = newTestClient(t, ClientConfig{MasterURL: withUser.String(), Home: home})
	if _, err := c.ProductReleases(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	if r, _ := server.last(t); r.header.Get("Authorization") != "Basic dTpw" {
		t.Errorf("user in the URL: %q", r.header.Get("Authorization"))
	}
}

func TestRedirects(t *testing.T) {
	var moves atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/computerBang":
			http.Redirect(w, r, "/moved", http.StatusTemporaryRedirect)
		case "/moved":
			if r.Method != "POST" || r.FormValue("message") != "m" {
				http.Error(w, "the form is lost", http.StatusBadRequest)
			}
		default:
			if moves.Add(1) > 1000 { // a client that follows this long would never stop
				http.NotFound(w, r)
				return
			}
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		}
	}))
	defer server.Close()
	c := newTestClient(t, ClientConfig{MasterURL: server.URL})
	if err := c.ComputerBang(t.Context(), "C", "m"); err != nil {
		t.Error(err)
	}
	if _, err := c.ComputerStatus(t.Context(), "C"); err == nil || !strings.Contains(err.Error(), "more than 30 redirects") {
		t.Errorf("loop: %v", err)
	}
}

// TestProxyFromEnvironment runs a child, since the environment is only read
// once (CLI-29).
func TestProxyFromEnvironment(t *testing.T) {
	var asked string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.String()
		_, _ = io.WriteString(w, "<list/>")
	}))
	defer proxy.Close()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "SLAP_TEST_CHILD=http://master.invalid", "http_proxy="+proxy.URL, "no_proxy=", "NO_PROXY=")
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if want := "http://master.invalid/getSoftwareReleaseListFromSoftwareProduct?software_product_reference=p"; asked != want {
		t.Errorf("the proxy was asked for %q", asked)
	}
}

// childCall is the child of TestProxyFromEnvironment.
func childCall(master string) (exit int) {
	c, err := NewClient(ClientConfig{MasterURL: master})
	if err == nil {
		_, err = c.ProductReleases(httptest.NewRequest("GET", "/", nil).Context(), "p")
	}
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	return 0
}

// writeCertificate makes a self-signed client certificate.
func writeCertificate(t *testing.T, dir string) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "COMP-1"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return writePEM(t, filepath.Join(dir, "cert"), "CERTIFICATE", der), writePEM(t, filepath.Join(dir, "key"), "EC PRIVATE KEY", keyDER)
}

func writePEM(t *testing.T, path, kind string, der []byte) string {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestTLS verifies the Master's certificate unless configured otherwise (D-16),
// and shows the client's.
func TestTLS(t *testing.T) {
	var client string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client = ""
		if len(r.TLS.PeerCertificates) > 0 {
			client = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		_, _ = io.WriteString(w, "<list/>")
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.Config.ErrorLog = nil
	server.StartTLS()
	defer server.Close()
	dir := t.TempDir()
	ca := writePEM(t, filepath.Join(dir, "ca"), "CERTIFICATE", server.Certificate().Raw)
	certificate, key := writeCertificate(t, dir)
	both := filepath.Join(dir, "both")
	for _, path := range []string{certificate, key} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file, err := os.OpenFile(both, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.Write(data); err != nil {
			t.Fatal(err)
		}
		file.Close()
	}

	for _, test := range []struct {
		name   string
		config ClientConfig
		client string
		fails  bool
	}{
		{"system store", ClientConfig{}, "", true},
		{"CA file", ClientConfig{CAFile: ca}, "", false},
		{"no check", ClientConfig{Insecure: true}, "", false},
		{"client certificate", ClientConfig{CAFile: ca, CertFile: certificate, KeyFile: key}, "COMP-1", false},
		{"one file for both", ClientConfig{CAFile: ca, CertFile: both}, "COMP-1", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.config.MasterURL = server.URL
			_, err := newTestClient(t, test.config).ProductReleases(t.Context(), "p")
			if test.fails != errors.Is(err, ErrConnection) || !test.fails && err != nil || client != test.client {
				t.Errorf("error %v, client %q", err, client)
			}
		})
	}

	missing := filepath.Join(dir, "missing")
	for name, config := range map[string]ClientConfig{
		"missing certificate": {MasterURL: server.URL, CertFile: missing, KeyFile: key},
		"missing CA":          {MasterURL: server.URL, CAFile: missing},
		"CA that is none":     {MasterURL: server.URL, CAFile: key},
	} {
		if _, err := NewClient(config); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Without TLS, certificates don't matter.
	newTestClient(t, ClientConfig{MasterURL: "http://127.0.0.1:1", CertFile: missing, KeyFile: missing})
}
