// SPDX-License-Identifier: GPL-3.0-or-later

package serve

import (
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
)

// A Guard keeps foreign web pages away from a server that answers everybody who
// reaches it (D-30). A page can make its visitor's browser send requests to any
// address; and its site can point its own name to that address for a moment
// (DNS rebinding), and so read the answers.
type Guard struct {
	// Names are further names of this server, such as a reverse proxy's,
	// besides addresses, localhost and the machine's own name.
	Names []string
}

var crossOrigin = http.NewCrossOriginProtection()

// Refuses returns why a request must not be answered, or "". It always refuses
// what a browser sends for a page of another site, but for a link that its visitor
// follows. On the loopback each request must use one of the server's names, elsewhere only
// those of browsers: nodes and clients may use any name that leads there.
func (g Guard) Refuses(r *http.Request) string {
	if crossOrigin.Check(r) != nil || embeds(r) {
		return "This request was made by a page of another site, and is refused."
	}
	if (onLoopback(r) || fromBrowser(r)) && !g.knows(r.Host) {
		return r.Host + " is not a name of this server: use its address, or if it should be one, add it to the configuration (listen_names of section [slapproxy], --listen-names of slapos cache start)."
	}
	return ""
}

// embeds tells a request of another site's page from a link that leads here.
func embeds(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return (site == "cross-site" || site == "same-site") &&
		(r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document")
}

// Handler wraps a handler and answers refused requests with 403 and one line.
func (g Guard) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if reason := g.Refuses(r); reason != "" {
			http.Error(w, reason, http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func onLoopback(r *http.Request) bool {
	local, isTCP := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return isTCP && local.IP.IsLoopback()
}

// fromBrowser looks for headers that only browsers send. Every browser sends
// one of them with a GET, too.
func fromBrowser(r *http.Request) bool {
	for _, name := range []string{"Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Ch-Ua", "Upgrade-Insecure-Requests"} {
		if r.Header.Get(name) != "" {
			return true
		}
	}
	return strings.HasPrefix(r.UserAgent(), "Mozilla/")
}

// knows reports whether a Host is a name of this server. A request of HTTP/1.0
// may have none; no browser sends such a request.
func (g Guard) knows(host string) bool {
	if host == "" {
		return true
	}
	name := host
	if withoutPort, _, err := net.SplitHostPort(host); err == nil {
		name = withoutPort
	}
	name = strings.Trim(name, "[]")
	if address, _, _ := strings.Cut(name, "%"); net.ParseIP(address) != nil { // with a zone
		return true
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || name == machineName() ||
		slices.ContainsFunc(g.Names, func(known string) bool { return strings.EqualFold(known, name) })
}

// machineName is asked each time: it may be set after the start.
func machineName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return strings.ToLower(name)
}
