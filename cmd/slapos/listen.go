// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
)

// listenSecurity is the TLS configuration of a server, nil without certificate.
// The key may be in the certificate's file. Clients need no certificate; if
// they show one, the authorities in clientCA must have issued it.
func listenSecurity(certificate, key, clientCA string) (*tls.Config, error) {
	if certificate == "" {
		return nil, nil
	}
	if key == "" {
		key = certificate
	}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		var named *fs.PathError
		if !errors.As(err, &named) {
			err = fmt.Errorf("%s, key %s: %w", certificate, key, err)
		}
		return nil, fmt.Errorf("certificate: %w", err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}} // NC-16
	if clientCA != "" {
		config.ClientAuth = tls.VerifyClientCertIfGiven
		if config.ClientCAs, err = clientAuthorities(clientCA); err != nil {
			return nil, err
		}
	}
	return config, nil
}

func clientAuthorities(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("authorities of clients: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("authorities of clients: %s has no certificate", file)
	}
	return pool, nil
}

// readTokens reads a file with a token on each line, which may be followed by a blank,
// a # and its name.
func readTokens(file string) ([]string, error) {
	tokens, _, err := readNamedTokens(file)
	return tokens, err
}

// readNamedTokens returns the names too: the number of the token for one without.
func readNamedTokens(file string) (tokens, names []string, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, fmt.Errorf("tokens: %w", err)
	}
	for i, line := range lines(string(text)) {
		token, name, _ := strings.Cut(line, " # ")
		tokens = append(tokens, strings.TrimSpace(token))
		names = append(names, cmp.Or(strings.TrimSpace(name), strconv.Itoa(i+1)))
	}
	if len(tokens) == 0 {
		return nil, nil, fmt.Errorf("tokens: %s has none", file)
	}
	return tokens, names, nil
}

// onlyLoopback reports whether only this machine can reach the listeners.
func onlyLoopback(listeners []net.Listener) bool {
	for _, listener := range listeners {
		address, ok := listener.Addr().(*net.TCPAddr)
		if ok && !address.IP.IsLoopback() {
			return false
		}
	}
	return true
}
