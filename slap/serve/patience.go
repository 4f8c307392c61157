// SPDX-License-Identifier: GPL-3.0-or-later

package serve

import (
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultPatience is how long a client may pause in the middle of a body, and while
// it takes an answer.
const DefaultPatience = 30 * time.Second

// patient gives up on clients that stop in the middle of a body; slow ones go on.
func patient(next http.Handler, patience time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody {
			next.ServeHTTP(w, r)
			return
		}
		body := &patientBody{ReadCloser: r.Body, connection: http.NewResponseController(w), patience: patience}
		r.Body = body
		defer func() { // the server reads what the handler left
			if !body.over {
				body.wait()
			}
		}()
		next.ServeHTTP(w, r)
	})
}

type patientBody struct {
	io.ReadCloser
	connection *http.ResponseController
	patience   time.Duration
	over       bool
}

func (b *patientBody) wait() { _ = b.connection.SetReadDeadline(time.Now().Add(b.patience)) }

func (b *patientBody) Read(p []byte) (int, error) {
	if !b.over {
		b.wait()
	}
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF && !b.over {
		b.over = true
		_ = b.connection.SetReadDeadline(time.Time{}) // from here the server's own limits apply
	}
	return n, err
}

// maximumLocal bounds the connections of this machine, each of which takes memory.
const maximumLocal = 4096

// mostOf is how many connections one address may have by default, and how many
// this machine may have, where a reverse proxy may stand for all others.
func mostOf(given int) (other, local int) {
	var files unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &files) != nil || files.Cur > 2*maximumLocal {
		files.Cur = 2 * maximumLocal
	}
	local = max(16, int(files.Cur)/2)
	if given <= 0 {
		given = 256
	}
	return min(given, local), local
}

// A boundListener closes connections beyond an address's limit at once; others
// are still accepted.
type boundListener struct {
	net.Listener
	other, local int
	patience     time.Duration // with clients that take nothing of an answer
	open         shares
}

func newBoundListener(inner net.Listener, other, local int, patience time.Duration) *boundListener {
	return &boundListener{Listener: inner, other: other, local: local, patience: patience, open: newShares()}
}

func (l *boundListener) Accept() (net.Conn, error) {
	for {
		connection, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		address, ok := connection.RemoteAddr().(*net.TCPAddr)
		if !ok {
			return &boundConnection{Conn: connection, patience: l.patience, leave: func() {}}, nil
		}
		places := l.placesOf(connection, address)
		if l.open.enter(places, 1) {
			return &boundConnection{Conn: connection, patience: l.patience, leave: sync.OnceFunc(func() { l.open.leave(places, 1) })}, nil
		}
		connection.Close()
	}
}

// placesOf returns where a connection is counted. When many of this machine are
// open, its users are told apart: each may have a quarter more, and the last
// quarter is for root and the server's own user, so that no other can keep them
// out.
func (l *boundListener) placesOf(connection net.Conn, address *net.TCPAddr) []countedPlace {
	if !address.IP.IsLoopback() {
		return []countedPlace{{networkOf(address.IP), l.other}}
	}
	all := countedPlace{"", l.local}
	if l.open.count(all.key) < all.most/4 {
		return []countedPlace{all}
	}
	here, _ := connection.LocalAddr().(*net.TCPAddr)
	user, trusted := clientOf(address, here)
	if trusted {
		return []countedPlace{all}
	}
	return []countedPlace{{all.key, all.most - all.most/4}, {user, max(1, all.most/4)}}
}
