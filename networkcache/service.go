// SPDX-License-Identifier: GPL-3.0-or-later

package networkcache

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// A Service says how to reach one of the two services.
type Service struct {
	// Download and Upload are the base URLs to read from and write to; an empty
	// one disables that. User and password in a URL are sent.
	Download, Upload string
	// CAFile has the certificates to verify servers with, in PEM; default: the
	// system's. CertificateFile and KeyFile identify the client to servers that
	// ask for it.
	CAFile, CertificateFile, KeyFile string
}

// Time limits of connecting and of each wait for data (NC-17).
const (
	downloadTimeout = time.Minute
	uploadTimeout   = time.Hour
)

// A service is a Service with its files read.
type service struct {
	Service
	download, upload *http.Client
}

func newService(s Service, connect, wait time.Duration) (*service, error) {
	config := &tls.Config{NextProtos: []string{"http/1.1"}}
	if s.isSecure() {
		if err := s.configure(config); err != nil {
			return nil, err
		}
	}
	return &service{
		Service:  s,
		download: newHTTPClient(config, connect, min(wait, downloadTimeout)),
		upload:   newHTTPClient(config, connect, min(wait, uploadTimeout)),
	}, nil
}

func (s Service) isSecure() bool {
	return strings.HasPrefix(s.Download, "https:") || strings.HasPrefix(s.Upload, "https:")
}

// configure reads the files of NC-22.
func (s Service) configure(config *tls.Config) error {
	if s.CAFile != "" {
		text, err := os.ReadFile(s.CAFile)
		if err != nil {
			return fmt.Errorf("CA certificates: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return fmt.Errorf("CA certificates: %s has none", s.CAFile)
		}
	}
	if s.CertificateFile != "" {
		key := s.KeyFile
		if key == "" {
			key = s.CertificateFile // both in one file, as Python's ssl accepts it
		}
		certificate, err := tls.LoadX509KeyPair(s.CertificateFile, key)
		if err != nil {
			return fmt.Errorf("client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	return nil
}

// newHTTPClient makes a client that opens a connection for each request,
// doesn't follow redirects, and waits that long for the connection and for data.
func newHTTPClient(config *tls.Config, connect, wait time.Duration) *http.Client {
	dialer := &net.Dialer{Timeout: min(connect, wait)}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := dialer.DialContext(ctx, network, address)
				if err != nil {
					return nil, err
				}
				return newImpatientConn(conn, wait), nil
			},
			TLSClientConfig:     config,
			TLSHandshakeTimeout: min(connect, wait),
			DisableKeepAlives:   true,
			DisableCompression:  true,
			ReadBufferSize:      64 << 10,
			WriteBufferSize:     64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// An impatientConn gives up if nothing can be sent for too long, or if the next
// pace bytes take too long: a server that sends drops doesn't hold us up.
type impatientConn struct {
	net.Conn
	wait time.Duration

	mu     sync.Mutex
	waited time.Duration // for the current pace bytes
	came   int           // how many of them have come
	wrote  time.Time
}

const pace = 16 << 10

func newImpatientConn(conn net.Conn, wait time.Duration) *impatientConn {
	return &impatientConn{Conn: conn, wait: wait}
}

func (c *impatientConn) Read(p []byte) (int, error) {
	begun := time.Now()
	c.mu.Lock()
	deadline := begun.Add(c.wait - c.waited)
	c.mu.Unlock()
	if err := c.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if begun.Before(c.wrote) { // the wait is for the answer to that
		begun = c.wrote
	}
	c.waited += time.Since(begun)
	if c.came += n; c.came >= pace {
		c.waited, c.came = 0, 0
	}
	return n, err
}

func (c *impatientConn) Write(p []byte) (int, error) {
	now := time.Now()
	c.mu.Lock()
	c.waited, c.came, c.wrote = 0, 0, now
	c.mu.Unlock()
	if err := c.SetDeadline(now.Add(c.wait)); err != nil { // a running read goes on waiting
		return 0, err
	}
	return c.Conn.Write(p)
}

// address returns the URL of name below a base URL, or the base itself.
func address(base, name string) string {
	base = strings.TrimRight(base, "/")
	if name == "" {
		return base
	}
	return base + "/" + url.PathEscape(name)
}

// redacted is a URL without password.
func redacted(address string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		return "" // it can't have been asked
	}
	return parsed.Redacted()
}

// get requests name; it returns only successful answers.
func (s *service) get(ctx context.Context, name string, header http.Header) (*http.Response, error) {
	if s.Download == "" {
		return nil, errors.New("no URL to download from")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address(s.Download, name), nil)
	if err != nil {
		return nil, err
	}
	maps.Copy(request.Header, header)
	request.Header.Set("Accept-Encoding", "identity")
	response, err := s.download.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode < 200 || response.StatusCode > 299 { // NC-15
		return nil, newStatusError(response)
	}
	return response, nil
}

// A StatusError is an answer other than success.
type StatusError struct {
	URL    string // without password
	Status int
}

// ErrNotFound is what errors.Is finds in the answer 404.
var ErrNotFound = errors.New("not found")

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s: HTTP %d %s", e.URL, e.Status, http.StatusText(e.Status))
}

// Is lets errors.Is find ErrNotFound.
func (e *StatusError) Is(target error) bool {
	return target == ErrNotFound && e.Status == http.StatusNotFound
}

func newStatusError(response *http.Response) error {
	response.Body.Close()
	return &StatusError{response.Request.URL.Redacted(), response.StatusCode}
}
