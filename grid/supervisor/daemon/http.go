// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"bufio"
	"context"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"strings"
	"sync"
	"time"

	"slapos/grid/supervisor/config"
	"slapos/grid/supervisor/xmlrpc"
)

// maximumRequest bounds a request, in bytes.
const maximumRequest = 16 << 20

// server answers HTTP on one socket. It isn't [http.Server], because that
// refuses the host names that clients of a unix socket send, such as the
// socket's path.
type server struct {
	d      *daemon
	config config.Server

	mu        sync.Mutex
	listener  net.Listener // replaced when the socket file is recreated
	file      fileID       // of the socket file
	accepting int          // loops of serve that aren't parked
	open      map[*connection]bool
	closed    bool
	idle      sync.WaitGroup // of requests that are being handled
	resumed   chan struct{}  // closed when a handover has failed; nil without one
}

// serve accepts connections until the listener is closed.
func (s *server) serve(listener net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepting++
	defer func() { s.accepting-- }()
	for {
		s.mu.Unlock()
		accepted, err := listener.Accept()
		if err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrDeadlineExceeded) { // too many open files
			time.Sleep(100 * time.Millisecond)
		}
		s.mu.Lock()
		switch {
		case err == nil:
			c := s.add(accepted)
			go s.serveConnection(c) // owns the connection; s.open has it for close to end
		case errors.Is(err, net.ErrClosed):
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			s.accepting--
			s.awaitResume()
			s.accepting++
		}
	}
}

// add registers a connection; the caller holds s.mu.
func (s *server) add(accepted net.Conn) *connection {
	c := &connection{Conn: accepted, server: s}
	s.open[c] = true
	if s.resumed != nil {
		_ = c.SetReadDeadline(longAgo)
	}
	if s.closed {
		_ = c.Close()
	}
	return c
}

// close closes all connections. It gives answers that are being written one
// second.
func (s *server) close() {
	s.mu.Lock()
	_ = s.listener.Close()
	if s.hasFile() {
		os.Remove(s.config.Socket)
	}
	s.closed = true
	for c := range s.open {
		if !c.handling {
			_ = c.Close()
		}
	}
	s.mu.Unlock()
	done := make(chan struct{})
	// It ends with the last request, at the latest when its connection is closed below.
	go func() { s.idle.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Second):
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		_ = c.Close()
	}
}

// beginRequest marks a connection as busy; it returns false if the server is closing.
func (s *server) beginRequest(c *connection) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false // close may be waiting for idle, which must not grow then
	}
	s.idle.Add(1)
	c.handling = true
	return true
}

// awaitRequest marks a connection as idle, before its first request and after
// each; it returns false if the server is closing.
func (s *server) awaitRequest(c *connection) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.handling {
		s.idle.Done()
	}
	c.handling, c.phase = false, reading
	return !s.closed
}

func (s *server) serveConnection(c *connection) {
	defer func() {
		s.awaitRequest(c)
		s.mu.Lock()
		delete(s.open, c)
		s.mu.Unlock()
		_ = c.Close()
	}()
	if s.resumeConnection(c) {
		return
	}
	limited := &io.LimitedReader{R: c}
	reader := bufio.NewReader(limited)
	for s.awaitRequest(c) {
		limited.N = maximumRequest
		if _, err := reader.Peek(1); err != nil {
			return
		}
		if !s.beginRequest(c) {
			return
		}
		r := &reply{connection: c}
		request, err := http.ReadRequest(reader)
		if err == nil && strings.EqualFold(request.Header.Get("Expect"), "100-continue") {
			_, err = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
		}
		var body []byte
		if err == nil {
			body, err = io.ReadAll(request.Body)
		}
		if err != nil {
			r.close = true
			r.fail(http.StatusBadRequest)
			return
		}
		r.close = request.Close
		c.begin(reader.Buffered(), r.close)
		s.answer(r, request, body)
		if r.close {
			return
		}
	}
}

// reply writes one answer.
type reply struct {
	connection *connection
	close      bool // close the connection after the answer
}

func (r *reply) header(status int, fields string) error {
	if r.close {
		fields += "Connection: close\r\n"
	}
	_, err := fmt.Fprintf(r.connection, "HTTP/1.1 %d %s\r\nServer: supervisor\r\nDate: %s\r\n%s\r\n",
		status, http.StatusText(status), time.Now().UTC().Format(http.TimeFormat), fields)
	return err
}

func (r *reply) send(status int, fields, contentType string, body []byte) {
	fields += fmt.Sprintf("Content-Type: %s\r\nContent-Length: %d\r\n", contentType, len(body))
	if r.header(status, fields) != nil {
		r.close = true
	} else if _, err := r.connection.Write(body); err != nil {
		r.close = true
	}
}

