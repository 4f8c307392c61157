// SPDX-License-Identifier: GPL-3.0-or-later

package serve

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"slapos/slap/testkit"
)

func requestFrom(t *testing.T, address string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	r.RemoteAddr = address
	return r
}

// takeAll takes as much as there is of 16, one by one.
func takeAll(s *Share) (taken int) {
	for range 17 {
		if s.Take(1) {
			taken++
		}
	}
	return taken
}

// TestShares: no client can take everything (PROXY-181).
func TestShares(t *testing.T) {
	b := NewBudget(16)
	var shares []*Share
	for _, client := range []struct {
		address string
		gets    int
	}{
		{"192.0.2.1:1", 4}, {"192.0.2.1:2", 0}, {"[2001:db8::1]:1", 4}, {"[2001:db8::2]:1", 0}, {"127.0.0.1:1", 4}, {"192.0.2.2:1", 0},
		{"nonsense", 0},
	} {
		share := b.ShareOf(requestFrom(t, client.address))
		if n := takeAll(share); n != client.gets {
			t.Errorf("%s gets %d, want %d", client.address, n, client.gets)
		}
		shares = append(shares, share)
	}
	last := b.ShareOf(requestFrom(t, "192.0.2.2:2"))
	waited := make(chan error)
	go func() { waited <- last.Wait(t.Context(), 3) }()
	shares[0].Leave()
	if err := <-waited; err != nil || last.has != 3 {
		t.Errorf("after one has left: %d, %v", last.has, err)
	}
	stop := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	if err := last.Wait(ctx, 2); err != stop || last.has != 3 {
		t.Errorf("more than a share: %d, %v", last.has, err)
	}
	for _, share := range append(shares, last) {
		share.Leave()
		share.Leave()
	}
	if n := b.shares.count(""); n != 0 || len(b.shares.taken) != 0 {
		t.Errorf("in the end, %d are taken", n)
	}
}

// TestSharesOfUsers: of this machine, users are the clients; the last quarter is for
// root, but not for whom root's reverse proxy serves.
func TestSharesOfUsers(t *testing.T) {
	testkit.Root(t)
	b := NewBudget(16)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	share := func(header string) *Share {
		connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { connection.Close() })
		r := requestFrom(t, connection.LocalAddr().String()).WithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, connection.RemoteAddr()))
		if header != "" {
			r.Header.Set(header, "192.0.2.1")
		}
		return b.ShareOf(r)
	}
	testkit.AsUser(t, func(string) {
		first, second := share(""), share("X-Forwarded-For")
		if n, more := takeAll(first), takeAll(second); n != 4 || more != 0 {
			t.Errorf("a user gets %d and %d", n, more)
		}
	})
	handed, direct := share("X-Forwarded-For"), share("")
	if n := takeAll(handed); n != 8 {
		t.Errorf("clients of root's reverse proxy get %d", n)
	}
	if n := takeAll(direct); n != 4 {
		t.Errorf("root gets %d", n)
	}
}
