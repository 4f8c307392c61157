// SPDX-License-Identifier: GPL-3.0-or-later

package testkit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An Authority issues certificates for servers and clients of a test.
type Authority struct {
	File        string // its certificate, in PEM
	Certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	directory   string
}

// An Identity is a certificate with its key, in files and in memory.
type Identity struct {
	CertificateFile, KeyFile string
	BothFile                 string // certificate and key in one
	Certificate              tls.Certificate
}

// NewAuthority makes an authority whose files last as long as the test.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{directory: t.TempDir()}
	a.Certificate = template("authority of a test")
	a.Certificate.IsCA, a.Certificate.BasicConstraintsValid, a.Certificate.KeyUsage = true, true, x509.KeyUsageCertSign
	identity := a.issue(t, "authority", a.Certificate)
	a.File, a.Certificate, a.key = identity.CertificateFile, identity.Certificate.Leaf, identity.Certificate.PrivateKey.(*ecdsa.PrivateKey)
	return a
}

// Issue makes a certificate for 127.0.0.1, ::1 and localhost, valid for an hour
// for both sides, with name as its subject; change may alter it.
func (a *Authority) Issue(t testing.TB, name string, change func(*x509.Certificate)) Identity {
	t.Helper()
	certificate := template(name)
	certificate.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	certificate.DNSNames = []string{"localhost"}
	certificate.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	if change != nil {
		change(certificate)
	}
	return a.issue(t, name, certificate)
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
}

func (a *Authority) issue(t testing.TB, name string, certificate *x509.Certificate) Identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer := a.key
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, certificate, a.Certificate, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificatePEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	var identity Identity
	for _, file := range []struct {
		path   *string
		suffix string
		text   []byte
	}{
		{&identity.CertificateFile, ".crt", certificatePEM},
		{&identity.KeyFile, ".key", keyPEM},
		{&identity.BothFile, ".pem", append(certificatePEM[:len(certificatePEM):len(certificatePEM)], keyPEM...)},
	} {
		*file.path = filepath.Join(a.directory, name+file.suffix)
		if err := os.WriteFile(*file.path, file.text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if identity.Certificate, err = tls.X509KeyPair(certificatePEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	return identity
}

// ServerConfig returns the configuration of a TLS server that identifies as
// identity, and accepts only clients of clients; nil requests no certificate.
func ServerConfig(identity Identity, clients *Authority) *tls.Config {
	config := &tls.Config{Certificates: []tls.Certificate{identity.Certificate}}
	if clients != nil {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		config.ClientCAs.AddCert(clients.Certificate)
	}
	return config
}