func (r *reply) fail(status int) {
	r.send(status, "", "text/plain", []byte(http.StatusText(status)+"\n"))
}

// answer handles XML-RPC calls on /RPC2, and follows logs on
// /logtail/PROCESS[/stdout|stderr] and /mainlogtail.
func (s *server) answer(r *reply, request *http.Request, body []byte) {
	path := request.URL.Path
	switch {
	case !s.authenticated(request):
		r.send(http.StatusUnauthorized, "WWW-Authenticate: Basic realm=\"default\"\r\n", "text/plain", []byte("authentication required\n"))
	case strings.HasPrefix(path, "/RPC2"):
		s.d.answerCall(r, body)
	case request.Method != http.MethodGet:
		r.fail(http.StatusBadRequest)
	case strings.HasPrefix(path, "/mainlogtail"):
		s.d.answerTail(r, s.d.config.LogFile)
	case strings.HasPrefix(path, "/logtail/"):
		s.d.answerTail(r, s.d.tailPath(strings.TrimPrefix(path, "/logtail/")))
	default:
		r.fail(http.StatusNotFound)
	}
}

// authenticated checks the user's name and password if the configuration sets
// them; the configured password may be {SHA} and a hexadecimal SHA-1.
func (s *server) authenticated(request *http.Request) bool {
	if s.config.Username == "" {
		return true
	}
	username, password, _ := request.BasicAuth()
	wanted := s.config.Password
	if digest, found := strings.CutPrefix(wanted, "{SHA}"); found {
		sum := sha1.Sum([]byte(password))
		wanted, password = digest, hex.EncodeToString(sum[:])
	}
	return subtle.ConstantTimeCompare([]byte(username), []byte(s.config.Username))&
		subtle.ConstantTimeCompare([]byte(password), []byte(wanted)) == 1
}

// resumeConnection goes on with the answer that another image of this supervisor
// began; it reports whether the connection is to be closed after it.
func (s *server) resumeConnection(c *connection) (last bool) {
	if c.rest == nil && c.tail == nil || !s.beginRequest(c) {
		return c.rest != nil || c.tail != nil
	}
	c.enter(busy)
	r := &reply{connection: c, close: c.last}
	if c.tail != nil {
		s.d.follow(r, c.tail)
		return true
	}
	r.value(s.d.resumeCall(c.with(context.Background()), c.rest))
	return r.close
}

func (d *daemon) answerCall(r *reply, body []byte) {
	ctx := r.connection.with(context.Background())
	method, params, err := xmlrpc.UnmarshalCall(body)
	if err != nil {
		d.log.Error("XML-RPC request is invalid", "error", err)
		r.fail(http.StatusBadRequest)
		return
	}
	d.log.Log(ctx, config.LevelTrace, "XML-RPC method called: "+method+"()")
	value, err := d.call(ctx, method, params)
	r.value(value, err)
}

// value sends the result of a call, or its error.
func (r *reply) value(value any, err error) {
	var answer []byte
	if err == nil {
		answer, err = xmlrpc.MarshalResponse(value)
	}
	if err != nil {
		answer = xmlrpc.MarshalFault(asFault(err))
	}
	r.send(http.StatusOK, "", "text/xml", answer)
}

// answerTail sends the end of a log and then everything that is added to it,
// until the client disconnects.
func (d *daemon) answerTail(r *reply, path string) {
	tail, err := openTail(path)
	if err != nil {
		r.fail(http.StatusNotFound)
		return
	}
	r.close = true
	if r.header(http.StatusOK, "Last-Modified: "+tail.modified.UTC().Format(http.TimeFormat)+"\r\n"+
		"Content-Type: text/plain;charset=utf-8\r\nX-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n") != nil {
		tail.close()
		return
	}
	d.follow(r, tail)
}

// follow sends what is added to a log, and closes it in the end.
func (d *daemon) follow(r *reply, tail *tail) {
	defer tail.close()
	r.connection.follows(tail)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	// It notices a client that disconnects, even while there is nothing to
	// send. It only reads, and ends when the connection is closed after this
	// answer.
	go func() {
		r.connection.discard()
		cancel()
	}()
	chunks := httputil.NewChunkedWriter(r.connection)
	tail.follow(ctx, d.ending, chunks, func() { r.connection.enter(tailing) })
	chunks.Close()
	_, _ = io.WriteString(r.connection, "\r\n")
}

// tailPath returns the log of a process, named as in a URL, or "".
func (d *daemon) tailPath(name string) string {
	channel := "stdout"
	if process, last, found := strings.Cut(name, "/"); found {
		name, channel = process, last
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	p, err := d.process(name)
	if err != nil {
		return ""
	}
	return p.logFile(channel)
}
