// SPDX-License-Identifier: GPL-3.0-or-later

// Package proxy is the local master: it answers what a SlapOS Master answers,
// for the computers of one owner, and keeps all of it in a [store.Store].
//
// [New] makes an http.Handler of several faces over the operations of the
// store: SLAP, which nodes speak (slaptool.go); JSON-RPC (jsonrpc.go); HATEOAS,
// which clients use to list and look things up (hateoas.go); a panel for
// browsers (panel.go); the HTTP proxy of frontends (httpproxy.go) and a cache
// of software (shacache.go). [Show] prints the database.
//
// Whoever reaches the port may do anything, unless [Options].Allow says
// otherwise. So the default address is the loopback.
package proxy

import (
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"slapos/proxy/authority"
	"slapos/proxy/panel"
	"slapos/proxy/store"
	"slapos/slap/serve"
)

// DefaultMaximumBody bounds the body of a request, in bytes, but for uploads
// to the cache.
const DefaultMaximumBody = 16 << 20

// Options say what the local master knows beside its database.
type Options struct {
	Store store.Store
	// Computer is the default computer, known before it was formatted.
	Computer string
	// Products are URLs of software releases by name of product.
	Products map[string]string
	// Masters are the external masters that requests may be forwarded to.
	Masters []Master
	// Port is the port of this server, to know its own URL by (PROXY-70).
	Port string
	// PublicDirectory is served below /panel/public/, unless empty.
	PublicDirectory string
	Shacache        Shacache
	// MaximumBody is DefaultMaximumBody when zero.
	MaximumBody int64
	// Allow reports whether a request may be answered; nil allows all.
	Allow func(*http.Request) bool
	// Authority is the master's own, nil without one: then tokens and certificates of
	// it have their roles, and who shows nothing is nobody, unless Allow says otherwise.
	Authority *authority.Authority
	// TokenName names the token that a request was allowed for, "" for none; nil if
	// there are no tokens.
	TokenName func(*http.Request) string
	// Guard keeps the pages of other sites out.
	Guard serve.Guard
	// AccessLog gets a line for each request, unless nil.
	AccessLog io.Writer
	// CAFile and Insecure are about the certificates of external masters, Home
	// is where a .netrc with logins may be.
	CAFile   string
	Insecure bool
	Home     string
	// Collectors have further numbers for /metrics.
	Collectors []prometheus.Collector
	// Version is told by /version.
	Version Version
	// Logger gets what is worth telling; nothing when nil.
	Logger *slog.Logger
}

// Master is an external master.
type Master struct {
	// URL is compared literally.
	URL string
	// Key and Certificate are files; needed for https.
	Key         string
	Certificate string
	// Releases are the software releases whose requests are always forwarded.
	Releases []string
	// Computer and Partition are in whose name to request; without both, the
	// instance is ordered directly.
	Computer  string
	Partition string
}

// Proxy is the handler of a local master.
type Proxy struct {
	options Options
	store   store.Store
	log     *slog.Logger
	runID   string
	routes  map[string]route
	answers *answerCache
	waiting *waiting
	access  *access // nil without an authority
	metrics *metrics
	panel   *panel.Panel
	web     *http.Client // of /http_proxy and the cache's upstream
	fetches *serve.Budget
	room    *room // of bodies
	// longReports are the places of reports that are being read.
	longReports chan struct{}
	readiness   readiness
	handler     http.Handler
}

// New makes the handler. The store stays the caller's to close.
func New(options Options) *Proxy {
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.MaximumBody == 0 {
		options.MaximumBody = DefaultMaximumBody
	}
	p := &Proxy{
		options: options, store: options.Store, log: options.Logger,
		runID:       newRunID(),
		fetches:     serve.NewBudget(maximumFetches),
		room:        newRoom(),
		longReports: make(chan struct{}, longReports),
		answers:     newAnswerCache(options.Store),
		waiting:     newWaiting(options.Store),
		access:      newAccess(options),
	}
	p.metrics = newMetrics(options.Store, p.waiting.number, options.Collectors)
	p.panel = p.newPanel()
	p.web = newWebClient()
	p.routes = p.allRoutes()
	known := func(path string) bool {
		_, ok := p.find(path)
		return ok
	}
	p.handler = p.metrics.count(p.logged(http.HandlerFunc(p.route)), known)
	return p
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.handler.ServeHTTP(w, r) }

// newRunID draws what tells this server from others (PROXY-4).
func newRunID() string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	id := make([]byte, 0, 32)
	for len(id) < cap(id) {
		var b [1]byte
		_, _ = rand.Read(b[:]) // never fails
		if n := int(b[0] & 63); n < len(alphabet) {
			id = append(id, alphabet[n])
		}
	}
	return string(id)
}
