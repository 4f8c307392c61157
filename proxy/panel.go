// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"errors"
	"mime"
	"net/http"
	"os"
	"path"
	"strings"

	"slapos/proxy/panel"
	"slapos/proxy/store"
	"slapos/slap"
)

// newPanel makes the pages for browsers, which act by the rules of the other
// faces.
func (p *Proxy) newPanel() *panel.Panel {
	return panel.New(panel.Options{
		Store: p.store, Computer: p.options.Computer,
		Request: func(r *http.Request, order store.Order) (slap.PartitionID, error) {
			result, err := p.request(r, order)
			if err != nil {
				return slap.PartitionID{}, answerFor(err)
			}
			if result.partition != nil {
				return slap.PartitionID{Computer: result.partition.Computer, Partition: result.partition.Reference}, nil
			}
			return result.instance.Partition.ID, nil
		},
	})
}

// servePanel serves the pages for browsers and the public directory (D-17,
// PROXY-140, PROXY-141).
func (p *Proxy) servePanel(w http.ResponseWriter, r *http.Request) error {
	name := strings.TrimPrefix(r.URL.Path, "/panel/")
	if public, ok := strings.CutPrefix(name, "public/"); ok {
		if r.Method == http.MethodPost {
			return wrongMethod(w, http.MethodGet)
		}
		return p.public(w, r, public)
	}
	// This must be the outermost limit, or package http applies its own.
	r.Body = http.MaxBytesReader(w, r.Body, p.options.MaximumBody)
	err := p.panel.Serve(w, r, name)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, panel.ErrNoPage):
		err = errNoPage
	case errors.Is(err, panel.ErrMethod) && r.Method == http.MethodPost:
		err = wrongMethod(w, http.MethodGet)
	case errors.Is(err, panel.ErrMethod):
		err = wrongMethod(w, http.MethodPost)
	}
	status, expected := asStatus(err)
	if !expected {
		p.complain(r, err)
	}
	return p.panel.Fail(w, r, status.status, status.message)
}

// wrongMethod refuses a request for what has one method only.
func wrongMethod(w http.ResponseWriter, method string) error {
	w.Header().Set("Allow", route{methods: map[string]handler{method: nil}}.allow())
	return errMethod
}

// public serves a file of the public directory, never of elsewhere: not even
// through a symbolic link (PROXY-141).
func (p *Proxy) public(w http.ResponseWriter, r *http.Request, name string) error {
	if p.options.PublicDirectory == "" {
		return refuse(http.StatusForbidden, "The public directory path is not configured.")
	}
	root, err := os.OpenRoot(p.options.PublicDirectory)
	if err != nil {
		return errNoPage
	}
	defer root.Close()
	file, err := root.Open(name)
	if err != nil {
		return errNoPage
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return errNoPage
	}
	kind := mime.TypeByExtension(path.Ext(name))
	if kind == "" {
		kind = "application/octet-stream"
	}
	serveAttachment(w, r, kind, info, file)
	return nil
}
