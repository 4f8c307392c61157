// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"time"
)

// phase is what a connection is doing:
//
//	READING ──request──▶ BUSY ──waits for processes──▶ WAITING
//	   ▲                   │ ◀──────────────────────────┘
//	   └─────answered──────┤
//	                       └──follows a log──▶ TAILING
//
// During a handover it can be taken along when it does nothing: it READs but is
// parked, it is parked with a whole request (ASKING), it WAITs, or it TAILs and
// is parked. See [daemon.upgrade].
type phase int

const (
	reading phase = iota
	asking
	busy
	waiting
	tailing
)

// connection is a client's. The server's lock guards its fields.
type connection struct {
	net.Conn
	server *server

	phase    phase
	handling bool         // a request, at least its first byte
	parked   bool         // until the handover has failed
	dropped  bool         // it kept a handover waiting
	last     bool         // close it after the answer
	rest     *pendingCall // what is left of a call that waits
	tail     *tail        // the log that is followed
	// What was read of a request that isn't begun yet, and perhaps of the next
	// one. Another image of the supervisor has to read it again.
	unread []byte
	again  []byte // what this image has to read again
}

// Read reads from the client. During a handover it stops.
func (c *connection) Read(data []byte) (int, error) {
	if len(c.again) > 0 {
		n := copy(data, c.again)
		c.again = c.again[n:]
		c.note(data[:n])
		return n, nil
	}
	for {
		n, err := c.Conn.Read(data)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			c.note(data[:n])
			return n, err
		}
		c.park()
	}
}

func (c *connection) note(data []byte) {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	c.unread = append(c.unread, data...)
}

// park waits until no handover is under way.
func (c *connection) park() {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	c.parked = true
	c.server.awaitResume()
	c.parked = false
}

// awaitResume waits until no handover is under way; the caller holds s.mu.
func (s *server) awaitResume() {
	for s.resumed != nil {
		resumed := s.resumed
		s.mu.Unlock()
		<-resumed
		s.mu.Lock()
	}
}

// discard reads and forgets what the client sends, and returns when it is gone.
func (c *connection) discard() {
	for {
		_, err := io.Copy(io.Discard, c.Conn)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		c.server.mu.Lock()
		c.server.awaitResume()
		c.server.mu.Unlock()
	}
}

// enter changes the phase. With a handover under way, asking and tailing wait
// for its end.
func (c *connection) enter(next phase) {
	if c == nil {
		return
	}
	c.server.mu.Lock()
	c.phase = next
	c.server.mu.Unlock()
	if next == asking || next == tailing {
		c.park()
	}
}

// follows notes the log that the connection follows.
func (c *connection) follows(t *tail) {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	c.tail = t
}

// begin begins with the answer to a request; buffered bytes of the next one were
// read already.
func (c *connection) begin(buffered int, last bool) {
	c.enter(asking)
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	c.phase, c.last = busy, last
	c.unread = slices.Clone(c.unread[len(c.unread)-buffered:])
}

// still reports whether the connection can be taken along; the caller holds the
// lock of the server, and that of the daemon or is about to look again.
func (c *connection) still() bool {
	switch c.phase {
	case waiting:
		return c.rest != nil
	case busy:
		return c.dropped
	}
	return c.parked || c.dropped
}

// leave notes what is left of the call, nil for nothing.
func (c *connection) leave(rest *pendingCall) {
	if c == nil {
		return
	}
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	c.rest = rest
}

type connectionKey struct{}

// with returns a context of the calls that come by this connection.
func (c *connection) with(ctx context.Context) context.Context {
	return context.WithValue(ctx, connectionKey{}, c)
}

// connectionOf returns the connection of a call that may be left half done, or nil.
func connectionOf(ctx context.Context) *connection {
	c, _ := ctx.Value(connectionKey{}).(*connection)
	return c
}

// pause makes the server accept and read nothing more, until resume.
func (s *server) pause() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resumed = make(chan struct{})
	_ = s.listener.(deadliner).SetDeadline(longAgo)
	for c := range s.open {
		_ = c.SetReadDeadline(longAgo)
	}
}

// longAgo as a deadline makes calls return at once.
var longAgo = time.Unix(1, 0)

// deadliner is what listeners of package net are, too.
type deadliner interface{ SetDeadline(time.Time) error }

func (s *server) resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.resumed == nil {
		return
	}
	_ = s.listener.(deadliner).SetDeadline(time.Time{})
	for c := range s.open {
		_ = c.SetReadDeadline(time.Time{})
	}
	close(s.resumed)
	s.resumed = nil
}

// dropBusy closes the connections that can't be taken along.
func (s *server) dropBusy() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		if !c.still() {
			c.dropped = true
			_ = c.Close()
		}
	}
}

// still reports whether everything can be taken along: the caller looks again
// with the lock of the daemon.
func (s *server) still() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		if !c.still() {
			return false
		}
	}
	return s.accepting == 0
}
