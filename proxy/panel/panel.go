// SPDX-License-Identifier: GPL-3.0-or-later

// Package panel is the page for people: what a local master knows, and forms
// to change it. It is HTML made on the server; a script only asks for a page
// again while one types or when something happened.
//
// All pages lie side by side, and links and redirects are relative, so that it
// works behind any prefix. Like the other faces of the master it translates
// operations of the store and has no rules of its own; whether a request comes
// from another site was checked before.
package panel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"slapos/proxy/store"
	"slapos/slap"
)

//go:embed pages static
var files embed.FS

// ErrNoPage says that there is no page with that name, or that its subject
// doesn't exist.
var ErrNoPage = errors.New("no such page")

// ErrMethod says that a page can't be asked for by that method.
var ErrMethod = errors.New("wrong method")

// Options are what the panel shows and acts through.
type Options struct {
	Store store.Store
	// Computer is the default computer.
	Computer string
	// Request requests an instance and returns where it is, by the rules for
	// all requests, including forwarding.
	Request func(r *http.Request, order store.Order) (slap.PartitionID, error)
}

// Panel serves the pages.
type Panel struct {
	options Options
	store   store.Store
	pages   map[string]page
	styles  fs.FS
	since   time.Time // when the style and the script may have changed
	html    map[string]*template.Template
	live    *live
}

// page is what a name answers to each method; nil for what it doesn't.
type page struct{ get, post handler }

type handler func(w http.ResponseWriter, r *http.Request) error

// New makes the panel.
func New(options Options) *Panel {
	p := &Panel{options: options, store: options.Store, html: parsePages(), since: time.Now(),
		live: newLive(options.Store)}
	p.styles, _ = fs.Sub(files, "static")
	p.pages = map[string]page{
		"":          {get: p.overview},
		"nodes":     {get: p.nodes},
		"node":      {get: p.node},
		"computer":  {get: p.oldNode},
		"instances": {get: p.instances},
		"instance":  {get: p.instance},
		"software":  {get: p.software},
		"release":   {get: p.release},
		"log":       {get: p.log},
		"history":   {get: p.history},
		"events":    {get: p.stream},
		"supply":    {get: p.supplyForm, post: p.supply},
		"remove":    {get: p.removeForm, post: p.remove},
		"request":   {get: p.requestForm, post: p.request},
		"state":     {post: p.state},
		"bulk":      {post: p.bulk},
		"destroy":   {get: p.destroyForm, post: p.destroy},
	}
	return p
}

// Serve answers a request for the page or file of that name, "" for the first
// page.
func (p *Panel) Serve(w http.ResponseWriter, r *http.Request, name string) error {
	found, ok := p.pages[name]
	if !ok {
		return p.file(w, r, name)
	}
	handle := found.get
	if r.Method == http.MethodPost {
		handle = found.post
	}
	if handle == nil {
		return ErrMethod
	}
	if name != "events" {
		// Before the page reads anything: what happens meanwhile is told once it is there.
		last, err := p.store.LastEvent(r.Context())
		if err != nil {
			return err
		}
		r = r.WithContext(context.WithValue(r.Context(), lastEvent{}, last))
	}
	return handle(w, r)
}

// lastEvent is the key of the newest event before a page was made.
type lastEvent struct{}

// file serves the style and the script (PROXY-140).
func (p *Panel) file(w http.ResponseWriter, r *http.Request, name string) error {
	data, err := fs.ReadFile(p.styles, name)
	if err != nil {
		return ErrNoPage
	}
	if r.Method == http.MethodPost {
		return ErrMethod
	}
	sum := sha256.Sum256(data)
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Disposition", "inline; filename="+name)
	h.Set("Etag", `"`+hex.EncodeToString(sum[:8])+`"`)
	http.ServeContent(w, r, name, p.since, bytes.NewReader(data))
	return nil
}

