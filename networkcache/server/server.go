// SPDX-License-Identifier: GPL-3.0-or-later

package server

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"slapos/networkcache"
)

// Options configure a server.
type Options struct {
	// Store is what the server serves. Its owner closes it.
	Store Store
	// MayUpload decides who may upload; default: [Uploaders.Allow] without
	// tokens.
	MayUpload func(*http.Request) bool
	// Origin stands behind the store; default: none.
	Origin Origin
	// Page adds a page for browsers, which tells everybody what is stored.
	Page bool
	// Signers are certificates whose names the page shows at what they signed.
	Signers networkcache.Certificates
}

// An Origin brings what the store hasn't got, and takes what is uploaded in its
// place. The error [Refusal] is for the client. header is that of the answer.
type Origin interface {
	// Content opens a content that the store hasn't got.
	Content(r *http.Request, header http.Header, sum string) (io.ReadSeekCloser, error)
	// Entries are those of a key, as [Index.Read] returns them.
	Entries(r *http.Request, header http.Header, key string) ([]byte, error)
	// PutContent takes the body of a request, as [Blobs.Store] does.
	PutContent(r *http.Request, expected string) (sum string, err error)
	// PutEntry adds an entry to those of a key.
	PutEntry(r *http.Request, key string, entry []byte) error
	// Expire makes it ask for all entries again, when they are needed.
	Expire()
	// Collector are its numbers for /metrics.
	prometheus.Collector
}

// A Server is an http.Handler:
//
//	GET, HEAD  /shacache/cache/SUM   a content, or ranges of it
//	OPTIONS    /shacache/cache       tells that contents of any length are taken
//	POST       /shacache/cache       stores a content, answers its sum
//	PUT        /shacache/cache/SUM   stores a content, which must have this sum
//	GET, HEAD  /shacache/dir/KEY     the entries of a key
//	PUT        /shacache/dir/KEY     adds an entry
//	POST       /shacache/update      forgets entries whose content is gone
//	GET        /metrics              counts, for Prometheus
//	GET        /                     what is stored, for browsers
type Server struct {
	options Options
	store   *Store
	counts  *counts
	mux     *http.ServeMux
	hits    hits
	shelf   catalogue
}

// New makes a server.
func New(options Options) *Server {
	options.Store.Complete()
	if options.MayUpload == nil {
		options.MayUpload = Uploaders{}.Allow
	}
	s := &Server{options: options, store: &options.Store, mux: http.NewServeMux(), counts: newCounts(options.Store.Contents)}
	if options.Origin != nil {
		s.counts.registry.MustRegister(options.Origin)
	}
	s.handle("GET /shacache/cache/{sum}", s.getContent)
	s.handle("OPTIONS /shacache/cache", s.answerOptions)
	s.handle("POST /shacache/cache", s.uploading(s.postContent))
	s.handle("POST /shacache/cache/{$}", s.uploading(s.postContent))
	s.handle("PUT /shacache/cache/{sum}", s.uploading(s.putContent))
	s.handle("GET /shacache/dir/{key}", s.getEntries)
	s.handle("PUT /shacache/dir/{key}", s.uploading(s.putEntry))
	s.handle("POST /shacache/update", s.uploading(s.update))
	if options.Page {
		s.handle("GET /{$}", s.page)
		s.handle("GET /style.css", s.style)
	}
	s.mux.Handle("GET /metrics", promhttp.HandlerFor(s.counts.registry, promhttp.HandlerOpts{}))
	return s
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// A handler answers, or returns an error to answer with.
type handler func(http.ResponseWriter, *http.Request) error

// A Refusal is an error that the client sees.
type Refusal struct {
	Status int
	Text   string
}

func (r *Refusal) Error() string { return r.Text }

func (s *Server) handle(pattern string, h handler) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		counted := s.counts.begin(w, r)
		defer counted.end(pattern)
		if err := h(counted, r); err != nil {
			s.refuse(counted, r, err)
		}
	})
}

