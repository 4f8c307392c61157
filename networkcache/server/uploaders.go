// SPDX-License-Identifier: GPL-3.0-or-later

package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net"
	"net/http"
	"slices"
	"strings"
)

// Uploaders are the clients that may upload: those that show a client
// certificate which the listener has verified, those that know a token, and
// those on this machine.
type Uploaders struct {
	// Tokens are sent as "Authorization: Bearer TOKEN", or as the password of
	// HTTP Basic, so that they can stand in a URL.
	Tokens []string
	// NotLoopback is for servers behind another one on the same machine, from
	// which all requests come.
	NotLoopback bool
}

// Allow reports whether a request may upload.
func (u Uploaders) Allow(r *http.Request) bool {
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return true
	}
	if token := requestToken(r); token != "" {
		return u.knows(token)
	}
	return !u.NotLoopback && isLoopback(r)
}

// uploaderOf names the sender of an allowed request: the sum of a key or of a
// token, or this machine as a whole.
func uploaderOf(r *http.Request) string {
	kind, secret := "loopback", []byte(nil)
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		kind, secret = "certificate", r.TLS.VerifiedChains[0][0].RawSubjectPublicKeyInfo
	} else if token := requestToken(r); token != "" {
		kind, secret = "token", []byte(token)
	}
	sum := sha256.Sum256(slices.Concat([]byte(kind+" of an uploader\x00"), secret))
	return kind + ":" + hex.EncodeToString(sum[:16])
}

func requestToken(r *http.Request) string {
	if token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); found {
		return strings.TrimSpace(token)
	}
	_, password, _ := r.BasicAuth()
	return password
}

// Token is the place of the token that a request shows in Tokens, -1 if it shows none
// of them.
func (u Uploaders) Token(r *http.Request) int {
	token := requestToken(r)
	for i := range u.Tokens {
		if token != "" && (Uploaders{Tokens: u.Tokens[i : i+1]}).knows(token) {
			return i
		}
	}
	return -1
}

// knows takes equally long for every wrong token.
func (u Uploaders) knows(token string) bool {
	sum := sha256.Sum256([]byte(token))
	known := 0
	for _, t := range u.Tokens {
		other := sha256.Sum256([]byte(t))
		known |= subtle.ConstantTimeCompare(sum[:], other[:])
	}
	return known == 1
}

// isLoopback returns false for requests that another server forwards.
func isLoopback(r *http.Request) bool {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if r.Header.Get(name) != "" {
			return false
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	address := net.ParseIP(host)
	return address != nil && address.IsLoopback()
}
