// SPDX-License-Identifier: GPL-3.0-or-later

package serve

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/http"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// PeerUser is the user whose process on this machine has the other end of a
// request's connection, as the kernel tells. Of other machines' requests, of those
// that another server hands on, and of connections that are being closed, nobody is.
//
// It is 0 for root, and may be for whatever the kernel knows nobody of.
func PeerUser(r *http.Request) (uid int, found bool) {
	if isHandedOn(r) {
		return 0, false
	}
	here, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok {
		return 0, false
	}
	there, err := net.ResolveTCPAddr("tcp", r.RemoteAddr) // an address is not looked up
	if err != nil {
		return 0, false
	}
	return userOfSocket(there, here)
}

// isHandedOn reports whether another server sent a request for its client.
func isHandedOn(r *http.Request) bool {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if r.Header.Get(name) != "" {
			return true
		}
	}
	return false
}

// userOfSocket asks the kernel for the established connection of a process here, from
// one address to the other. Both count as a whole: whoever sees a port of others can
// take the same at another address of the loopback.
func userOfSocket(from, to *net.TCPAddr) (uid int, found bool) {
	request := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, 0)
	ask := newSocketQuestion(from, to)
	request.AddData(ask)
	answers, err := request.Execute(unix.NETLINK_INET_DIAG, nl.SOCK_DIAG_BY_FAMILY)
	const established, userAt, whole = 1, 64, 72
	if err != nil || len(answers) != 1 || len(answers[0]) < whole {
		return 0, false
	}
	answer := answers[0]
	if answer[0] != ask.text[0] || answer[1] != established || !bytes.Equal(answer[4:40], ask.text[8:44]) {
		return 0, false // one that listens, where there is no other
	}
	return int(binary.NativeEndian.Uint32(answer[userAt:])), true
}

// A socketQuestion is struct inet_diag_req_v2 of linux/inet_diag.h.
type socketQuestion struct{ text [56]byte }

func newSocketQuestion(from, to *net.TCPAddr) *socketQuestion {
	q := &socketQuestion{}
	addresses := []net.IP{from.IP.To4(), to.IP.To4()}
	q.text[0] = unix.AF_INET
	if slices.ContainsFunc(addresses, func(ip net.IP) bool { return ip == nil }) {
		q.text[0] = unix.AF_INET6
		addresses = []net.IP{from.IP.To16(), to.IP.To16()}
	}
	q.text[1] = unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(q.text[4:], 1<<1) // established
	binary.BigEndian.PutUint16(q.text[8:], uint16(from.Port))
	binary.BigEndian.PutUint16(q.text[10:], uint16(to.Port))
	copy(q.text[12:28], addresses[0])
	copy(q.text[28:44], addresses[1])
	for i := 48; i < 56; i++ {
		q.text[i] = 0xff // no cookie
	}
	return q
}

func (q *socketQuestion) Len() int          { return len(q.text) }
func (q *socketQuestion) Serialize() []byte { return q.text[:] }
