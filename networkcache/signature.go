// SPDX-License-Identifier: GPL-3.0-or-later

package networkcache

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/youmark/pkcs8"
)

// A Signer signs entries with a private key.
type Signer struct{ key *rsa.PrivateKey }

// ReadSigner reads a key file: RSA in PEM, as PKCS#8 or PKCS#1. If it is
// encrypted, the first line of another file is the passphrase.
func ReadSigner(path, passphraseFile string) (*Signer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("signature key: %w", err)
	}
	var passphrase []byte
	if passphraseFile != "" {
		if passphrase, err = ReadPassphrase(passphraseFile); err != nil {
			return nil, err
		}
	}
	signer, err := ParseSigner(text, passphrase)
	if err != nil {
		return nil, fmt.Errorf("signature key %s: %w", path, err)
	}
	return signer, nil
}

// ReadPassphrase reads the first line of a file, which must not be empty.
func ReadPassphrase(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("passphrase of the signature key: %w", err)
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	if line = bytes.TrimSuffix(line, []byte("\r")); len(line) == 0 {
		return nil, fmt.Errorf("passphrase of the signature key: the first line of %s is empty", path)
	}
	return line, nil
}

const encryptedKey = "ENCRYPTED PRIVATE KEY"

// ParseSigner reads the text of a key file. A passphrase is used if the key is
// encrypted.
func ParseSigner(text, passphrase []byte) (*Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no key in PEM")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return &Signer{key}, nil
	}
	parsed, err := parsePKCS8(block, passphrase)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("not an RSA key")
	}
	return &Signer{key}, nil
}

func parsePKCS8(block *pem.Block, passphrase []byte) (any, error) {
	if block.Type != encryptedKey {
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("neither PKCS#8 nor PKCS#1: %w", err)
		}
		return parsed, nil
	}
	if len(passphrase) == 0 {
		return nil, errors.New("is encrypted: name the file with its passphrase (signature-passphrase-file)")
	}
	parsed, _, err := pkcs8.ParsePrivateKey(block.Bytes, passphrase)
	if err != nil {
		return nil, fmt.Errorf("another passphrase, or a kind of encryption that isn't known: %w", err)
	}
	return parsed, nil
}

// EncryptKey encrypts a key of [GenerateKey] with a passphrase: PKCS#8, AES-256
// and PBKDF2 with SHA-256, which openssl reads.
func EncryptKey(key, passphrase []byte) ([]byte, error) {
	signer, err := ParseSigner(key, nil)
	if err != nil {
		return nil, err
	}
	secret, err := pkcs8.MarshalPrivateKey(signer.key, passphrase, &pkcs8.Opts{
		Cipher:  pkcs8.AES256CBC,
		KDFOpts: pkcs8.PBKDF2Opts{SaltSize: 16, IterationCount: 600_000, HMACHash: crypto.SHA256},
	})
	if err != nil {
		return nil, fmt.Errorf("encrypt the key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: encryptedKey, Bytes: secret}), nil
}

// Sign returns the signature of a text: RSA PKCS#1 v1.5 over its SHA-1, in
// base64 (NC-30).
func (s *Signer) Sign(text string) (string, error) {
	sum := sha1.Sum([]byte(text))
	signature, err := rsa.SignPKCS1v15(nil, s.key, crypto.SHA1, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return base64.StdEncoding.EncodeToString(signature), nil
}

// Certificates are trusted certificates.
type Certificates []*x509.Certificate

const certificateBegin = "-----BEGIN CERTIFICATE-----"

// ParseCertificates reads PEM blocks in a text (NC-3). It skips and logs a
// block that is not a certificate. Only the public key of a certificate
// matters: dates, names and issuers are ignored.
func ParseCertificates(text string, logger *slog.Logger) Certificates {
	var certificates Certificates
	for piece := range strings.SplitSeq(text, certificateBegin) {
		piece = strings.TrimSpace(piece)
		if piece == "" {
			continue
		}
		certificate, err := parseCertificate(certificateBegin + "\n" + piece + "\n")
		if err != nil {
			logger.Info(fmt.Sprintf("Ignored wrong certificate, reason: %v, offending certificate:\n%s", err, piece))
			continue
		}
		certificates = append(certificates, certificate)
	}
	return certificates
}

func parseCertificate(text string) (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("no certificate in PEM")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	if _, ok := certificate.PublicKey.(*rsa.PublicKey); !ok {
		return nil, errors.New("not of an RSA key")
	}
	return certificate, nil
}

// Verify reports whether one of the certificates verifies the entry's signature
// (NC-31).
func (c Certificates) Verify(e Entry) bool { return c.SignerOf(e) != nil }

// SignerOf returns the certificate that verifies the entry's signature, nil if
// there is none.
func (c Certificates) SignerOf(e Entry) *x509.Certificate {
	signature, err := base64.StdEncoding.DecodeString(e.Signature)
	if err != nil || len(signature) == 0 {
		return nil
	}
	sum := sha1.Sum([]byte(e.Content))
	for _, certificate := range c {
		key, ok := certificate.PublicKey.(*rsa.PublicKey)
		if ok && rsa.VerifyPKCS1v15(key, crypto.SHA1, sum[:], signature) == nil {
			return certificate
		}
	}
	return nil
}

// has reports whether one of the certificates is the signer's.
func (c Certificates) has(s *Signer) bool {
	for _, certificate := range c {
		if s.key.PublicKey.Equal(certificate.PublicKey) {
			return true
		}
	}
	return false
}
