// SPDX-License-Identifier: GPL-3.0-or-later

package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"syscall"
	"time"
)

// Subject is whom a certificate names.
type Subject struct {
	Role, Name string
	// Tenant further tells those apart who have a name one after the other; may be
	// empty.
	Tenant string
}

// Issued is a certificate that the authority signed.
type Issued struct {
	Serial  string // in hexadecimal digits
	Expires time.Time
	PEM     []byte // the certificate
}

// maximumRequest bounds the text of a certificate request, in bytes.
const maximumRequest = 16 << 10

// ParseRequest returns the key of a certificate request in PEM, if whoever wrote
// it has the secret half. It is all that is taken of a request: name, role and
// rights are decided elsewhere, whatever it asks for (JOIN-7).
func ParseRequest(text []byte) (crypto.PublicKey, error) {
	if len(text) > maximumRequest {
		return nil, errors.New("the certificate request is too long")
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("there is no certificate request in PEM form")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, errors.New("the certificate request is malformed")
	}
	// Before its signature is checked, which takes time with an enormous key.
	if err := checkKey(request.PublicKey); err != nil {
		return nil, err
	}
	if err := request.CheckSignature(); err != nil {
		return nil, errors.New("the certificate request isn't signed with its key")
	}
	return request.PublicKey, nil
}

func checkKey(key crypto.PublicKey) error {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if key.Curve.Params().BitSize >= 256 {
			return nil
		}
	case ed25519.PublicKey:
		return nil
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits >= 2048 && bits <= 8192 {
			return nil
		}
	}
	return errors.New("the key of the certificate request can't be used: make one of ECDSA P-256, Ed25519, or RSA of 2048 to 8192 bits")
}

// KeyID names a key: the SHA-256 of its public half.
func KeyID(key crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}

// NewSerial draws the number of a certificate, which is noted before it is signed.
func NewSerial() (string, error) {
	serial, err := newSerial()
	if err != nil {
		return "", err
	}
	return SerialText(serial), nil
}

// SerialText is how a certificate's number is written.
func SerialText(serial *big.Int) string { return hex.EncodeToString(serial.Bytes()) }

// Expires is when a certificate that is signed now ends.
func (a *Authority) Expires() time.Time {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return a.expires(a.signer())
}

func (a *Authority) expires(signer pair) time.Time {
	end := a.options.Now().Add(CertLifetime)
	if last := signer.certificate.NotAfter; last.Before(end) {
		return last
	}
	return end
}

// Make makes a key and signs its certificate, for somebody who can make none: both
// are in PEM.
func (a *Authority) Make(subject Subject) (issued Issued, key []byte, err error) {
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return issued, nil, err
	}
	serial, err := NewSerial()
	if err != nil {
		return issued, nil, err
	}
	issued, err = a.Sign(subject, &secret.PublicKey, serial)
	return issued, encodeKey(secret), err
}

// Sign signs the certificate of a client: it proves who made a request to the
// master, and is good for nothing else. It is no server's, so that no node can
// pretend to be the master.
func (a *Authority) Sign(subject Subject, key crypto.PublicKey, serial string) (Issued, error) {
	number, ok := new(big.Int).SetString(serial, 16)
	if !ok || subject.Role == "" || subject.Name == "" {
		return Issued{}, fmt.Errorf("a certificate of %q needs a name, a role and a number", subject.Name)
	}
	if err := a.turn(); err != nil {
		return Issued{}, err
	}
	a.mutex.Lock()
	defer a.mutex.Unlock()
	signer := a.signer()
	template := &x509.Certificate{
		SerialNumber: number,
		Subject:      pkix.Name{CommonName: subject.Name, OrganizationalUnit: []string{subject.Role}},
		NotBefore:    a.options.Now().Add(-skew), NotAfter: a.expires(signer),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	if subject.Tenant != "" {
		template.Subject.Organization = []string{subject.Tenant}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.certificate, key, signer.key)
	if err != nil {
		return Issued{}, err
	}
	return Issued{Serial: serial, Expires: template.NotAfter, PEM: encodeCertificate(der)}, nil
}

// turn makes the next authority when it is time, in a master that runs for years.
func (a *Authority) turn() error {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	newest := a.pairs[len(a.pairs)-1].certificate.NotAfter
	if a.options.Now().Before(newest.Add(-Overlap)) && a.options.Now().Before(a.pairs[0].certificate.NotAfter) {
		return nil
	}
	unlock, err := a.lock()
	if err != nil {
		return err
	}
	defer unlock()
	pairs, err := a.readPairs() // another program may have made it
	if err != nil {
		return err
	}
	a.pairs = pairs
	return a.refresh()
}

// Issuer reports whether chains that were verified, as TLS does, end in this
// authority, and returns the client's certificate.
func (a *Authority) Issuer(chains [][]*x509.Certificate) (*x509.Certificate, bool) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	for _, chain := range chains {
		for _, p := range a.pairs {
			if len(chain) > 0 && chain[len(chain)-1].Equal(p.certificate) {
				return chain[0], true
			}
		}
	}
	return nil, false
}

// SubjectOf is whom a certificate of the authority names.
func SubjectOf(certificate *x509.Certificate) Subject {
	s := Subject{Name: certificate.Subject.CommonName}
	if units := certificate.Subject.OrganizationalUnit; len(units) == 1 {
		s.Role = units[0]
	}
	if organizations := certificate.Subject.Organization; len(organizations) == 1 {
		s.Tenant = organizations[0]
	}
	return s
}

func ownerOf(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return os.Geteuid()
}
