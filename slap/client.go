// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// Version is the version of slapos.core that this client stands in for; it is
// sent as User-agent: slapos.core/<version> (SLAP-3).
const Version = "1.26.1"

// DefaultTimeout bounds connecting, and each wait for bytes of an answer
// (SLAP-5).
const DefaultTimeout = 60 * time.Second

// ClientConfig tells a [Client] where its Master is.
type ClientConfig struct {
	// MasterURL is the base of all calls. A bare IPv6 host and a missing
	// final slash are put right (SLAP-1).
	MasterURL string
	// RESTURL is the root of the HATEOAS interface; when empty, the Master is
	// asked for it the first time it is needed (SLAP-40).
	RESTURL string
	// CertFile and KeyFile identify the client to https addresses; they are
	// read anew for each connection. Without KeyFile, CertFile holds both.
	CertFile, KeyFile string
	// CAFile is the only authority that server certificates are verified
	// against; the system's store when empty (D-16).
	CAFile string
	// Insecure takes any server certificate.
	Insecure bool
	// Timeout is DefaultTimeout when zero.
	Timeout time.Duration
	// Home is the directory whose .netrc may hold a login for the Master;
	// none is used when empty.
	Home string
	// Logger gets retries at debug level; none when nil.
	Logger *slog.Logger
}

// Client speaks to a Master. It is safe for concurrent use and keeps
// connections open between calls; close it with [Client.Close]. Proxies are
// taken from the environment (http_proxy, https_proxy, no_proxy).
//
// Nothing is cached (SLAP-9). A call that could not connect, or, when
// repeating it is harmless, whose connection broke before an answer, is tried
// twice more within half a second; time-outs are never repeated. So an
// unreachable Master is told at once.
//
// The request transaction file that the original's library writes for code
// running inside a partition (SLAP-49) belongs to that library: this client
// runs outside of partitions and never writes it.
type Client struct {
	config  ClientConfig
	master  *url.URL
	http    *http.Client
	timeout time.Duration
	log     *slog.Logger

	mu   sync.Mutex
	rest *Hateoas // known once it was needed
}

// NewClient checks the configuration and makes a client. It does not touch the
// network. It fails for a URL that isn't http or https, and for certificate
// files that cannot be used though the Master's URL needs them.
func NewClient(config ClientConfig) (*Client, error) {
	master, err := parseMaster(config.MasterURL)
	if err != nil {
		return nil, err
	}
	tlsConfig, err := config.tls()
	if err != nil {
		return nil, err
	}
	if master.Scheme == "https" && config.CertFile != "" {
		if _, err := config.certificate(); err != nil {
			return nil, err
		}
	}
	c := &Client{config: config, master: master, timeout: config.Timeout, log: config.Logger}
	if c.timeout <= 0 {
		c.timeout = DefaultTimeout
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.http = &http.Client{
		CheckRedirect: c.checkRedirect,
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment,
			// Calls have time-outs of their own: no probes, which cost four
			// system calls for each connection to a Master that closes them.
			DialContext:         (&net.Dialer{KeepAlive: -1}).DialContext,
			TLSClientConfig:     tlsConfig,
			MaxIdleConnsPerHost: 8,
			// Shorter than servers usually keep them: a report must not meet
			// a connection that is just being closed.
			IdleConnTimeout: 4 * time.Second,
		},
	}
	return c, nil
}

// Close lets go of idle connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// MasterURL is the normalised base of all calls.
func (c *Client) MasterURL() string { return c.master.String() }

func (config *ClientConfig) tls() (*tls.Config, error) {
	t := &tls.Config{InsecureSkipVerify: config.Insecure} // D-16: only when asked for
	if config.CAFile != "" {
		pem, err := os.ReadFile(config.CAFile)
		if err != nil {
			return nil, fmt.Errorf("master CA file: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("master CA file %s holds no certificate in PEM form", config.CAFile)
		}
	}
	if config.CertFile != "" {
		t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return config.certificate()
		}
	}
	return t, nil
}

func (config *ClientConfig) certificate() (*tls.Certificate, error) {
	key := config.KeyFile
	if key == "" {
		key = config.CertFile
	}
	certificate, err := tls.LoadX509KeyPair(config.CertFile, key)
	if err != nil {
		return nil, fmt.Errorf("client certificate %s with key %s: %w", config.CertFile, key, err)
	}
	return &certificate, nil
}

// maxRedirects is the original's.
const maxRedirects = 30

func (c *Client) checkRedirect(r *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if r.Header.Get("Authorization") == "" {
		c.login(r)
	}
	return nil
}

// login adds what .netrc has for the host, unless the URL names a user.
func (c *Client) login(r *http.Request) {
	if r.URL.User != nil {
		return
	}
	if login, password, ok := netrcLogin(c.config.Home, r.URL.Hostname()); ok {
		r.SetBasicAuth(login, password)
	}
}

// reason is the phrase that came with a status.
func reason(r *http.Response) string {
	_, phrase, _ := strings.Cut(r.Status, " ")
	return phrase
}

// unwrapURL drops the method and URL that net/http puts before a cause.
func unwrapURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
