// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"net/http"
	"strings"
)

const (
	// maximumHops bounds the proxies that a request came through, and those that
	// its target names.
	maximumHops = 4
	// maximumFetches bounds what /http_proxy fetches at a time for all clients.
	maximumFetches = 256
)

// via names this server in the header Via.
func (p *Proxy) via() string { return "slapos-" + p.runID }

// checkHops refuses what /http_proxy asks of ourselves, by whatever address, and
// what came through too many proxies (PROXY-181).
func (p *Proxy) checkHops(r *http.Request) error {
	hops := hopsOf(r)
	for _, hop := range hops {
		if words := strings.Fields(hop); len(words) > 1 && words[1] == p.via() {
			return refuse(http.StatusLoopDetected, "This master doesn't fetch from itself.")
		}
	}
	if len(hops) > maximumHops {
		return refuse(http.StatusLoopDetected, "This request came through more than %d proxies.", maximumHops)
	}
	return nil
}

// hopsOf lists the proxies that a request came through.
func hopsOf(r *http.Request) []string {
	if text := strings.Join(r.Header.Values("Via"), ","); text != "" {
		return strings.Split(text, ",")
	}
	return nil
}

// beginFetch takes a place among the fetches.
func (p *Proxy) beginFetch(r *http.Request) (end func(), err error) {
	share := p.fetches.ShareOf(r)
	if !share.Take(1) {
		return nil, refuse(http.StatusServiceUnavailable,
			"This master fetches as many pages as it does at a time, %d for all and %d for one client: try again later.",
			maximumFetches, maximumFetches/4)
	}
	return share.Leave, nil
}
