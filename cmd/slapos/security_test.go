// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

// A client needs no certificate; one that it shows must be of an authority that
// was given.
func TestListenSecurity(t *testing.T) {
	ours, others := testkit.NewAuthority(t), testkit.NewAuthority(t)
	server, node, stranger := ours.Issue(t, "server", nil), ours.Issue(t, "node", nil), others.Issue(t, "stranger", nil)
	config, err := listenSecurity(server.CertificateFile, server.KeyFile, ours.File)
	if err != nil {
		t.Fatal(err)
	}
	verified := false
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { verified = len(r.TLS.VerifiedChains) > 0 }))
	web.TLS, web.Config.ErrorLog = config, log.New(io.Discard, "", 0)
	web.StartTLS()
	defer web.Close()
	roots := x509.NewCertPool()
	roots.AddCert(ours.Certificate)
	for _, test := range []struct {
		name           string
		certificate    *tls.Certificate
		fails, isKnown bool
	}{{"none", nil, false, false}, {"ours", &node.Certificate, false, true}, {"a stranger's", &stranger.Certificate, true, false}} {
		client := tls.Config{RootCAs: roots}
		if test.certificate != nil { // shown whatever the server asks for
			client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return test.certificate, nil }
		}
		transport := &http.Transport{TLSClientConfig: &client, DisableKeepAlives: true}
		verified = false
		response, err := (&http.Client{Transport: transport}).Get(web.URL)
		if err == nil {
			response.Body.Close()
		}
		if (err != nil) != test.fails || verified != test.isKnown {
			t.Errorf("certificate %s: verified %v, %v", test.name, verified, err)
		}
	}
	for name, files := range map[string][3]string{
		"a key that isn't the certificate's": {server.CertificateFile, node.KeyFile, ""},
		"authorities that are none":          {server.CertificateFile, server.KeyFile, server.KeyFile},
		"authorities that aren't there":      {server.CertificateFile, server.KeyFile, "/nonexistent"},
	} {
		if _, err := listenSecurity(files[0], files[1], files[2]); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// The office that makes certificates is verified, its answers have a limit, and
// the token for it goes to nobody else.
func TestCertificateOffice(t *testing.T) {
	var elsewhere, token string
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		elsewhere += r.URL.Path + r.Header.Get("X-Access-Token")
	}))
	defer other.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/good", func(w http.ResponseWriter, r *http.Request) {
		token = r.Header.Get("X-Access-Token")
		_, _ = io.WriteString(w, `{"certificate": "C", "key": "K"}`)
	})
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"certificate": "C", "key": "K"`+strings.Repeat(" ", officeAnswer)+"}")
	})
	mux.Handle("/moved", http.RedirectHandler(other.URL+"/stolen:", http.StatusTemporaryRedirect))
	mux.Handle("/here", http.RedirectHandler("/good", http.StatusTemporaryRedirect))
	web := httptest.NewUnstartedServer(mux)
	web.Config.ErrorLog = log.New(io.Discard, "", 0)
	web.StartTLS()
	defer web.Close()
	if _, _, err := (certificateOffice{web.URL, "t0ken", false}).request(t.Context(), "good", nil); err == nil || token != "" {
		t.Errorf("an unknown office got the token: %v", err)
	}
	office := certificateOffice{web.URL + "/", "t0ken", true}
	for _, method := range []string{"good", "here"} {
		token = ""
		if certificate, key, err := office.request(t.Context(), method, nil); certificate != "C" || key != "K" || err != nil || token != "t0ken" {
			t.Errorf("%s: %q %q %v, token %q", method, certificate, key, err, token)
		}
	}
	if _, _, err := office.request(t.Context(), "large", nil); err == nil {
		t.Error("a large answer is taken")
	}
	if _, _, err := office.request(t.Context(), "moved", nil); err == nil || elsewhere != "/stolen:" {
		t.Errorf("another host got %q, %v", elsewhere, err)
	}
}

// wantModes checks that files are there with their modes.
func wantModes(t *testing.T, folder string, modes map[string]fs.FileMode) {
	t.Helper()
	for name, mode := range modes {
		if info, err := os.Stat(filepath.Join(folder, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v, want %v", name, info, err, mode)
		}
	}
}

// What identifies a node is its own.
func TestRegistrationFiles(t *testing.T) {
	e, _, _ := newTestEnvironment(t)
	folder := filepath.Join(t.TempDir(), "slapos")
	r := &registration{e: e, directory: folder}
	if err := r.write(nodeValues{ComputerID: "COMP-1", MasterURL: "http://h/", SoftwareRoot: "/s", InstanceRoot: "/i", CreateTap: "False"}, "C", "K"); err != nil {
		t.Fatal(err)
	}
	wantModes(t, folder, map[string]fs.FileMode{"ssl/key": 0o600, "ssl/certificate": 0o600, "ssl": 0o711, "ssl/partition_pki": 0o711})
}

// What identifies a client is its own.
func TestConfigureClientFiles(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"certificate": "C", "key": "K"}`)
	}))
	defer web.Close()
	e, _, _ := newTestEnvironment(t)
	folder := filepath.Join(t.TempDir(), "slapos")
	options := configureClientOptions{configuration: filepath.Join(folder, "client.cfg"), masterURL: "http://h/", masterWeb: web.URL, token: "t"}
	if err := runConfigureClient(t.Context(), e, options); err != nil {
		t.Fatal(err)
	}
	wantModes(t, filepath.Dir(folder), map[string]fs.FileMode{"slapos": 0o700, "slapos/client.key": 0o600, "slapos/client.crt": 0o600, "slapos/client.cfg": 0o600})
}

// A new file is new: neither another one nor what a link leads to is written.
func TestWriteNew(t *testing.T) {
	folder := t.TempDir()
	there, link := filepath.Join(folder, "there"), filepath.Join(folder, "link")
	if err := errors.Join(os.WriteFile(there, []byte("kept"), 0o600), os.Symlink(filepath.Join(folder, "target"), link)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{there, link} {
		if err := writeNew(path, []byte("new"), 0o600); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
	}
	if text, err := os.ReadFile(there); string(text) != "kept" || exists(filepath.Join(folder, "target")) {
		t.Errorf("it holds %q, %v", text, err)
	}
}

// A logger that has values shows no secret in them: a text has them in the
// lines for debugging, JSON in each.
func TestLogHidesSecretsOfLoggers(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		e, _, stderr := newTestEnvironment(t)
		e.global.logFormat, e.global.verbose = format, 1
		slog.New(e.console()).With("url", "https://me:s3cret@host/", slog.Group("g", "error", errors.New("https://me:s3cret@host/"))).Debug("told")
		if text := stderr.String(); strings.Contains(text, "s3cret") || strings.Count(text, "me:***@host") != 2 {
			t.Errorf("%s: %s", format, text)
		}
	}
}
