// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// How long /http_proxy waits for a connection, for headers, and for each part
// of a body (PROXY-142).
const webTimeout = 5 * time.Second

// checkedBody is how much of a body must arrive before the answer begins: until
// then, a failure can still be reported as a status.
const checkedBody = 1 << 20

// The headers that pass, in either direction. Cookies don't.
var (
	requestHeaders = []string{"Content-Type", "Accept", "Accept-Language", "Range", "If-Modified-Since",
		"If-None-Match", "User-Agent", "Authorization", "Origin"}
	responseHeaders = []string{"Content-Type", "Date", "Last-Modified", "Vary", "Cache-Control", "Etag", "Accept-Ranges",
		"Content-Range", "Www-Authenticate", "Access-Control-Allow-Origin", "Access-Control-Allow-Methods",
		"Access-Control-Allow-Headers", "Access-Control-Allow-Credentials", "Access-Control-Expose-Headers"}
)

var errRedirects = errors.New("too many redirects")

func newWebClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:       http.ProxyFromEnvironment,
			DialContext: (&net.Dialer{Timeout: webTimeout}).DialContext,
			// Services behind the proxy have self-signed certificates.
			TLSClientConfig:       &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // PROXY-142
			TLSHandshakeTimeout:   webTimeout,
			ResponseHeaderTimeout: webTimeout,
			IdleConnTimeout:       30 * time.Second,
		},
		CheckRedirect: func(_ *http.Request, via []*http.Request) error {
			if len(via) >= 30 {
				return errRedirects
			}
			return nil
		},
	}
}

// httpProxy fetches /http_proxy/<scheme>/<authority>/<path> for a client that
// can't reach the authority.
func (p *Proxy) httpProxy(w http.ResponseWriter, r *http.Request) error {
	scheme, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/http_proxy/"), "/")
	authority, path, below := strings.Cut(rest, "/")
	if scheme == "" || authority == "" {
		return errNoPage
	}
	scheme = strings.ToLower(scheme)
	if below {
		path = "/" + path
	}
	target := scheme + "://" + authority + tidy(path)
	if r.URL.RawQuery != "" {
		target += "?" + r.URL.RawQuery
	}
	if scheme != "http" && scheme != "https" {
		return refuse(http.StatusBadRequest, `"url" must be http`)
	}
	if strings.Count(target, "/http_proxy/") > maximumHops {
		return refuse(http.StatusLoopDetected, "This request names more than %d proxies.", maximumHops)
	}
	end, err := p.beginFetch(r)
	if err != nil {
		return err
	}
	defer end()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	ask, err := http.NewRequestWithContext(ctx, r.Method, target, http.NoBody)
	if err != nil {
		return refuse(http.StatusBadRequest, "%s", target)
	}
	if r.ContentLength != 0 {
		ask.Body, ask.ContentLength = r.Body, r.ContentLength
	}
	ask.Header = http.Header{"User-Agent": {""}, "Accept": {"*/*"}}
	copyHeaders(ask.Header, r.Header, requestHeaders)
	ask.Header["Via"] = []string{strings.Join(append(hopsOf(r), "1.1 "+p.via()), ",")}
	if p.options.Allow != nil {
		ask.Header.Del("Authorization") // it may contain one of our tokens
	}
	answer, err := p.web.Do(ask)
	if err != nil {
		return webError(err, target)
	}
	defer answer.Body.Close()
	return passOn(w, r, answer, cancel, target)
}

// tidy escapes what a path of a URL can't hold, and nothing twice.
func tidy(path string) string {
	return escape(path, func(i int) bool {
		if path[i] == '%' {
			_, err := url.PathUnescape(path[i:min(i+3, len(path))])
			return err == nil
		}
		return strings.IndexByte("-._~!$&'()*+,/:;=@[]", path[i]) >= 0
	})
}

func copyHeaders(to, from http.Header, names []string) {
	for _, name := range names {
		if values := from[name]; len(values) > 0 {
			to[name] = []string{strings.Join(values, ", ")}
		}
	}
}

// webError gives a failure the status that the original would (PROXY-142).
func webError(err error, target string) error {
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var operation *net.OpError
	var timeout net.Error
	var unread *bodyError
	switch {
	case errors.As(err, &unread):
		return err
	case errors.Is(err, errRedirects):
		return refuse(520, "%s", target)
	case errors.As(err, &record), errors.As(err, &alert), strings.Contains(err.Error(), "HTTP response to HTTPS client"),
		strings.Contains(err.Error(), "TLS handshake"), strings.Contains(err.Error(), "tls: "):
		return refuse(526, "%s", target)
	case errors.As(err, &operation) && operation.Op == "dial":
		return refuse(statusUnreachable, "%s", target)
	case errors.As(err, &timeout) && timeout.Timeout():
		return refuse(524, "%s", target)
	}
	return refuse(statusUnreachable, "%s", target)
}

// passOn passes the answer on. A browser must not display it: scripts in it
// would run as ours.
func passOn(w http.ResponseWriter, r *http.Request, answer *http.Response, cancel func(), target string) error {
	body := &patientReader{Reader: answer.Body, timer: time.AfterFunc(webTimeout, cancel), limit: webTimeout}
	defer body.timer.Stop()
	var begin bytes.Buffer
	if _, err := io.CopyN(&begin, body, checkedBody); err != nil && err != io.EOF {
		return refuse(524, "%s", target)
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	copyHeaders(h, answer.Header, responseHeaders)
	if location := answer.Header.Get("Location"); location != "" {
		if to, err := answer.Request.URL.Parse(location); err == nil {
			h.Set("Location", throughUs(originOf(r), to))
		}
	}
	h.Set("Content-Disposition", "attachment")
	if begin.Len() < checkedBody && r.Method != http.MethodHead {
		h.Set("Content-Length", fmt.Sprint(begin.Len()))
	}
	status := answer.StatusCode
	if status == http.StatusInternalServerError {
		status = 520
	}
	w.WriteHeader(status)
	if _, err := w.Write(begin.Bytes()); err != nil || begin.Len() < checkedBody {
		return nil
	}
	if _, err := io.Copy(w, body); err != nil {
		panic(http.ErrAbortHandler) // the client must see that the end is missing
	}
	return nil
}

// throughUs is the address of a page behind our HTTP proxy. Escapes of the
// target are escaped once more: what comes back is taken as it was written.
func throughUs(o origin, target *url.URL) string {
	path := target.RawPath // as it was written, unless that is as Go would
	if path == "" {
		path = target.EscapedPath()
	}
	address := o.url("/http_proxy/" + target.Scheme + "/" + quote(target.Host) + quote(path))
	if target.RawQuery != "" {
		address += "?" + target.RawQuery
	}
	return address
}

// patientReader waits limit for each part. Its timer, which breaks the reading
// off, runs only while it waits: a client may take the parts as slowly as it likes.
type patientReader struct {
	io.Reader
	timer *time.Timer
	limit time.Duration
}

func (r *patientReader) Read(b []byte) (int, error) {
	r.timer.Reset(r.limit)
	defer r.timer.Stop()
	return r.Reader.Read(b)
}
