// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"slapos/slap/clock"
)

// The files that node register and the configure commands write.
var (
	//go:embed example/slapos.cfg
	nodeExample string
	//go:embed example/slapos-proxy.cfg
	proxyExample string
	//go:embed example/slapos-client.cfg
	clientExample string
)

// nodeValues fill in nodeExample. Without KeyFile, the master needs no
// certificate.
type nodeValues struct {
	Command                                  string // that writes the file
	ComputerID, MasterURL                    string
	RESTURL                                  string // of a master that does not tell it
	TokenFile                                string // of a master that asks for a token
	CAFile                                   string // of a master that has an authority of its own
	KeyFile, CertFile, CertificateRepository string
	SoftwareRoot, InstanceRoot               string
	InterfaceName, IPv4LocalNetwork          string
	IPv6LocalNetwork                         string // of an interface without a global address
	PartitionAmount                          int
	CreateTap                                string // True or False
	ComputerXML, LogFile                     string
	CacheURL, DirURL                         string
}

// The public cache.
const (
	publicCacheURL = "http://shacache.nxdcdn.com"
	publicDirURL   = "http://shadir.nxdcdn.com"
)

// askToken returns the given token, or asks for one on standard output, until
// ctx ends.
func (e *environment) askToken(ctx context.Context, token, prompt string) (string, error) {
	input := bufio.NewReader(e.stdin)
	for token == "" {
		fmt.Fprint(e.stdout, prompt)
		line, err := clock.Await(ctx, func() (string, error) { return input.ReadString('\n') })
		if err != nil {
			fmt.Fprintln(e.stdout) // the prompt's line stays open
		}
		if err != nil && err != io.EOF {
			return "", fmt.Errorf("read the token: %w", err) // a truncated token is useless
		}
		if token = strings.TrimSpace(line); token == "" && err != nil {
			return "", errors.New("no token given: get one from the web site of the master, or use --token")
		}
	}
	return token, nil
}

// A certificateOffice is the web site of a master, which makes certificates.
type certificateOffice struct {
	url      string
	token    string
	insecure bool // takes any server certificate
}

const (
	officeTimeout = 2 * time.Minute
	officeAnswer  = 1 << 20 // bytes
)

// errActive means that the office refuses a name because it is taken.
var errActive = sentencef("Certificate still active.")

// request asks the office for a certificate and its key.
func (o certificateOffice) request(ctx context.Context, method string, form url.Values) (certificate, key string, err error) {
	ctx, cancel := context.WithTimeout(ctx, officeTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(o.url, "/")+"/"+method, strings.NewReader(form.Encode()))
	if err != nil {
		return "", "", err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("X-Access-Token", o.token)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: o.insecure} //nolint:gosec // D-16: only when asked for
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, CheckRedirect: o.checkRedirect}).Do(request)
	if err != nil {
		if ctx.Err() == nil {
			err = fmt.Errorf("%w: check the address of the master's web site, --master-url-web names another", err)
		}
		return "", "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, officeAnswer))
	if err != nil {
		return "", "", err
	}
	switch {
	case response.StatusCode >= 400 && strings.Contains(string(body), errActive.Error()):
		return "", "", errActive
	case response.StatusCode == http.StatusForbidden:
		return "", "", criticalf("Access denied to the SlapOS Master. Please check the authentication token or require a new one.")
	case response.StatusCode >= 400:
		return "", "", fmt.Errorf("%s/%s: %s", o.url, method, response.Status)
	}
	var answer struct{ Certificate, Key string }
	if err := json.Unmarshal(body, &answer); err != nil || answer.Certificate == "" || answer.Key == "" {
		return "", "", fmt.Errorf("%s/%s did not return a certificate and a key", o.url, method)
	}
	return answer.Certificate, answer.Key, nil
}

// checkRedirect sends the token to the same host by the same scheme only: never in
// plain text after https.
func (o certificateOffice) checkRedirect(r *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("more than 10 redirects")
	}
	if from := via[0].URL; r.URL.Host != from.Host || r.URL.Scheme != from.Scheme {
		r.Header.Del("X-Access-Token")
	}
	return nil
}
