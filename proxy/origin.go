// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"net"
	"net/http"
	"slices"
	"strings"
)

// fromElsewhere tells why a request must not be done: a browser sends it for a
// page that isn't ours. Nodes and clients never say where they come from,
// browsers always do when something is to change. "" is no reason.
func (p *Proxy) fromElsewhere(r *http.Request) string {
	if p.origins.Check(r) != nil {
		return "This request was made by a page of another site, and is refused."
	}
	if !p.knowsName(r) {
		return "This request was made by a page of " + r.Host + ", which is no name of this master: if it is, name it in listen_names of section [slapproxy]."
	}
	return ""
}

// knowsName keeps out sites that let their own name lead to this machine for a
// moment, and so look like ours to a browser. Where others reach us anyway,
// that is no way in.
func (p *Proxy) knowsName(r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if r.Header.Get("Origin") == "" || p.options.Allow != nil || local == nil || !local.IP.IsLoopback() {
		return true
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}
	name := r.Host
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	name = strings.Trim(name, "[]")
	return net.ParseIP(name) != nil || name == "localhost" || strings.HasSuffix(name, ".localhost") || slices.Contains(p.options.Names, name)
}
