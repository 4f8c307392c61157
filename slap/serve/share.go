// SPDX-License-Identifier: GPL-3.0-or-later

package serve

import (
	"context"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
)

// A Budget is a number of things that clients share, such as fetches at a time or
// pieces of memory. A client, which is a user of this machine or an address of
// elsewhere, may have a quarter. The last quarter is for root and the server's own
// user on this machine, who may have everything, except for requests that they hand on.
type Budget struct {
	most   int
	shares shares
}

// NewBudget makes a budget of so many.
func NewBudget(most int) *Budget { return &Budget{most: most, shares: newShares()} }

// Most is the number of the budget.
func (b *Budget) Most() int { return b.most }

// A Share is what a request has of a budget. It is used by one goroutine.
type Share struct {
	shares *shares
	places []countedPlace
	has    int
}

// ShareOf returns the share of a request, which has nothing yet.
func (b *Budget) ShareOf(r *http.Request) *Share {
	s := &Share{shares: &b.shares, places: []countedPlace{{"", b.most}}}
	client := "client unknown"
	if there, err := net.ResolveTCPAddr("tcp", r.RemoteAddr); err == nil { // an address is not looked up
		here, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
		var trusted bool
		client, trusted = clientOf(there, here)
		if trusted && !isHandedOn(r) {
			return s
		}
		if trusted { // all clients of a reverse proxy
			s.places[0].most -= b.most / 4
			return s
		}
	}
	s.places[0].most -= b.most / 4
	s.places = append(s.places, countedPlace{client, max(1, b.most/4)})
	return s
}

// Take takes n more, unless that is more than the client may have or than there is.
func (s *Share) Take(n int) bool {
	if !s.shares.enter(s.places, n) {
		return false
	}
	s.has += n
	return true
}

// Wait takes n more, and waits for them. The error is the context's.
func (s *Share) Wait(ctx context.Context, n int) error {
	for {
		freed := s.shares.next()
		if s.Take(n) {
			return nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Leave gives everything back.
func (s *Share) Leave() {
	if s.has > 0 {
		s.shares.leave(s.places, s.has)
		s.has = 0
	}
}

// clientOf names who has the other end of a connection: a user of this machine, if
// the kernel knows one, or an address, of IPv6 a network, which has one owner.
// trusted says that it is root or the server's own user.
func clientOf(there, here *net.TCPAddr) (name string, trusted bool) {
	if !there.IP.IsLoopback() {
		return networkOf(there.IP), false
	}
	if here != nil {
		if uid, found := userOfSocket(there, here); found {
			return "user " + strconv.Itoa(uid), uid == 0 || uid == os.Geteuid()
		}
	}
	return "user unknown", false
}

func networkOf(address net.IP) string {
	if address.To4() == nil {
		address = address.Mask(net.CIDRMask(64, 128))
	}
	return address.String()
}

// A countedPlace is a key under which something is counted, and its limit.
type countedPlace struct {
	key  string
	most int
}

// shares counts what is taken by key.
type shares struct {
	mutex sync.Mutex
	taken map[string]int
	freed chan struct{} // closed when something is given back; nil while nobody waits
}

func newShares() shares { return shares{taken: map[string]int{}} }

func (s *shares) count(key string) int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.taken[key]
}

// enter takes n in all places, or nothing.
func (s *shares) enter(places []countedPlace, n int) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, p := range places {
		if s.taken[p.key]+n > p.most {
			return false
		}
	}
	for _, p := range places {
		s.taken[p.key] += n
	}
	return true
}

func (s *shares) leave(places []countedPlace, n int) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, p := range places {
		if s.taken[p.key] -= n; s.taken[p.key] == 0 {
			delete(s.taken, p.key)
		}
	}
	if s.freed != nil {
		close(s.freed)
		s.freed = nil
	}
}

// next returns a channel that is closed when something is given back.
func (s *shares) next() <-chan struct{} {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.freed == nil {
		s.freed = make(chan struct{})
	}
	return s.freed
}
