// SPDX-License-Identifier: GPL-3.0-or-later

package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"net"
	"slices"
	"time"
)

// server is the certificate of the master, and when its names were looked at.
type server struct {
	certificate *tls.Certificate
	leaf        *x509.Certificate
	looked      time.Time
}

// lookAtNames is how often names are asked for, at most: by then an address that
// the machine has got is in the certificate.
const lookAtNames = 10 * time.Second

// TLS is how the master listens: with its certificate, which is renewed while it
// runs, and for clients that show one of the authority, of others, or none.
// Others, which may be nil, is who else's certificates are taken.
func (a *Authority) TLS(others *x509.CertPool) *tls.Config {
	base := &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		ClientAuth: tls.VerifyClientCertIfGiven,
	}
	base.GetCertificate = a.serverCertificate
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if err := a.turn(); err != nil {
			return nil, err
		}
		config := base.Clone()
		config.GetConfigForClient = nil
		config.ClientCAs = a.clientPool(others)
		return config, nil
	}
	return base
}

func (a *Authority) clientPool(others *x509.CertPool) *x509.CertPool {
	if others == nil {
		return a.Pool()
	}
	pool := others.Clone()
	a.mutex.Lock()
	defer a.mutex.Unlock()
	for _, p := range a.pairs {
		pool.AddCert(p.certificate)
	}
	return pool
}

// serverCertificate returns the master's certificate, a new one if it is near
// its end, of another authority, or lacks the address that the client came to.
func (a *Authority) serverCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	var address net.IP
	if hello != nil && hello.Conn != nil {
		if local, ok := hello.Conn.LocalAddr().(*net.TCPAddr); ok {
			address = local.IP
		}
	}
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.server.certificate == nil {
		a.readServer()
	}
	now := a.options.Now()
	if leaf := a.server.leaf; leaf != nil && a.isCurrent(leaf) {
		if covers(leaf, address) || now.Before(a.server.looked.Add(lookAtNames)) && !now.Before(a.server.looked) {
			return a.server.certificate, nil
		}
		a.server.looked = now
		if wanted := a.names(); slices.Equal(wanted, namesOf(leaf)) {
			return a.server.certificate, nil // the address is none of this machine's
		}
	}
	a.server.looked = now
	if err := a.makeServer(); err != nil {
		return nil, err
	}
	return a.server.certificate, nil
}

// isCurrent reports whether a server's certificate is of the authority that signs,
// and has a third of its life before it.
func (a *Authority) isCurrent(leaf *x509.Certificate) bool {
	now := a.options.Now()
	third := leaf.NotAfter.Sub(leaf.NotBefore) / 3
	return leaf.CheckSignatureFrom(a.signer().certificate) == nil &&
		now.After(leaf.NotBefore) && (now.Before(leaf.NotAfter.Add(-third)) || leaf.NotAfter.Equal(a.signer().certificate.NotAfter) && now.Before(leaf.NotAfter))
}

func covers(leaf *x509.Certificate, address net.IP) bool {
	return address == nil || slices.ContainsFunc(leaf.IPAddresses, address.Equal)
}

// names are those of the next certificate, sorted: addresses of this machine
// itself are always among them.
func (a *Authority) names() []string {
	names := append([]string{"localhost", "127.0.0.1", "::1"}, a.options.Names()...)
	var plain []string
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			name = ip.String()
		}
		if name != "" && !isUnspecified(name) {
			plain = append(plain, name)
		}
	}
	slices.Sort(plain)
	return slices.Compact(plain)
}

func isUnspecified(name string) bool {
	ip := net.ParseIP(name)
	return ip != nil && ip.IsUnspecified()
}

func namesOf(leaf *x509.Certificate) []string {
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	slices.Sort(names)
	return names
}

// makeServer makes a certificate for the master, and keeps it. The mutex is held.
func (a *Authority) makeServer() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := newSerial()
	if err != nil {
		return err
	}
	signer := a.signer()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "SlapOS master", OrganizationalUnit: []string{"master"}},
		NotBefore: a.options.Now().Add(-skew), NotAfter: a.expires(signer),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, name := range a.names() {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.certificate, &key.PublicKey, signer.key)
	if err != nil {
		return err
	}
	text := append(encodeKey(key), encodeCertificate(der)...)
	// A master whose disk is full goes on with what it has in memory.
	writing := a.write("server.pem", text)
	if err := a.takeServer(text); err != nil {
		return errors.Join(err, writing)
	}
	return nil
}

// readServer takes the certificate that a former run left, if it can be used.
func (a *Authority) readServer() {
	if text, err := a.read("server.pem"); err == nil {
		_ = a.takeServer(text) // or a new one is made
	}
}

// takeServer serves with a key and a certificate in PEM. The authority follows
// in what is sent, so that a client which knows its pin alone finds it.
func (a *Authority) takeServer(text []byte) error {
	certificate, err := tls.X509KeyPair(text, text)
	if err != nil {
		return err
	}
	leaf, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		return err
	}
	signer := a.signer()
	certificate.Certificate = append(certificate.Certificate[:1], signer.certificate.Raw)
	for _, former := range a.pairs {
		if former == signer {
			break
		}
		voucher, err := a.vouch(former, signer)
		if err != nil {
			return err
		}
		certificate.Certificate = append(certificate.Certificate, voucher, former.certificate.Raw)
	}
	certificate.Leaf = leaf
	a.server.certificate, a.server.leaf = &certificate, leaf
	return nil
}

// PinError says that a master isn't the one of the token.
type PinError struct{ Wanted Pin }

func (e *PinError) Error() string {
	return "the master that answers is not the one that made this token"
}

// ClockError says that a certificate isn't valid at the time of this machine.
type ClockError struct{ From, Until time.Time }

func (e *ClockError) Error() string {
	return "the master's certificate is valid from " + e.From.UTC().Format(time.DateTime) + " until " + e.Until.UTC().Format(time.DateTime) + " UTC"
}

// Pinned is how to connect to a master of which the pin alone is known. Its
// errors are a [PinError] or a [ClockError] where they should be.
func Pinned(pin Pin, host string, now func() time.Time) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: host,
		InsecureSkipVerify: true, // verifyPinned does it, by the pin
		VerifyConnection: func(state tls.ConnectionState) error {
			return verifyPinned(state.PeerCertificates, pin, host, now())
		},
	}
}

func verifyPinned(sent []*x509.Certificate, pin Pin, host string, now time.Time) error {
	roots, others := x509.NewCertPool(), x509.NewCertPool()
	found := false
	for _, certificate := range sent {
		if PinOf(certificate) == pin {
			roots.AddCert(certificate)
			found = true
		} else {
			others.AddCert(certificate) // what the pinned one vouches for
		}
	}
	if !found || len(sent) == 0 {
		return &PinError{pin}
	}
	leaf := sent[0]
	options := x509.VerifyOptions{Roots: roots, Intermediates: others, DNSName: host, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	_, err := leaf.Verify(options)
	if err == nil {
		return nil
	}
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		options.CurrentTime = leaf.NotBefore.Add(time.Second)
		if _, err := leaf.Verify(options); err == nil {
			return &ClockError{leaf.NotBefore, leaf.NotAfter}
		}
	}
	var name x509.HostnameError
	if errors.As(err, &name) {
		return err
	}
	return &PinError{pin}
}

// CertificateIn reads the first certificate of a text in PEM.
func CertificateIn(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("there is no certificate in PEM form")
	}
	return x509.ParseCertificate(block.Bytes)
}
