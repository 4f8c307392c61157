// SPDX-License-Identifier: GPL-3.0-or-later

package serve

import (
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
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
	mutex        sync.Mutex
	open         map[string]int
}

func newBoundListener(inner net.Listener, other, local int, patience time.Duration) *boundListener {
	return &boundListener{Listener: inner, other: other, local: local, patience: patience, open: map[string]int{}}
}

// placeOf returns the key under which an address is counted, and its limit. An
// IPv6 network has one owner.
func (l *boundListener) placeOf(address net.IP) (key string, most int) {
	switch {
	case address.IsLoopback():
		return "", l.local
	case address.To4() == nil:
		address = address.Mask(net.CIDRMask(64, 128))
	}
	return address.String(), l.other
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
		if l.enter(places) {
			return &boundConnection{Conn: connection, patience: l.patience, leave: sync.OnceFunc(func() { l.leave(places) })}, nil
		}
		connection.Close()
	}
}

// A countedPlace is a key under which connections are counted, and its limit.
type countedPlace struct {
	key  string
	most int
}

// placesOf returns where a connection is counted. When many of this machine are
// open, its users are told apart: each may have a quarter more, and the last
// quarter is for root and the server's own user, so that no other can keep them
// out.
func (l *boundListener) placesOf(connection net.Conn, address *net.TCPAddr) []countedPlace {
	key, most := l.placeOf(address.IP)
	all := countedPlace{key, most}
	if !address.IP.IsLoopback() || l.count(key) < most/4 {
		return []countedPlace{all}
	}
	user := "user unknown"
	if here, ok := connection.LocalAddr().(*net.TCPAddr); ok {
		if uid, found := userOfSocket(address, here); found {
			if uid == 0 || uid == os.Geteuid() {
				return []countedPlace{all}
			}
			user = "user " + strconv.Itoa(uid)
		}
	}
	return []countedPlace{{key, most - most/4}, {user, max(1, most/4)}}
}

func (l *boundListener) count(key string) int {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.open[key]
}

func (l *boundListener) enter(places []countedPlace) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, p := range places {
		if l.open[p.key] >= p.most {
			return false
		}
	}
	for _, p := range places {
		l.open[p.key]++
	}
	return true
}

func (l *boundListener) leave(places []countedPlace) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, p := range places {
		if l.open[p.key]--; l.open[p.key] == 0 {
			delete(l.open, p.key)
		}
	}
}
