// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"slapos/proxy/store"
)

// handler answers a request, or says why it can't.
type handler func(w http.ResponseWriter, r *http.Request) error

// route is what a path answers, by method, and how its errors look.
type route struct {
	methods map[string]handler
	fail    func(w http.ResponseWriter, r *http.Request, err error)
	// anySize is true where bodies may be as large as the disk.
	anySize bool
	// rule says who may use it; nobody but the owner if nil.
	rule *rule
}

func get(h handler) map[string]handler  { return map[string]handler{http.MethodGet: h} }
func post(h handler) map[string]handler { return map[string]handler{http.MethodPost: h} }

// allRoutes lists the paths. Those that end in "/..." take everything below.
func (p *Proxy) allRoutes() map[string]route {
	routes := map[string]route{}
	add := func(paths map[string]map[string]handler, fail func(http.ResponseWriter, *http.Request, error)) {
		for path, methods := range paths {
			routes[path] = route{methods: methods, fail: fail}
		}
	}
	add(map[string]map[string]handler{
		"/":             get(p.index),
		"/getRunId":     get(p.getRunID),
		"/healthz":      get(p.health),
		"/readyz":       get(p.ready),
		"/version":      get(p.version),
		"/openapi.json": get(p.openAPI),
		"/metrics":      get(p.metrics.answer),
		"/hateoas":      get(p.addSlash),
		"/hateoas/...":  get(p.hateoas),
		"/panel":        get(p.addSlash),
		"/panel/...":    {http.MethodGet: p.servePanel, http.MethodPost: p.servePanel},
		"/http_proxy/...": {
			http.MethodGet: p.httpProxy, http.MethodHead: p.httpProxy, http.MethodOptions: p.httpProxy,
		},
	}, p.failPage)
	add(p.slapRoutes(), p.failPage)
	for _, path := range []string{"/softwareReleaseError", "/softwareInstanceError"} {
		routes[path] = route{methods: routes[path].methods, fail: p.failPage, anySize: true}
	}
	routes["/shacache/..."] = route{methods: p.shacacheMethods(), fail: p.failPage, anySize: true}
	for name, method := range p.rpcMethods() {
		routes["/"+name] = route{methods: post(p.rpc(method)), fail: p.failRPC}
	}
	for path, methods := range p.joinRoutes() {
		routes[path] = route{methods: methods, fail: p.failRPC}
	}
	for path, rule := range rules() {
		if found, ok := routes[path]; ok {
			found.rule = &rule
			routes[path] = found
		}
	}
	return routes
}

// find returns the route of a path.
func (p *Proxy) find(path string) (route, bool) {
	if found, ok := p.routes[path]; ok {
		return found, true
	}
	first, _, below := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if !below {
		return route{}, false
	}
	found, ok := p.routes["/"+first+"/..."]
	return found, ok
}

// route calls the handler of a path and method (PROXY-11).
func (p *Proxy) route(w http.ResponseWriter, r *http.Request) {
	found, ok := p.find(r.URL.Path)
	if !ok {
		found.fail = p.failPage
	}
	forbidScripts(w.Header(), r.URL.Path)
	open := isOpen(r.URL.Path)
	if reason := p.options.Guard.Refuses(r); reason != "" && !open {
		found.fail(w, r, refuse(http.StatusForbidden, "%s", reason))
		return
	}
	admitted, err := p.admit(w, r, found)
	if err != nil {
		found.fail(w, r, err)
		return
	}
	r = admitted
	if !ok {
		p.failPage(w, r, errNoPage)
		return
	}
	handle := found.methods[r.Method]
	if handle == nil && r.Method == http.MethodHead {
		handle = found.methods[http.MethodGet]
	}
	if handle == nil {
		w.Header().Set("Allow", found.allow())
		if r.Method != http.MethodOptions {
			p.failPage(w, r, errMethod)
		}
		return
	}
	if err := p.checkHops(r); err != nil {
		found.fail(w, r, err)
		return
	}
	if !found.anySize {
		body := p.room.body(r, http.MaxBytesReader(w, r.Body, p.options.MaximumBody))
		defer body.leave()
		r.Body = body
	}
	r.Body = requestBody{r.Body}
	if r.Method == http.MethodPost {
		r = r.WithContext(store.As(r.Context(), p.actorOf(r)))
	}
	if err := handle(w, r); err != nil {
		found.fail(w, r, err)
	}
}

// forbidScripts has browsers run nothing of an answer: it may have the texts of
// anybody, and the type of HTML (PROXY-10). The panel says itself what it needs;
// what /http_proxy fetches isn't displayed.
func forbidScripts(h http.Header, path string) {
	if !strings.HasPrefix(path, "/http_proxy/") {
		h.Set("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
	}
}

// requestBody distinguishes an unreadable body from a failure of ours.
type requestBody struct{ io.ReadCloser }

func (b requestBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = &bodyError{err}
	}
	return n, err
}

// bodyError is why the body of a request can't be read: mostly, its client went
// away in the middle.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return "read the request: " + e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

func (r route) allow() string {
	methods := slices.Collect(maps.Keys(r.methods))
	if _, ok := r.methods[http.MethodGet]; ok {
		methods = append(methods, http.MethodHead)
	}
	methods = append(methods, http.MethodOptions)
	slices.Sort(methods)
	return strings.Join(slices.Compact(methods), ", ")
}

// index sends browsers to the panel.
func (p *Proxy) index(w http.ResponseWriter, r *http.Request) error {
	redirect(w, http.StatusFound, originOf(r).prefix+"/panel/")
	return nil
}

// addSlash sends /panel to /panel/.
func (p *Proxy) addSlash(w http.ResponseWriter, r *http.Request) error {
	target := originOf(r).url(r.URL.EscapedPath() + "/")
	if r.URL.RawQuery != "" {
		target += "?" + r.URL.RawQuery
	}
	redirect(w, http.StatusPermanentRedirect, target)
	return nil
}

func redirect(w http.ResponseWriter, status int, target string) {
	w.Header().Set("Location", target)
	w.Header().Set("Content-Type", contentText)
	w.WriteHeader(status)
}

func (p *Proxy) getRunID(w http.ResponseWriter, _ *http.Request) error {
	return writeText(w, http.StatusOK, p.runID)
}

// origin is how a client reached us: absolute URLs are built from it. One
// level of reverse proxy is trusted (PROXY-7).
type origin struct{ scheme, host, prefix string }

func originOf(r *http.Request) origin {
	o := origin{scheme: "http", host: r.Host, prefix: strings.TrimRight(lastItem(r, "X-Forwarded-Prefix"), "/")}
	if r.TLS != nil {
		o.scheme = "https"
	}
	if scheme := lastItem(r, "X-Forwarded-Proto"); scheme != "" {
		o.scheme = scheme
	}
	return o
}

func lastItem(r *http.Request, header string) string {
	values := r.Header.Values(header)
	if len(values) == 0 {
		return ""
	}
	list := strings.Split(strings.Join(values, ","), ",")
	return strings.TrimSpace(list[len(list)-1])
}

func (o origin) url(path string) string { return o.scheme + "://" + o.host + o.prefix + path }

// quote escapes a part of a path as generated URLs have it.
func quote(text string) string {
	return escape(text, func(i int) bool { return strings.IndexByte("-._~!$&'()*+,/:;=@", text[i]) >= 0 })
}

// escape writes the bytes that are neither letters, digits nor plain as %XX.
func escape(text string, plain func(i int) bool) string {
	var b strings.Builder
	for i, c := range []byte(text) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || plain(i) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
