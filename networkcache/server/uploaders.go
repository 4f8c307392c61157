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

// Uploaders are those who may upload: whoever shows a client certificate that
// the listener has verified, whoever knows a token, and whoever is on this
// machine.
type Uploaders struct {
	// Tokens are sent as "Authorization: Bearer TOKEN", or as the password of
	// HTTP Basic, so that they can stand in a URL.
	Tokens []string
	// NotLoopback is for servers behind another one on the same machine: all
	// requests come from there.
	NotLoopback bool
}

// Allow tells whether a request may upload.
func (u Uploaders) Allow(r *http.Request) bool {
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return true
	}
	if token := requestToken(r); token != "" {
		return u.knows(token)
	}
	return !u.NotLoopback && isLoopback(r)
}

// uploaderOf names who sends a request that was allowed: the sum of a key or of a
// token, or this machine with all that is on it.
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

// knows takes the same time for each wrong token.
func (u Uploaders) knows(token string) bool {
	sum := sha256.Sum256([]byte(token))
	known := 0
	for _, t := range u.Tokens {
		other := sha256.Sum256([]byte(t))
		known |= subtle.ConstantTimeCompare(sum[:], other[:])
	}
	return known == 1
}

// isLoopback says no to requests that another server hands on for others.
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
