// SPDX-License-Identifier: GPL-3.0-or-later

package authority_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"slapos/proxy/authority"
	"slapos/slap/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func open(t *testing.T, directory string, now func() time.Time) *authority.Authority {
	t.Helper()
	a, err := authority.Open(directory, authority.Options{Now: now, Names: func() []string { return []string{"master.example", "fd00::5"} }})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func request(t testing.TB, template x509.CertificateRequest, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

// sign gives a key a certificate.
func sign(t *testing.T, a *authority.Authority, role, name string, key *ecdsa.PrivateKey) (tls.Certificate, *x509.Certificate) {
	t.Helper()
	serial, err := authority.NewSerial()
	if err != nil {
		t.Fatal(err)
	}
	issued, err := a.Sign(authority.Subject{Role: role, Name: name}, &key.PublicKey, serial)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authority.CertificateIn(issued.PEM)
	if err != nil || authority.SerialText(certificate.SerialNumber) != serial || !certificate.NotAfter.Equal(issued.Expires.UTC().Truncate(time.Second)) {
		t.Fatalf("%v, serial %s, expires %s", err, serial, issued.Expires)
	}
	return tls.Certificate{Certificate: [][]byte{certificate.Raw}, PrivateKey: key}, certificate
}

// connect does a handshake over a connection of this machine, and returns what
// each side got of it.
func connect(t *testing.T, server, client *tls.Config) (seen tls.ConnectionState, serverErr, clientErr error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var ended sync.WaitGroup
	ended.Go(func() {
		raw, err := listener.Accept()
		if err != nil {
			serverErr = err
			return
		}
		connection := tls.Server(raw, server)
		defer connection.Close()
		if serverErr = connection.Handshake(); serverErr == nil {
			seen = connection.ConnectionState()
			_, serverErr = connection.Write([]byte("x"))
		}
	})
	raw, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	connection := tls.Client(raw, client)
	if clientErr = connection.Handshake(); clientErr == nil {
		_, clientErr = connection.Read(make([]byte, 1)) // a refused certificate is told after the handshake
	}
	connection.Close()
	ended.Wait()
	return seen, serverErr, clientErr
}

func trusting(a *authority.Authority, certificates ...tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: a.Pool(), ServerName: "127.0.0.1", Certificates: certificates}
}

// JOIN-1, JOIN-2.
func TestOpen(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "authority")
	var opened sync.WaitGroup
	pins := make([]authority.Pin, 8)
	for i := range pins {
		opened.Go(func() { // never two authorities
			a, err := authority.Open(directory, authority.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			pins[i] = a.Pin()
		})
	}
	opened.Wait()
	for _, pin := range pins {
		if pin != pins[0] {
			t.Fatal("two authorities were made")
		}
	}
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", entry.Name(), info.Mode(), err)
		}
	}
	if info, err := os.Stat(directory); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if text := testkit.ReadFile(t, filepath.Join(directory, "authority.crt")); strings.Contains(text, "PRIVATE") {
		t.Error("the file for clients has the key")
	}
}

