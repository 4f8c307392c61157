// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"slapos/slap/clock"
)

// Limits on how much of an answer is read, in bytes. Together with maxValues
// they keep what one answer takes below 1 GiB; the largest known, of a computer
// with 20,000 shared instances, has 40 MiB.
const (
	maxAnswer       = 128 << 20
	maxConfirmation = 1 << 20 // of calls that many partitions make at once
	maxErrorBody    = 64 << 10
)

// retryPauses are the waits before the second and the third try.
var retryPauses = []time.Duration{100 * time.Millisecond, 300 * time.Millisecond}

// call is one call of the protocol.
type call struct {
	method string
	path   string // resolved against the Master's URL
	query  Form
	body   Form
	// json is the body of a call of JSON-RPC, instead of a form.
	json []byte
	// partition is the one in whose name a POST is sent (SLAP-6).
	partition PartitionID
	noCache   bool
	// once marks a call that must not be sent twice, whatever happened to the
	// first try.
	once bool
	// most is the largest answer in bytes, maxAnswer if zero.
	most int
	// header gets that of the answer, whatever its status, unless nil.
	header *http.Header
	// look is nil but for a conditional GET.
	look *look
}

// do makes a call and returns the body of its answer.
func (c *Client) do(ctx context.Context, call call) ([]byte, error) {
	for try := 0; ; try++ {
		answer, connected, err := c.try(ctx, call)
		if err == nil || try >= len(retryPauses) || !isBroken(err) || connected && call.once || ctx.Err() != nil {
			return answer, err
		}
		c.log.Debug("call is retried", slog.String("path", call.path), slog.Any("error", err))
		if clock.Pause(ctx, retryPauses[try]) != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// isBroken reports whether a connection was refused, or ended before the answer
// began. Only such failures are retried.
func isBroken(err error) bool {
	var failed *ConnectionError
	if !errors.As(err, &failed) {
		return false
	}
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, io.EOF)
}

// try makes one attempt. connected says whether the Master may have seen it.
func (c *Client) try(caller context.Context, call call) (answer []byte, connected bool, err error) {
	ctx, cancel := context.WithCancelCause(caller)
	defer cancel(nil)
	// One timer serves all phases: it restarts when the connection is made and
	// when bytes arrive, like the original's time-out (SLAP-5).
	patience := c.timeout
	if call.look != nil {
		patience += call.look.wait
	}
	timer := time.AfterFunc(patience, func() { cancel(fmt.Errorf("no answer within %s", patience)) })
	defer timer.Stop()
	extend := func() { timer.Reset(patience) }
	var gotConnection atomic.Bool
	trace := &httptrace.ClientTrace{
		GotConn:      func(httptrace.GotConnInfo) { gotConnection.Store(true); extend() },
		WroteRequest: func(httptrace.WroteRequestInfo) { extend() },
	}
	request, err := c.request(httptrace.WithClientTrace(ctx, trace), call)
	if err != nil {
		return nil, false, err
	}
	client := c.http
	if call.look != nil {
		client = c.patient()
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, gotConnection.Load(), c.connectionError(caller, ctx, request.URL, err)
	}
	defer response.Body.Close()
	extend()
	body := &extendingReader{response.Body, extend}
	if call.header != nil {
		*call.header = response.Header
	}
	if call.look != nil {
		call.look.answered(response)
	}
	if call.path == fullComputerPath && response.StatusCode == http.StatusOK {
		c.takesPromises.Store(accepts(response.Header))
	}
	if response.StatusCode >= 400 {
		return nil, true, httpError(call, request, response, body)
	}
	most := cmp.Or(call.most, maxAnswer)
	answer, err = readAll(body, response.ContentLength, most)
	if errors.Is(err, errTooLarge) {
		return nil, true, &kindError{ErrServer, fmt.Sprintf("%s: the answer to %s has more than the %d MiB that are read",
			server(request.URL), strings.TrimPrefix(call.path, "/"), most>>20)}
	}
	if err != nil {
		// The answer had begun, so don't repeat the call.
		return nil, true, c.connectionError(caller, ctx, request.URL, fmt.Errorf("answer broke off: %v", err))
	}
	return answer, true, nil
}

func (c *Client) request(ctx context.Context, call call) (*http.Request, error) {
	target, err := c.master.Parse(call.path)
	if err != nil {
		return nil, fmt.Errorf("call of %q: %w", call.path, err)
	}
	if len(call.query) > 0 {
		target.RawQuery = call.query.Encode()
	}
	var body io.Reader
	switch {
	case call.json != nil:
		body = bytes.NewReader(call.json)
	case call.method == http.MethodPost:
		body = strings.NewReader(call.body.Encode())
	}
	r, err := http.NewRequestWithContext(ctx, call.method, target.String(), body)
	if err != nil {
		return nil, fmt.Errorf("call of %q: %w", call.path, err)
	}
	r.Header.Set("Accept", "*/*")
	r.Header.Set("User-Agent", "slapos.core/"+Version)
	switch {
	case call.json != nil:
		r.Header.Set("Content-Type", "application/json")
	case call.method == http.MethodPost:
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if call.noCache {
		r.Header.Set("Cache-Control", "no-cache")
	}
	if call.look != nil {
		call.look.ask(r.Header)
	}
	borne := c.bear(r)
	if id := call.partition; !id.IsZero() && call.method == http.MethodPost {
		r.Header.Add("Authorization", id.authorization()) // after the token
	} else if !borne {
		c.login(r)
	}
	return r, nil
}

// authorization returns the header of calls in a partition's name (SLAP-6).
func (id PartitionID) authorization() string {
	return "X-SlapPartition computer_id=" + id.Computer + ", computer_partition_id=" + id.Partition
}

// connectionError wraps a failure to get an answer, or the time-out that ended
// ctx; an end of the caller's own context is returned unchanged.
func (c *Client) connectionError(caller, ctx context.Context, asked *url.URL, err error) error {
	if caller.Err() != nil {
		return context.Cause(caller)
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	failure := &ConnectionError{Server: server(asked), Err: unwrapURL(err)}
	if asked.Host == c.master.Host {
		failure.Origin = c.config.Origin
	}
	return failure
}

// server names the server of a URL.
func server(u *url.URL) string { return u.Scheme + "://" + u.Host }

func httpError(call call, request *http.Request, response *http.Response, body io.Reader) error {
	text, _ := io.ReadAll(io.LimitReader(body, maxErrorBody)) // what arrived before it broke is enough
	asked := *request.URL
	asked.User = nil
	final := *response.Request.URL
	final.User = nil
	e := &HTTPError{
		Status: response.StatusCode, Reason: reason(response),
		URL: final.String(), Path: strings.TrimPrefix(call.path, "/"),
		Parameters: call.query, Body: text,
	}
	if len(call.query) > 0 {
		asked.RawQuery = ""
	}
	e.asked = asked.String()
	return e
}

// extendingReader restarts the time-out at each read of an answer.
type extendingReader struct {
	io.Reader
	extend func()
}

func (r *extendingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n > 0 {
		r.extend()
	}
	return n, err
}

// errTooLarge is an answer over its limit.
var errTooLarge = errors.New("answer is too large")

// usualAnswer is a size up to which growing a buffer costs little.
const usualAnswer = 8 << 20

// readAll reads a body of about the given size, -1 if unknown, up to a limit in
// bytes; the error of more is errTooLarge.
func readAll(r io.Reader, size int64, most int) ([]byte, error) {
	if size > int64(most) {
		return nil, errTooLarge
	}
	buffer := make([]byte, 0, min(max(size+1, 512), usualAnswer))
	for {
		n, err := r.Read(buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		switch {
		case err == io.EOF:
			return buffer, nil
		case err != nil:
			return nil, err
		case len(buffer) > most:
			return nil, errTooLarge
		case len(buffer) < cap(buffer):
		case len(buffer) < usualAnswer:
			buffer = append(buffer, 0)[:len(buffer)]
		default:
			// All that may come is reserved, which takes no memory until it is
			// written; growing would hold two copies.
			buffer = append(make([]byte, 0, most+1), buffer...)
		}
	}
}
