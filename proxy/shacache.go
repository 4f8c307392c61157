// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"slapos/networkcache/server"

	"slapos/slap/pyjson"
)

// Shacache is a cache of software (PROXY-150). Neither signatures nor clients
// are checked: whoever downloads from here checks the files.
type Shacache struct {
	// Store keeps the files; without contents or entries there is no cache. Its
	// owner closes it.
	Store server.Store
	// UpstreamCache and UpstreamDirectory are asked for missing files.
	UpstreamCache     string
	UpstreamDirectory string
}

func (s Shacache) hasUpstream() bool { return s.UpstreamCache != "" || s.UpstreamDirectory != "" }

func (p *Proxy) shacacheMethods() map[string]handler {
	return map[string]handler{http.MethodGet: p.shacache, http.MethodPost: p.shacache, http.MethodPut: p.shacache}
}

// shacache tells the entry points below /shacache/ apart.
func (p *Proxy) shacache(w http.ResponseWriter, r *http.Request) error {
	path := strings.TrimPrefix(r.URL.Path, "/shacache/")
	kind, name, below := strings.Cut(path, "/")
	if name != "" && (name == "." || strings.Contains(name, "/") || !filepath.IsLocal(name) || strings.ContainsRune(name, 0)) {
		return errNoPage
	}
	type entry struct {
		kind  string
		named bool
	}
	methods := map[entry]map[string]handler{
		{"cache", true}:   {http.MethodGet: p.cacheGet(name), http.MethodPut: p.cachePut(name)},
		{"cache", false}:  {http.MethodPost: p.cachePut("")},
		{"dir", true}:     {http.MethodGet: p.dirGet(name), http.MethodPut: p.dirPut(name)},
		{"update", false}: {http.MethodPost: p.cacheUpdate},
	}[entry{kind, name != ""}]
	if methods == nil || kind == "update" && below {
		return errNoPage
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	handle := methods[method]
	if handle == nil {
		w.Header().Set("Allow", route{methods: methods}.allow())
		return errMethod
	}
	if kept := p.options.Shacache.Store; kept.Contents == nil || kept.Entries == nil {
		return refuse(http.StatusServiceUnavailable, "Shacache not configured")
	}
	err := handle(w, r)
	var refusal *server.Refusal
	if errors.As(err, &refusal) {
		return refuse(refusal.Status, "%s", refusal.Text)
	}
	return err
}

// cacheGet serves a content, from upstream when it is not here (PROXY-151).
func (p *Proxy) cacheGet(sum string) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		contents := p.options.Shacache.Store.Contents
		content, err := contents.Open(r.Context(), sum)
		if errors.Is(err, fs.ErrNotExist) && p.options.Shacache.hasUpstream() {
			if err := p.fetchContent(r, sum); err != nil {
				return err
			}
			content, err = contents.Open(r.Context(), sum)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return errNoPage
		}
		if err != nil {
			return err
		}
		defer content.Close()
		describeAttachment(w, "application/octet-stream", sum)
		w.Header().Set("Etag", `"`+sum+`"`)
		http.ServeContent(w, r, "", time.Time{}, content)
		return nil
	}
}

// cachePut stores a content under its sum, which must be the expected one
// unless that is empty (PROXY-152, PROXY-153).
func (p *Proxy) cachePut(expected string) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		sum, err := p.options.Shacache.Store.Contents.Store(r.Context(), r.Body, expected)
		if err != nil {
			return err
		}
		return writeText(w, http.StatusCreated, sum)
	}
}

func (p *Proxy) fetchContent(r *http.Request, sum string) error {
	p.log.Info("Fetching from upstream", "sha512", sum)
	answer, err := p.upstream(r, p.options.Shacache.UpstreamCache, sum)
	if err != nil {
		return err
	}
	defer answer.Close()
	_, err = p.options.Shacache.Store.Contents.Store(r.Context(), answer, sum)
	if errors.Is(err, server.ErrChecksum) {
		err = errors.New("invalid checksum")
	}
	if err != nil {
		p.log.Warn("Failed to fetch from upstream", "sha512", sum, "error", err)
		return refuse(http.StatusBadGateway, "Upstream error: %s", err)
	}
	return nil
}

// upstream asks for an entry there; failures are worded for clients
// (PROXY-157).
func (p *Proxy) upstream(r *http.Request, base, name string) (io.ReadCloser, error) {
	ask, err := http.NewRequestWithContext(r.Context(), http.MethodGet, strings.TrimRight(base, "/")+"/"+url.PathEscape(name), nil)
	if err != nil {
		return nil, refuse(http.StatusBadGateway, "Upstream error: %s", err)
	}
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		p.log.Warn("Failed to fetch from upstream", "name", name, "error", err)
		return nil, refuse(http.StatusBadGateway, "Upstream error: %s", err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	answer.Body.Close()
	if answer.StatusCode == http.StatusNotFound {
		return nil, errNoPage
	}
	p.log.Warn("Upstream refused", "name", name, "status", answer.StatusCode)
	return nil, refuse(http.StatusBadGateway, "Upstream returned %d", answer.StatusCode)
}

// dirGet serves the entries of a key (PROXY-154).
func (p *Proxy) dirGet(key string) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		text, err := p.options.Shacache.Store.Entries.Read(r.Context(), key)
		if err == nil {
			writeBytes(w, contentText, text)
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if !p.options.Shacache.hasUpstream() {
			return errNoPage
		}
		value, err := p.fetchEntries(r, key)
		if err != nil {
			return err
		}
		if _, ok := value.([]any); ok {
			if err := p.storeEntries(r.Context(), key, value); err != nil {
				return err
			}
		}
		body, err := pyjson.Spaced.Append(nil, value)
		if err != nil {
			return err
		}
		writeBytes(w, contentJSON, body)
		return nil
	}
}