// TestOpenRefuses: whoever can write to the directory, or read it, is the
// authority; and a file in it leads nowhere else (JOIN-2).
func TestOpenRefuses(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		prepare func(directory string) error
		want    string
	}{
		"a link as directory": {func(d string) error {
			return errors.Join(os.Mkdir(d+".other", 0o700), os.Symlink(d+".other", d))
		}, "is not a directory"},
		"an open directory":  {func(d string) error { return errors.Join(os.Mkdir(d, 0o700), os.Chmod(d, 0o750)) }, "is open to others"},
		"a link as key":      {func(d string) error { return errors.Join(os.Mkdir(d, 0o700), os.Symlink(outside, d+"/authority.pem")) }, "is a link"},
		"a directory as key": {func(d string) error { return os.MkdirAll(d+"/authority.pem", 0o700) }, "is no file of an authority"},
		"an open key": {func(d string) error {
			return errors.Join(os.Mkdir(d, 0o700), os.WriteFile(d+"/authority.pem", nil, 0o600), os.Chmod(d+"/authority.pem", 0o644))
		}, "is open to others"},
		"a key that is none": {func(d string) error {
			return errors.Join(os.Mkdir(d, 0o700), os.WriteFile(d+"/authority.pem", []byte("x"), 0o600))
		}, "it has no certificate: restore it"},
		"a link as lock":       {func(d string) error { return errors.Join(os.Mkdir(d, 0o700), os.Symlink(outside, d+"/lock")) }, "too many levels"},
		"a missing parent":     {func(string) error { return nil }, "no such file"},
		"a file for directory": {func(d string) error { return os.WriteFile(d, nil, 0o600) }, "is not a directory"},
	} {
		directory := filepath.Join(t.TempDir(), "a")
		if name == "a missing parent" {
			directory = filepath.Join(directory, "b")
		}
		if err := c.prepare(directory); err != nil {
			t.Fatal(err)
		}
		_, err := authority.Open(directory, authority.Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What is written replaces a link, and leaves alone what it leads to.
	directory := filepath.Join(t.TempDir(), "a")
	if err := errors.Join(os.Mkdir(directory, 0o700), os.Symlink(outside, directory+"/authority.crt"), os.Symlink(outside, directory+"/server.pem")); err != nil {
		t.Fatal(err)
	}
	a := open(t, directory, nil)
	if _, _, err := connect(t, a.TLS(nil), trusting(a)); err != nil {
		t.Error(err)
	}
	if got := testkit.ReadFile(t, outside); got != "kept" {
		t.Errorf("the file behind a link has %q", got)
	}
}

// TestHandshake: the master takes certificates of its own authority, and its
// clients know it by that; a node's certificate is good for no server (JOIN-5).
func TestHandshake(t *testing.T) {
	a := open(t, filepath.Join(t.TempDir(), "a"), nil)
	other := open(t, filepath.Join(t.TempDir(), "a"), nil)
	key := newKey(t)
	node, certificate := sign(t, a, "node", "node-1", key)
	seen, _, err := connect(t, a.TLS(nil), trusting(a, node))
	if err != nil {
		t.Fatal(err)
	}
	leaf, ours := a.Issuer(seen.VerifiedChains)
	if !ours || authority.SubjectOf(leaf) != (authority.Subject{Role: "node", Name: "node-1"}) {
		t.Errorf("%v, %v", ours, leaf)
	}
	if _, ours := other.Issuer(seen.VerifiedChains); ours {
		t.Error("another authority takes it for its own")
	}
	if certificate.IsCA || len(certificate.DNSNames)+len(certificate.IPAddresses) > 0 {
		t.Errorf("it may be more than a client: %+v", certificate)
	}
	if seen, _, err := connect(t, a.TLS(nil), trusting(a)); err != nil || len(seen.VerifiedChains) > 0 {
		t.Errorf("without a certificate: %v", err)
	}
	stranger, _ := sign(t, other, "node", "node-1", key)
	if _, _, err := connect(t, a.TLS(nil), &tls.Config{RootCAs: a.Pool(), ServerName: "127.0.0.1",
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &stranger, nil }}); err == nil {
		t.Error("a certificate of another authority is taken")
	}
	// Others' authorities besides: they are not this one.
	pool := other.Pool()
	seen, _, err = connect(t, a.TLS(pool), &tls.Config{RootCAs: a.Pool(), ServerName: "127.0.0.1", Certificates: []tls.Certificate{stranger}})
	if _, ours := a.Issuer(seen.VerifiedChains); err != nil || ours || len(seen.VerifiedChains) == 0 {
		t.Errorf("another authority's client: %v, ours %v", err, ours)
	}
	// A node that pretends to be the master, to another node.
	if _, _, err := connect(t, &tls.Config{Certificates: []tls.Certificate{node}}, trusting(a)); err == nil {
		t.Error("a node's certificate is taken for the master's")
	}
	withAuthority := node
	withAuthority.Certificate = append(withAuthority.Certificate, pemOf(t, a.Certificates()).Raw)
	if _, _, err := connect(t, &tls.Config{Certificates: []tls.Certificate{withAuthority}}, authority.Pinned(a.Pin(), "127.0.0.1", time.Now)); err == nil {
		t.Error("a node pretends to be the master of a token")
	}
}

