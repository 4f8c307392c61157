// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"slapos/slap"
	"slapos/slap/testkit"
)

// syncedText is written by one goroutine and read by another.
type syncedText struct {
	mutex sync.Mutex
	text  strings.Builder
}

func (s *syncedText) Write(data []byte) (int, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.text.Write(data)
}

func (s *syncedText) String() string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.text.String()
}

// testAuthority signs certificates into a folder, each with its key.
type testAuthority struct {
	t           *testing.T
	folder      string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, folder string) *testAuthority {
	a := &testAuthority{t: t, folder: folder}
	a.certificate, a.key = a.sign("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// sign writes NAME.pem, certificate and key.
func (a *testAuthority) sign(name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, template.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret})...)
	if err := os.WriteFile(a.file(name), text, 0o600); err != nil {
		a.t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return certificate, key
}

func (a *testAuthority) file(name string) string { return filepath.Join(a.folder, name+".pem") }

// startProxyForTest starts a proxy by its command until the test ends.
func startProxyForTest(t *testing.T, configuration string) *syncedText {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	e := newEnvironment()
	complaints := &syncedText{}
	e.stderr = complaints
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, e, []string{"slapos", "proxy", "start", "--cfg", configuration}) }()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	testkit.Eventually(t, testkit.Patience, "the proxy listens", func() bool {
		select {
		case code := <-ended:
			ended <- code
			t.Fatalf("the proxy ended with code %d\n%s", code, complaints)
		default:
		}
		// Whoever asks the port may be answered by another test's.
		return strings.Contains(complaints.String(), "Running on ")
	})
	return complaints
}

// TestProxyGuard has a proxy answer only to who shows a certificate or knows
// a token.
func TestProxyGuard(t *testing.T) {
	path, address := proxyConfiguration(t)
	folder := filepath.Dir(path)
	ca := newAuthority(t, folder)
	ca.sign("server", &x509.Certificate{IPAddresses: []net.IP{net.ParseIP("127.0.0.1")}})
	ca.sign("node", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	strangers := filepath.Join(folder, "strangers")
	tokens := filepath.Join(folder, "tokens")
	if err := errors.Join(os.Mkdir(strangers, 0o700), os.WriteFile(tokens, []byte("first\nsecond\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	stranger := newAuthority(t, strangers)
	stranger.sign("node", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	text := fmt.Sprintf("listen_cert_file = %s\nlisten_client_ca_file = %s\nlisten_token_file = %s\n", ca.file("server"), ca.file("ca"), tokens)
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = file.WriteString(text)
		file.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(address, "http://")
	startProxyForTest(t, path)

	// A node, by its certificate.
	connect := func(cert string) error {
		client, err := slap.NewClient(slap.ClientConfig{MasterURL: "https://" + host + "/", CAFile: ca.file("ca"), CertFile: cert, KeyFile: cert, Timeout: time.Minute})
		if err != nil {
			return err
		}
		defer client.Close()
		_, err = client.FullComputerInformation(t.Context(), "C")
		return err
	}
	if err := connect(ca.file("node")); err != nil {
		t.Errorf("a node: %v", err)
	}
	for name, cert := range map[string]string{"no certificate": "", "another authority's": stranger.file("node")} {
		if err := connect(cert); err == nil {
			t.Errorf("%s is taken", name)
		}
	}

	// Others, by a token.
	roots := x509.NewCertPool()
	roots.AddCert(ca.certificate)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	seen := "none"
	outside := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header.Get("Authorization") }))
	defer outside.Close()
	ask := func(path string, header ...string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(path, "/slapos.") {
			r.Method, r.Body = http.MethodPost, io.NopCloser(strings.NewReader("{}"))
			r.Header.Set("Content-Type", "application/json")
		}
		r.Header["Authorization"] = header
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		if response.StatusCode == 401 && response.Header.Get("WWW-Authenticate") == "" {
			t.Error("a browser isn't told to ask")
		}
		return response.StatusCode, string(body)
	}
	basic := "Basic YW55Ym9keTpzZWNvbmQ=" // anybody:second
	for _, c := range []struct {
		path   string
		header []string
		status int
	}{
		{"/panel/", nil, 401},
		{"/panel/", []string{"Bearer first"}, 200},
		{"/panel/", []string{basic}, 200},
		{"/panel/", []string{"Bearer wrong"}, 401},
		{"/panel/", []string{"Bearer "}, 401},
		{"/metrics", nil, 401},
		{"/no/such/page", nil, 401},
		{"/getRunId", nil, 200},
		{"/slapos.allDocs.v0.instance_tree_list", nil, 401},
		{"/slapos.allDocs.v0.instance_tree_list", []string{"Bearer second"}, 200},
		{"/http_proxy/http/" + strings.TrimPrefix(outside.URL, "http://") + "/", []string{"Bearer first"}, 200},
	} {
		if status, body := ask(c.path, c.header...); status != c.status {
			t.Errorf("%s with %q: %d %s", c.path, c.header, status, body)
		}
	}
	if seen != "" {
		t.Errorf("the token was handed on: %q", seen)
	}
	if _, body := ask("/slapos.allDocs.v0.instance_tree_list"); !strings.HasPrefix(body, `{"status": 401, "type": "Unauthorized", "title": `) {
		t.Errorf("JSON-RPC is refused with %s", body)
	}
	// Without TLS there is no answer.
	if response, err := http.Get(address + "/getRunId"); err == nil {
		response.Body.Close()
		if response.StatusCode == 200 {
			t.Error("it is answered without TLS")
		}
	}
}

// TestProxyExposed warns of an address that everybody may reach.
func TestProxyExposed(t *testing.T) {
	path, _ := proxyConfiguration(t)
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, append(text, "host = 0.0.0.0\n"...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	complaints := startProxyForTest(t, path)
	if !strings.Contains(complaints.String(), "Anybody who reaches this address may do anything") {
		t.Errorf("no warning:\n%s", complaints)
	}
}

// TestProxyGuardRefuses tells in one line which setting can't be used.
func TestProxyGuardRefuses(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for setting, want := range map[string]string{
		"listen_key_file = x":              "listen_key_file needs listen_cert_file",
		"listen_client_ca_file = x":        "listen_client_ca_file needs listen_cert_file",
		"listen_cert_file = /nonexistent":  "certificate: open /nonexistent",
		"listen_token_file = /nonexistent": "tokens: open /nonexistent",
		"listen_token_file = " + empty:     "tokens: " + empty + " has none",
		"listen_cert_file = " + empty:      "certificate: " + empty + ", key " + empty + ": ",
	} {
		path, _ := proxyConfiguration(t)
		text, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, append(text, setting+"\n"...), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		n := newNodeTest(t)
		code := n.run("proxy", "start", "--cfg", path)
		if text := strings.TrimSpace(n.stderr.String()); code != 1 || !strings.Contains(text, want) || strings.Contains(text, "\n") {
			t.Errorf("%s: exit code %d, %q", setting, code, text)
		}
	}
}