func (s *Server) refuse(w *countedAnswer, r *http.Request, err error) {
	var refusal *Refusal
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &refusal):
	case errors.As(err, &tooLarge):
		refusal = &Refusal{http.StatusRequestEntityTooLarge, "Too large"}
	case errors.Is(err, fs.ErrNotExist):
		refusal = &Refusal{http.StatusNotFound, "Not found"}
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		s.store.Logger.Error("No space left", "path", r.URL.Path, "error", err)
		refusal = &Refusal{http.StatusInsufficientStorage, "No space left"}
	case r.Context().Err() != nil, w.body.failed != nil:
		s.store.Logger.Debug("Client gone", "path", r.URL.Path, "error", err)
		refusal = &Refusal{http.StatusBadRequest, "Cut off"}
	default:
		s.store.Logger.Error("Request failed", "path", r.URL.Path, "error", err)
		refusal = &Refusal{http.StatusInternalServerError, "Internal error"}
	}
	http.Error(w, refusal.Text, refusal.Status)
}

// uploading refuses clients that may not upload.
func (s *Server) uploading(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if !s.options.MayUpload(r) {
			w.Header().Set("WWW-Authenticate", `Basic realm="upload"`)
			return &Refusal{http.StatusUnauthorized, "Uploads need a client certificate or a token"}
		}
		return h(w, r)
	}
}

func (s *Server) getContent(w http.ResponseWriter, r *http.Request) error {
	sum := r.PathValue("sum")
	content, err := s.store.Contents.Open(r.Context(), sum)
	h := w.Header()
	if errors.Is(err, fs.ErrNotExist) && s.options.Origin != nil {
		content, err = s.options.Origin.Content(r, h, sum)
		w = promptAnswer{w}
	}
	if err != nil {
		return err
	}
	defer content.Close()
	if s.options.Page && r.Method == http.MethodGet {
		s.hits.count(sum)
	}
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", "attachment; filename="+sum)
	h.Set("Etag", `"`+sum+`"`)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, "", time.Time{}, content)
	return nil
}

// A promptAnswer sends its head at once: the body may take long.
type promptAnswer struct{ http.ResponseWriter }

func (a promptAnswer) WriteHeader(status int) {
	a.ResponseWriter.WriteHeader(status)
	_ = http.NewResponseController(a.ResponseWriter).Flush() // not all writers in tests support it
}

func (a promptAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// answerOptions says that clients may send bodies of unknown length.
func (s *Server) answerOptions(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Allow", "OPTIONS, POST")
	w.Header().Set(networkcache.StreamHeader, "chunked")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) postContent(w http.ResponseWriter, r *http.Request) error {
	return s.storeContent(w, r, "")
}

func (s *Server) putContent(w http.ResponseWriter, r *http.Request) error {
	sum := r.PathValue("sum")
	if !IsSum(sum) {
		return ErrChecksum
	}
	return s.storeContent(w, r, sum)
}

func (s *Server) storeContent(w http.ResponseWriter, r *http.Request, expected string) error {
	var sum string
	var err error
	if s.options.Origin != nil {
		sum, err = s.options.Origin.PutContent(r, expected)
	} else {
		sum, err = s.store.Contents.Store(r.Context(), r.Body, expected)
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, sum) // the client may be gone
	return nil
}

// maximumEntry bounds an entry, in bytes.
const maximumEntry = 1 << 20

func (s *Server) getEntries(w http.ResponseWriter, r *http.Request) error {
	var text []byte
	var err error
	if key := r.PathValue("key"); s.options.Origin != nil {
		text, err = s.options.Origin.Entries(r, w.Header(), key)
	} else {
		text, err = s.store.Entries.Read(r.Context(), key)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fs.ErrNotExist // also for impossible keys
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(text) // the client may be gone
	return nil
}

func (s *Server) putEntry(w http.ResponseWriter, r *http.Request) error {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maximumEntry))
	if err != nil {
		return err
	}
	if _, err := networkcache.ParseEntry(text); err != nil || !utf8.Valid(text) {
		return &Refusal{http.StatusBadRequest, "Invalid entry format"}
	}
	if key := r.PathValue("key"); s.options.Origin != nil {
		err = s.options.Origin.PutEntry(r, key, text)
	} else {
		err = s.store.Entries.Add(r.Context(), key, text, uploaderOf(r))
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusCreated)
	return nil
}