func pemOf(t *testing.T, text []byte) *x509.Certificate {
	t.Helper()
	certificate, err := authority.CertificateIn(text)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// TestPinned: whoever has the pin knows the master from one in the middle, and
// from a wrong clock (JOIN-6).
func TestPinned(t *testing.T) {
	a := open(t, filepath.Join(t.TempDir(), "a"), nil)
	middle := open(t, filepath.Join(t.TempDir(), "a"), nil)
	if _, _, err := connect(t, a.TLS(nil), authority.Pinned(a.Pin(), "127.0.0.1", time.Now)); err != nil {
		t.Error(err)
	}
	var pin *authority.PinError
	if _, _, err := connect(t, middle.TLS(nil), authority.Pinned(a.Pin(), "127.0.0.1", time.Now)); !errors.As(err, &pin) {
		t.Errorf("another master: %v", err)
	}
	// One in the middle that shows the true authority beside its own certificate.
	forged := newKey(t)
	template := &x509.Certificate{SerialNumber: pemOf(t, a.Certificates()).SerialNumber, Subject: pkix.Name{CommonName: "SlapOS master"},
		IPAddresses: []net.IP{net.ParseIP("127.0.0.1")}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &forged.PublicKey, forged)
	if err != nil {
		t.Fatal(err)
	}
	shows := tls.Certificate{Certificate: [][]byte{der, pemOf(t, a.Certificates()).Raw}, PrivateKey: forged}
	if _, _, err := connect(t, &tls.Config{Certificates: []tls.Certificate{shows}}, authority.Pinned(a.Pin(), "127.0.0.1", time.Now)); !errors.As(err, &pin) {
		t.Errorf("one in the middle: %v", err)
	}
	// A node that signs a certificate for the master with its own.
	nodeKey := newKey(t)
	_, node := sign(t, a, "node", "node-1", nodeKey)
	der, err = x509.CreateCertificate(rand.Reader, template, node, &forged.PublicKey, nodeKey)
	if err != nil {
		t.Fatal(err)
	}
	shows.Certificate = [][]byte{der, node.Raw, pemOf(t, a.Certificates()).Raw}
	if _, _, err := connect(t, &tls.Config{Certificates: []tls.Certificate{shows}}, authority.Pinned(a.Pin(), "127.0.0.1", time.Now)); !errors.As(err, &pin) {
		t.Errorf("a node in the middle: %v", err)
	}
	var clock *authority.ClockError
	for _, off := range []time.Duration{-24 * time.Hour, 1000 * 24 * time.Hour} {
		now := func() time.Time { return time.Now().Add(off) }
		if _, _, err := connect(t, a.TLS(nil), authority.Pinned(a.Pin(), "127.0.0.1", now)); !errors.As(err, &clock) {
			t.Errorf("a clock off by %s: %v", off, err)
		}
	}
	var name x509.HostnameError
	if _, _, err := connect(t, a.TLS(nil), authority.Pinned(a.Pin(), "elsewhere.example", time.Now)); !errors.As(err, &name) {
		t.Errorf("another name: %v", err)
	}
}

// moved is a clock that tests move.
type moved struct {
	mutex sync.Mutex
	by    time.Duration
}

func (m *moved) now() time.Time {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return time.Now().Add(m.by)
}

func (m *moved) move(by time.Duration) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.by += by
}

// TestRenewal lives through twelve years without a restart: whoever renews in
// time always trusts the master, and is trusted (JOIN-3, JOIN-4).
func TestRenewal(t *testing.T) {
	const day = 24 * time.Hour
	clock := &moved{}
	directory := filepath.Join(t.TempDir(), "a")
	a := open(t, directory, clock.now)
	server := a.TLS(nil)
	server.Time = clock.now
	key := newKey(t)
	first, serials := a.Pin(), map[string]bool{}
	var pins []authority.Pin
	switched := false
	for range 12 * 365 / 60 {
		certificate, _ := sign(t, a, "node", "node-1", key)
		roots := a.Pool()
		for range 2 {
			clock.move(30 * day)
			client := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", Certificates: []tls.Certificate{certificate}, Time: clock.now,
				VerifyConnection: func(state tls.ConnectionState) error {
					serials[state.PeerCertificates[0].SerialNumber.String()] = true
					return nil
				}}
			seen, _, err := connect(t, server, client)
			if _, ours := a.Issuer(seen.VerifiedChains); err != nil || !ours {
				t.Fatalf("at %s: %v", clock.now(), err)
			}
			// Tokens of the last four months hold, too.
			pins = append(pins, a.Pin())[max(0, len(pins)-3):]
			for _, pin := range pins {
				if _, _, err := connect(t, server, authority.Pinned(pin, "127.0.0.1", clock.now)); err != nil {
					t.Fatalf("pinned at %s: %v", clock.now(), err)
				}
				switched = switched || pin != a.Pin()
			}
		}
	}
	if !switched {
		t.Error("no token lived through the switch")
	}
	if a.Pin() == first {
		t.Error("the authority is the same after twelve years")
	}
	if len(serials) < 40 {
		t.Errorf("the master had %d certificates", len(serials))
	}
	if again := open(t, directory, clock.now); again.Pin() != a.Pin() || !bytes.Equal(again.Certificates(), a.Certificates()) {
		t.Error("a restart changes the authority")
	}
}