// parsePages reads the templates: each page with the frame around it.
func parsePages() map[string]*template.Template {
	frame := template.Must(template.New("").Funcs(template.FuncMap{
		"time": formatTime, "plural": plural, "isLink": isLink, "ago": ago, "word": word,
		"line":   instanceNeeds,
		"column": columnOf, "value": func(name store.Name) string { return query(name).Encode() }, "eventName": eventName,
		// It is encoded: a template would do so once more.
		"query": func(name store.Name) template.URL { return template.URL(query(name).Encode()) }, //nolint:gosec // as said
	}).ParseFS(files, "pages/frame.html", "pages/parts.html"))
	pages := map[string]*template.Template{}
	names, _ := fs.Glob(files, "pages/*.html")
	for _, name := range names {
		pages[path.Base(name)] = template.Must(template.Must(frame.Clone()).ParseFS(files, name))
	}
	return pages
}

// view is what the frame shows around a page.
type view struct {
	// Title names the page, Done what was just done, Problem why it wasn't.
	Title   string
	Section string // of the navigation
	Done    string
	Problem string
	Page    any
	Event   int64 // the newest that it knows of
}

// done are the messages after a redirect, by the value of "done".
var done = map[string]string{
	"requested": "Instance requested.",
	"forwarded": "The request was forwarded to another master.",
	"started":   "Start requested.",
	"stopped":   "Stop requested.",
	"destroyed": "Destruction requested. The node will free its partition.",
	"supplied":  "Installation requested.",
	"removed":   "Removal requested.",

	"bulk-started":   "Start requested for the chosen instances.",
	"bulk-stopped":   "Stop requested for the chosen instances.",
	"bulk-destroyed": "Destruction requested for the chosen instances. Their nodes will free the partitions.",
}

// show answers with a page.
func (p *Panel) show(w http.ResponseWriter, r *http.Request, status int, name string, v view) error {
	if v.Done == "" && status == http.StatusOK {
		v.Done = done[r.URL.Query().Get("done")]
	}
	v.Event, _ = r.Context().Value(lastEvent{}).(int64) // none where nothing is live
	var text bytes.Buffer
	if err := p.html[name].ExecuteTemplate(&text, "frame.html", v); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(text.Len()))
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy",
		"default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	// Not "no-referrer": a browser would no longer say where a form comes from.
	h.Set("Referrer-Policy", "same-origin")
	w.WriteHeader(status)
	_, _ = w.Write(text.Bytes()) // a client that went away needs no answer
	return nil
}

// errorPage is what went wrong, in the frame of all pages.
type errorPage struct {
	Message string
	Missing bool
}

// Fail answers with an error, and a way back.
func (p *Panel) Fail(w http.ResponseWriter, r *http.Request, status int, message string) error {
	title := http.StatusText(status)
	switch status {
	case http.StatusNotFound:
		title, message = "Nothing here", "There is no such page, or what it was about is gone."
	case http.StatusMethodNotAllowed:
		title, message = "Not possible", "This page can't be asked for in this way."
	case http.StatusInternalServerError:
		title, message = "The master failed", "It couldn't answer; its log says why. Try again."
	}
	return p.show(w, r, status, "error.html", view{Title: title, Page: errorPage{message, status == http.StatusNotFound}})
}

// goTo sends the browser to a page after a change, to be told what was done.
func goTo(w http.ResponseWriter, name string, values url.Values, what string) error {
	values.Set("done", what)
	w.Header().Set("Location", name+"?"+values.Encode())
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// fieldsIn reads the fields of a form; text in it is valid.
func fieldsIn(r *http.Request) (url.Values, error) {
	if err := r.ParseForm(); err != nil {
		return nil, err
	}
	form := url.Values{}
	for name, values := range r.PostForm {
		name = strings.ToValidUTF8(name, "\uFFFD")
		for _, value := range values {
			form.Add(name, strings.ToValidUTF8(value, "\uFFFD"))
		}
	}
	return form, nil
}

// nameOf is the instance that a query or form is about.
func nameOf(values url.Values) store.Name {
	return store.Name{Title: values.Get("title"), Root: values.Get("root"), Shared: values.Get("shared") != ""}
}

// query is the opposite of nameOf.
func query(name store.Name) url.Values {
	values := url.Values{"title": {name.Title}}
	if name.Root != "" {
		values.Set("root", name.Root)
	}
	if name.Shared {
		values.Set("shared", "1")
	}
	return values
}

// missing turns what the store doesn't know into a page that isn't there.
func missing(err error) error {
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrNoHost) {
		return ErrNoPage
	}
	return err
}
