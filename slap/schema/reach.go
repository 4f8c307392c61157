// SPDX-License-Identifier: GPL-3.0-or-later

package schema

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync/atomic"
	"syscall"
)

// A reach is how near to this machine the documents of a release may be: as
// near as the first one, so that no release of elsewhere has this machine ask
// its own services, or its neighbours.
type reach struct {
	first atomic.Int32 // 0: nothing was read yet
	proxy atomic.Value // the address of the proxy that is used, a string
}

// Nearness of addresses.
const (
	atHome     = 1 + iota // this machine, or its link
	nearby                // a private network
	everywhere            // the Internet
)

func nearness(address netip.Addr) int32 {
	switch address = address.Unmap(); {
	case address.IsLoopback(), address.IsUnspecified(), address.IsLinkLocalUnicast(), address.IsMulticast():
		return atHome
	case address.IsPrivate():
		return nearby
	}
	return everywhere
}

var errNearer = errors.New("a schema can't lead to an address that is nearer to this machine than its release")

// client asks within the reach. What a proxy asks is the proxy's affair.
func (r *reach) client() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true // a connection belongs to one reach
	transport.Proxy = func(request *http.Request) (*url.URL, error) {
		through, err := http.ProxyFromEnvironment(request)
		if through != nil {
			r.first.CompareAndSwap(0, everywhere)
			r.proxy.Store(through.Host)
		}
		return through, err
	}
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		var d net.Dialer
		if host, _, err := net.SplitHostPort(address); err == nil && r.isProxy(host, address) {
			return d.DialContext(ctx, network, address)
		}
		d.Control = func(_, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if first := r.first.Load(); err == nil && nearness(to.Addr()) < first {
				return errNearer
			}
			return nil
		}
		connection, err := d.DialContext(ctx, network, address)
		if err == nil {
			if to, err := netip.ParseAddrPort(connection.RemoteAddr().String()); err == nil {
				r.first.CompareAndSwap(0, nearness(to.Addr()))
			}
		}
		return connection, err
	}
	return &http.Client{Transport: transport}
}

func (r *reach) isProxy(host, address string) bool {
	proxy, _ := r.proxy.Load().(string)
	return proxy != "" && (proxy == host || proxy == address)
}
