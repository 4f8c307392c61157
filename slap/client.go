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
	"sync/atomic"
	"time"
)

// Version is the version of slapos.core that this client imitates; it is sent
// as User-agent: slapos.core/<version> (SLAP-3).
const Version = "1.26.1"

// DefaultTimeout bounds connecting, and each wait for bytes of an answer
// (SLAP-5).
const DefaultTimeout = 60 * time.Second

// ClientConfig configures a [Client].
type ClientConfig struct {
	// MasterURL is the base of all calls. A bare IPv6 host and a missing final
	// slash are corrected (SLAP-1).
	MasterURL string
	// Origin is where MasterURL was set; errors about it say so, unless empty.
	Origin string
	// RESTURL is the root of the HATEOAS interface; if empty, the client asks
	// the Master when it first needs it (SLAP-40).
	RESTURL string
	// CertFile and KeyFile identify the client to https addresses; they are
	// read again for each connection. Without KeyFile, CertFile holds both.
	CertFile, KeyFile string
	// CAFile is the only authority that server certificates are verified
	// against; if empty, the system's store is used (D-16).
	CAFile string
	// Insecure accepts any server certificate.
	Insecure bool
	// Token lets a Master in that asks for one; it is sent to MasterURL's address
	// alone. See ReadToken.
	Token string
	// Timeout is DefaultTimeout if zero.
	Timeout time.Duration
	// Home is the directory whose .netrc may have a login for the Master; if
	// empty, none is used.
	Home string
	// Logger gets retries at debug level; nil: none.
	Logger *slog.Logger
}

// Client speaks to a Master. It is safe for concurrent use and keeps
// connections open between calls; close it with [Client.Close]. It uses proxies
// from the environment (http_proxy, https_proxy, no_proxy).
//
// Nothing is cached (SLAP-9). A call is retried twice within half a second if
// it could not connect, or if the connection broke before an answer and
// repeating is harmless; time-outs are never retried. So an unreachable Master
// is reported quickly.
//
// The original's library writes a request transaction file for code inside a
// partition (SLAP-49). This client runs outside partitions and never writes it.
type Client struct {
	config  ClientConfig
	master  *url.URL
	http    *http.Client
	timeout time.Duration
	log     *slog.Logger

	mu      sync.Mutex
	rest    *Hateoas     // set when first needed
	waiters *http.Client // see patient

	takesPromises atomic.Bool // the last answer about the whole computer said so
}

// NewClient checks the configuration and returns a client, without using the
// network. It fails for a URL that isn't http or https, and for certificate
// files that the Master's URL needs but that can't be used.
func NewClient(config ClientConfig) (*Client, error) {
	master, err := parseMaster(config.MasterURL)
	if err != nil && config.Origin != "" {
		return nil, fmt.Errorf("%s: %w", config.Origin, err)
	}
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
			// Calls have time-outs, so probes aren't needed: they cost four
			// system calls for each connection to a Master that closes them.
			DialContext:         (&net.Dialer{KeepAlive: -1}).DialContext,
			TLSClientConfig:     tlsConfig,
			MaxIdleConnsPerHost: 8,
			// This is shorter than servers' usual time, since a report must not
			// hit a connection that is being closed.
			IdleConnTimeout: 4 * time.Second,
		},
	}
	return c, nil
}

// Close closes idle connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiters != nil {
		c.waiters.CloseIdleConnections()
	}
	return nil
}

// MasterURL returns the normalised base of all calls.
func (c *Client) MasterURL() string { return c.master.String() }

func (config *ClientConfig) tls() (*tls.Config, error) {
	t := &tls.Config{InsecureSkipVerify: config.Insecure} // D-16: only if requested
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

// maxRedirects is the original's limit.
const maxRedirects = 30

func (c *Client) checkRedirect(r *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if c.config.Token != "" && !c.isMaster(r.URL) {
		r.Header.Del("Authorization") // another port of the host gets it otherwise
	}
	if r.Header.Get("Authorization") == "" && !c.bear(r) {
		c.login(r)
	}
	return nil
}

// login adds the login in .netrc for the host, unless the URL names a user.
func (c *Client) login(r *http.Request) {
	if r.URL.User != nil {
		return
	}
	if login, password, ok := netrcLogin(c.config.Home, r.URL.Hostname()); ok {
		r.SetBasicAuth(login, password)
	}
}

// reason returns the phrase that came with a status.
func reason(r *http.Response) string {
	_, phrase, _ := strings.Cut(r.Status, " ")
	return phrase
}

// unwrapURL removes the method and URL that net/http puts before a cause.
func unwrapURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
