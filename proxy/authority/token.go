// SPDX-License-Identifier: GPL-3.0-or-later

package authority

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

// Pin is the SHA-256 of the public key of an authority. Whoever has it knows the
// master by its certificate, without another authority.
type Pin [sha256.Size]byte

// PinOf is the pin of an authority's certificate.
func PinOf(certificate *x509.Certificate) Pin {
	return sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
}

func (p Pin) String() string { return base64.RawURLEncoding.EncodeToString(p[:]) }

// Token is what somebody is given to join, or to use the master with:
//
//	S1.PIN.ID.SECRET
//
// The pin and the secret are 32 bytes in URL-safe base64, the id is 12
// hexadecimal digits. The master keeps the id and the digest of the secret.
type Token struct {
	Pin    Pin
	ID     string
	Secret string
}

// tokenVersion begins each token: no other secret of a master does.
const tokenVersion = "S1."

const (
	idBytes     = 6
	secretBytes = 32
)

// errToken repeats nothing of the text, which may be a secret.
var errToken = errors.New("this is no token: it has the form S1.PIN.ID.SECRET, as slapos proxy token prints it")

// NewToken draws a token.
func NewToken(pin Pin) Token {
	random := make([]byte, idBytes+secretBytes)
	_, _ = rand.Read(random) // never fails
	return Token{Pin: pin, ID: hex.EncodeToString(random[:idBytes]), Secret: base64.RawURLEncoding.EncodeToString(random[idBytes:])}
}

func (t Token) String() string { return tokenVersion + t.Pin.String() + "." + t.ID + "." + t.Secret }

// Digest is what the master keeps of the secret.
func (t Token) Digest() string {
	sum := sha256.Sum256([]byte("secret of a token\x00" + t.Secret))
	return hex.EncodeToString(sum[:])
}

// SameDigest compares digests in the same time, whatever they are.
func SameDigest(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// IsToken reports whether a secret looks like a token of an authority.
func IsToken(text string) bool { return strings.HasPrefix(text, tokenVersion) }

// ParseToken reads a token; there is one way to write each.
func ParseToken(text string) (Token, error) {
	rest, found := strings.CutPrefix(text, tokenVersion)
	parts := strings.Split(rest, ".")
	if !found || len(parts) != 3 {
		return Token{}, errToken
	}
	t := Token{ID: parts[1], Secret: parts[2]}
	pin, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil || len(pin) != len(t.Pin) {
		return Token{}, errToken
	}
	copy(t.Pin[:], pin)
	id, err := hex.DecodeString(t.ID)
	if err != nil || len(id) != idBytes {
		return Token{}, errToken
	}
	secret, err := base64.RawURLEncoding.DecodeString(t.Secret)
	if err != nil || len(secret) != secretBytes || t.String() != text ||
		base64.RawURLEncoding.EncodeToString(secret) != t.Secret || hex.EncodeToString(id) != t.ID {
		return Token{}, errToken
	}
	return t, nil
}
