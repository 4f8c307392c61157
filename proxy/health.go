// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"runtime"
	"sync"
	"time"

	"slapos/proxy/store"
	"slapos/slap/pyjson"
)

// The answer of /readyz serves all who ask within readyLasts: everybody may, and each
// answer takes a turn among those who write.
const (
	readyLasts = time.Second
	readyWait  = 5 * time.Second
)

// Version says which program this is.
type Version struct{ Version, Commit string }

// readiness is the last answer of /readyz.
type readiness struct {
	mutex  sync.Mutex
	asked  time.Time
	reason string
}

// isOpen reports whether everybody may ask for a path, by any name: other masters ask
// whether a URL is theirs, and who looks after the master whether it lives.
func isOpen(path string) bool {
	return path == "/getRunId" || path == "/healthz" || path == "/readyz"
}

// health tells whoever looks after the master that it lives, and nothing else.
func (p *Proxy) health(w http.ResponseWriter, _ *http.Request) error {
	return writeText(w, http.StatusOK, "ok\n")
}

// ready tells whether requests can be served now, and why not (PROXY-200).
func (p *Proxy) ready(w http.ResponseWriter, r *http.Request) error {
	if reason := p.unready(r.Context()); reason != "" {
		return writeText(w, http.StatusServiceUnavailable, "not ready: "+reason+"\n")
	}
	return writeText(w, http.StatusOK, "ok\n")
}

// unready is why requests can't be served, "" if they can. It names no file and no
// server: everybody may ask. The log has the error.
func (p *Proxy) unready(ctx context.Context) string {
	r := &p.readiness
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if !r.asked.IsZero() && time.Since(r.asked) < readyLasts {
		return r.reason
	}
	// Who gives up must not spoil the answer for others.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyWait)
	defer cancel()
	reason, err := "", p.store.Ready(ctx)
	switch {
	case errors.Is(err, store.ErrFull):
		reason = "the disk of the database is full"
	case errors.Is(err, context.DeadlineExceeded):
		reason = "the database is busy, or doesn't answer"
	case err != nil:
		reason = "the database can't be used"
	}
	if reason != r.reason && err != nil {
		p.log.Error("This master isn't ready: "+reason, "error", err)
	}
	r.asked, r.reason = time.Now(), reason
	return reason
}

// version tells which program answers.
func (p *Proxy) version(w http.ResponseWriter, _ *http.Request) error {
	body, err := pyjson.Spaced.Append(nil, pyjson.Of("version", p.versionName(), "commit", p.options.Version.Commit, "go", runtime.Version()))
	if err != nil {
		return err
	}
	writeBytes(w, contentJSON, append(body, '\n'))
	return nil
}

func (p *Proxy) versionName() string { return cmp.Or(p.options.Version.Version, "unknown") }