// TestServerNames: an address that the machine gets is in the next certificate.
func TestServerNames(t *testing.T) {
	clock := &moved{}
	var mutex sync.Mutex
	names := []string{"master.example", "0.0.0.0"}
	a, err := authority.Open(filepath.Join(t.TempDir(), "a"), authority.Options{Now: clock.now, Names: func() []string {
		mutex.Lock()
		defer mutex.Unlock()
		return names
	}})
	if err != nil {
		t.Fatal(err)
	}
	server := a.TLS(nil)
	as := func(name string) error {
		_, _, err := connect(t, server, &tls.Config{RootCAs: a.Pool(), ServerName: name, Time: clock.now})
		return err
	}
	for _, name := range []string{"master.example", "127.0.0.1", "::1", "localhost"} {
		if err := as(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if as("0.0.0.0") == nil {
		t.Error("no address is a name")
	}
	if as("new.example") == nil {
		t.Error("a name that the master hasn't")
	}
}

// TestRequests: of a request the key alone counts (JOIN-7).
func TestRequests(t *testing.T) {
	a := open(t, filepath.Join(t.TempDir(), "a"), nil)
	key := newKey(t)
	greedy := request(t, x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: "admin", OrganizationalUnit: []string{"admin"}},
		DNSNames: []string{"master.example"}, IPAddresses: []net.IP{net.ParseIP("127.0.0.1")},
		ExtraExtensions: []pkix.Extension{asn1CA()},
	}, key)
	public, err := authority.ParseRequest(greedy)
	if err != nil || !key.PublicKey.Equal(public) {
		t.Fatal(err)
	}
	_, certificate := sign(t, a, "node", "node-1", key)
	if certificate.IsCA || len(certificate.DNSNames) > 0 || certificate.Subject.String() != "CN=node-1,OU=node" ||
		certificate.KeyUsage != x509.KeyUsageDigitalSignature || len(certificate.ExtKeyUsage) != 1 || certificate.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth {
		t.Errorf("the request got what it asked for: %+v", certificate)
	}

	weak, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := authority.ParseRequest(request(t, x509.CertificateRequest{}, long)); err != nil {
		t.Errorf("RSA: %v", err)
	}
	block, _ := pem.Decode(request(t, x509.CertificateRequest{}, key))
	block.Bytes[len(block.Bytes)-5] ^= 1
	for name, text := range map[string][]byte{
		"a weak key":        request(t, x509.CertificateRequest{}, weak),
		"a wrong signature": pem.EncodeToMemory(block),
		"nothing":           nil,
		"a certificate":     pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}),
		"too long":          append(bytes.Repeat([]byte("\n"), 20<<10), greedy...),
	} {
		if _, err := authority.ParseRequest(text); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// asn1CA is the extension that makes a certificate an authority.
func asn1CA() pkix.Extension {
	return pkix.Extension{Id: []int{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 0x03, 0x01, 0x01, 0xff}}
}

// JOIN-6.
func TestTokens(t *testing.T) {
	a := open(t, filepath.Join(t.TempDir(), "a"), nil)
	token := authority.NewToken(a.Pin())
	read, err := authority.ParseToken(token.String())
	if err != nil || read != token || read.Pin != a.Pin() || !authority.SameDigest(read.Digest(), token.Digest()) {
		t.Errorf("%v, %v", read, err)
	}
	if other := authority.NewToken(a.Pin()); other.ID == token.ID || authority.SameDigest(other.Digest(), token.Digest()) {
		t.Error("two tokens are the same")
	}
	text := token.String()
	for _, wrong := range []string{"", "S1.", text[1:], text + ".", text + "A", strings.ToUpper(text), "S2" + text[2:], text[:len(text)-1], " " + text, text + "\n",
		strings.Replace(text, "."+token.ID+".", "."+strings.Repeat("z", 12)+".", 1)} {
		if _, err := authority.ParseToken(wrong); err == nil || strings.Contains(err.Error(), token.Secret) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

func FuzzToken(f *testing.F) {
	f.Add(authority.NewToken(authority.Pin{1}).String())
	f.Add("S1.a.b.c")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := authority.ParseToken(text)
		if err == nil && token.String() != text {
			t.Errorf("%q is read as %q", text, token)
		}
		if err != nil && len(text) > 10 && strings.Contains(err.Error(), text) {
			t.Error("the error repeats the text")
		}
	})
}

func FuzzRequest(f *testing.F) {
	a, err := authority.Open(filepath.Join(f.TempDir(), "a"), authority.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(request(f, x509.CertificateRequest{Subject: pkix.Name{CommonName: "admin"}}, newKey(f)))
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := authority.ParseRequest(text)
		if err != nil {
			return
		}
		serial, err := authority.NewSerial()
		if err != nil {
			t.Fatal(err)
		}
		issued, err := a.Sign(authority.Subject{Role: "node", Name: "n"}, key, serial)
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := authority.CertificateIn(issued.PEM)
		if err != nil || certificate.IsCA || certificate.Subject.String() != "CN=n,OU=node" {
			t.Errorf("%v, %+v", err, certificate)
		}
	})
}
