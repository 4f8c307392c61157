// SPDX-License-Identifier: GPL-3.0-or-later

package check

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// certificatePatience is how long before its end a certificate is told of. What
// the agent renews has a third of 90 days then.
const certificatePatience = 14 * 24 * time.Hour

// A pair is a certificate and its key, by the keys that name them.
type pair struct{ section, certificate, key string }

var pairs = []pair{
	{"slapos", "cert_file", "key_file"},
	{"slapconsole", "cert_file", "key_file"},
	{"networkcache", "shacache-cert-file", "shacache-key-file"},
	{"networkcache", "shadir-cert-file", "shadir-key-file"},
	{"slapproxy", "listen_cert_file", "listen_key_file"},
}

// authorities are files of certificates that others are verified by.
var authorities = []struct{ section, key string }{
	{"slapos", "master_ca_file"},
	{"networkcache", "shacache-ca-file"},
	{"networkcache", "shadir-ca-file"},
	{"slapproxy", "listen_client_ca_file"},
}

// certificates finds those that can't be used, or end soon.
func certificates(_ context.Context, s *Subject) (found []Finding) {
	seen := map[string]bool{}
	for _, p := range pairs {
		section, err := s.Configuration.Section(p.section)
		if err != nil {
			continue
		}
		certificate, key := section[p.certificate], section[p.key]
		switch {
		case certificate == "" && key == "" || seen[certificate+"\x00"+key]:
			continue
		case certificate == "" || key == "" && p.section != "slapproxy":
			missing, there := p.certificate, p.key
			if key == "" {
				missing, there = p.key, p.certificate
			}
			found = append(found, fault(fmt.Sprintf("section [%s] has %s and no %s", p.section, there, missing), "name both, or none"))
			continue
		}
		seen[certificate+"\x00"+key] = true
		certificate, key = s.Expand(certificate), s.Expand(cmp.Or(key, certificate))
		content, err := os.ReadFile(certificate)
		if err != nil {
			continue // files says so
		}
		leaf := firstOf(content)
		if leaf == nil {
			found = append(found, fault(p.certificate+" "+certificate+" has no certificate in PEM form", "get another one"))
			continue
		}
		found = append(found, s.lasting(p.certificate, certificate, leaf, s.renewal(certificate))...)
		if secret, err := os.ReadFile(key); err == nil {
			if _, err := tls.X509KeyPair(content, secret); err != nil {
				found = append(found, fault(fmt.Sprintf("%s %s and %s %s don't belong together: %s", p.certificate, certificate, p.key, key, strings.TrimPrefix(err.Error(), "tls: ")), "name the key of this certificate"))
			}
		}
	}
	for _, a := range authorities {
		section, err := s.Configuration.Section(a.section)
		path := s.Expand(section[a.key])
		content, readErr := os.ReadFile(path)
		if err != nil || readErr != nil {
			continue
		}
		authority := firstOf(content)
		if authority == nil {
			found = append(found, fault(a.key+" "+path+" has no certificate in PEM form", "get the authority's certificate from its owner"))
			continue
		}
		found = append(found, s.lasting(a.key, path, authority, "get the authority's new certificate from its owner")...)
	}
	return found
}

// renewal is what makes the next certificate: for one that node join wrote, the
// command that the agent runs daily.
func (s *Subject) renewal(certificate string) string {
	if filepath.Base(certificate) == "node.crt" {
		return "slapos node renew --now; if it has ended, slapos node join with a token made with --name"
	}
	return "get another one where you got this one"
}

// lasting finds a certificate that has ended, ends soon, or begins later.
func (s *Subject) lasting(what, path string, certificate *x509.Certificate, remedy string) []Finding {
	now := s.Now()
	when := func(t time.Time) string { return t.UTC().Format(time.DateTime) + " UTC" }
	switch {
	case now.After(certificate.NotAfter):
		return []Finding{fault(fmt.Sprintf("%s %s ended on %s", what, path, when(certificate.NotAfter)), remedy)}
	case now.Before(certificate.NotBefore):
		return []Finding{fault(fmt.Sprintf("%s %s begins on %s", what, path, when(certificate.NotBefore)), "set the clock right, as timedatectl set-ntp true does")}
	case certificate.NotAfter.Sub(now) < certificatePatience:
		return []Finding{warning(fmt.Sprintf("%s %s ends on %s", what, path, when(certificate.NotAfter)), remedy)}
	}
	return nil
}

// firstOf returns the first certificate of a text in PEM, nil if there is none.
func firstOf(content []byte) *x509.Certificate {
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			certificate, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil
			}
			return certificate
		}
	}
	return nil
}