// maximumEntries bounds the entries of a key, in bytes.
const maximumEntries = 16 << 20

func (p *Proxy) fetchEntries(r *http.Request, key string) (any, error) {
	p.log.Info("Fetching dir from upstream", "key", key)
	answer, err := p.upstream(r, p.options.Shacache.UpstreamDirectory, key)
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	value, err := readJSON(io.LimitReader(answer, maximumEntries))
	if err != nil {
		return nil, refuse(http.StatusBadGateway, "Upstream error: %s", err)
	}
	return value, nil
}

func (p *Proxy) storeEntries(ctx context.Context, key string, entries any) error {
	text, err := pyjson.Spaced.Append(nil, entries)
	if err != nil {
		return err
	}
	return p.options.Shacache.Store.Entries.Replace(ctx, key, text)
}

// dirPut replaces the entries of a key by one (PROXY-155).
func (p *Proxy) dirPut(key string) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		body := p.room.body(r, http.MaxBytesReader(w, r.Body, maximumEntries))
		defer body.leave()
		r.Body = body
		value, err := rpcInput(r)
		if err != nil {
			return err
		}
		if !isEntry(value) {
			return refuse(http.StatusBadRequest, "Invalid entry format")
		}
		if err := p.storeEntries(r.Context(), key, []any{value}); err != nil {
			return err
		}
		return writeText(w, http.StatusCreated, "")
	}
}

// isEntry reports whether a value is a list of two texts: clients understand
// nothing else.
func isEntry(value any) bool {
	pair, isList := value.([]any)
	if !isList || len(pair) != 2 {
		return false
	}
	_, hasContent := pair[0].(string)
	_, hasSignature := pair[1].(string)
	return hasContent && hasSignature
}

// cacheUpdate brings the entries in line with upstream or, without one, with
// the contents that are here (PROXY-158).
func (p *Proxy) cacheUpdate(w http.ResponseWriter, r *http.Request) error {
	var removed, updated []string
	var err error
	if p.options.Shacache.hasUpstream() {
		removed, updated, err = p.refreshAll(r)
	} else {
		removed, err = p.options.Shacache.Store.ForgetMissing(r.Context())
	}
	if err != nil {
		return err
	}
	body, err := pyjson.Spaced.Append(nil, pyjson.Of("removed", anyList(removed), "updated", anyList(updated)))
	if err != nil {
		return err
	}
	writeBytes(w, contentJSON, body)
	return nil
}

func anyList(texts []string) []any {
	list := make([]any, len(texts))
	for i, text := range texts {
		list[i] = text
	}
	return list
}

// refreshAll fetches the entries of all keys again.
func (p *Proxy) refreshAll(r *http.Request) (removed, updated []string, err error) {
	keys, err := p.options.Shacache.Store.Entries.Keys(r.Context())
	if err != nil {
		return nil, nil, err
	}
	for _, key := range keys {
		switch found, err := p.refreshEntries(r, key); {
		case err != nil:
			p.log.Warn("Failed to update entries", "key", key, "error", err)
		case found:
			updated = append(updated, key)
		default:
			removed = append(removed, key)
		}
	}
	return removed, updated, nil
}

// refreshEntries fetches the entries of a key again, and forgets them when
// there are none any more.
func (p *Proxy) refreshEntries(r *http.Request, key string) (found bool, err error) {
	value, err := p.fetchEntries(r, key)
	if err != nil && !errors.Is(err, errNoPage) {
		return false, err
	}
	if entries, ok := value.([]any); ok && len(entries) > 0 {
		return true, p.storeEntries(r.Context(), key, entries)
	}
	return false, p.options.Shacache.Store.Entries.Remove(r.Context(), key)
}

// describeAttachment tells the client to save the answer.
func describeAttachment(w http.ResponseWriter, kind, name string) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	h.Set("Cache-Control", "no-cache")
}

// serveAttachment serves a file to be saved, with ranges and conditions.
func serveAttachment(w http.ResponseWriter, r *http.Request, kind string, info fs.FileInfo, content io.ReadSeeker) {
	describeAttachment(w, kind, info.Name())
	w.Header().Set("Etag", fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size()))
	http.ServeContent(w, r, "", info.ModTime(), content)
}
