package server

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"slapos/networkcache"
)

// Options of a server.
type Options struct {
	Directory string
	// MayUpload decides who may upload; default: [Uploaders.Allow] without
	// tokens.
	MayUpload func(*http.Request) bool
	// MaximumAge and MaximumSize, in bytes, are what [Server.Collect] leaves of
	// the contents; 0: all.
	MaximumAge  time.Duration
	MaximumSize int64
	Logger      *slog.Logger     // default: none
	Now         func() time.Time // default: time.Now
}

// A Server is an http.Handler:
//
//	GET, HEAD  /shacache/cache/SUM   a content, or ranges of it
//	POST       /shacache/cache       stores a content, answers its sum
//	PUT        /shacache/cache/SUM   stores a content, which must have this sum
//	GET, HEAD  /shacache/dir/KEY     the entries of a key
//	PUT        /shacache/dir/KEY     adds an entry
//	POST       /shacache/update      forgets entries whose content is gone
//	GET        /metrics              counts, for Prometheus
type Server struct {
	options Options
	blobs   blobs
	index   *index
	counts  *counts
	mux     *http.ServeMux
}

// New makes the directories that are missing.
func New(options Options) (*Server, error) {
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.MayUpload == nil {
		options.MayUpload = Uploaders{}.Allow
	}
	s := &Server{
		options: options,
		blobs:   blobs{directory: filepath.Join(options.Directory, "cache"), now: options.Now},
		index:   &index{directory: filepath.Join(options.Directory, "dir"), temporary: filepath.Join(options.Directory, "new")},
		mux:     http.NewServeMux(),
	}
	for _, directory := range []string{s.blobs.directory, s.index.directory, s.index.temporary} {
		if err := os.MkdirAll(directory, 0o755); err != nil {
			return nil, fmt.Errorf("network cache: %w", err)
		}
	}
	s.counts = newCounts(s.blobs)
	s.handle("GET /shacache/cache/{sum}", s.getContent)
	s.handle("POST /shacache/cache", s.uploading(s.postContent))
	s.handle("POST /shacache/cache/{$}", s.uploading(s.postContent))
	s.handle("PUT /shacache/cache/{sum}", s.uploading(s.putContent))
	s.handle("GET /shacache/dir/{key}", s.getEntries)
	s.handle("PUT /shacache/dir/{key}", s.uploading(s.putEntry))
	s.handle("POST /shacache/update", s.uploading(s.update))
	s.mux.Handle("GET /metrics", promhttp.HandlerFor(s.counts.registry, promhttp.HandlerOpts{}))
	return s, nil
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// A handler answers, or returns what is wrong.
type handler func(http.ResponseWriter, *http.Request) error

// A refusal is an error that is told to the client.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

func (s *Server) handle(pattern string, h handler) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		counted := s.counts.begin(w, r)
		defer counted.end(pattern)
		if err := h(counted, r); err != nil {
			s.refuse(counted, r, err)
		}
	})
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var told *refusal
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &told):
	case errors.As(err, &tooLarge):
		told = &refusal{http.StatusRequestEntityTooLarge, "Too large"}
	case errors.Is(err, fs.ErrNotExist):
		told = &refusal{http.StatusNotFound, "Not found"}
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		s.options.Logger.Error("No space left", "path", r.URL.Path, "error", err)
		told = &refusal{http.StatusInsufficientStorage, "No space left"}
	case r.Context().Err() != nil, errors.Is(err, io.ErrUnexpectedEOF):
		s.options.Logger.Debug("Client gone", "path", r.URL.Path, "error", err)
		told = &refusal{http.StatusBadRequest, "Cut off"}
	default:
		s.options.Logger.Error("Request failed", "path", r.URL.Path, "error", err)
		told = &refusal{http.StatusInternalServerError, "Internal error"}
	}
	http.Error(w, told.text, told.status)
}

// uploading refuses those who may not.
func (s *Server) uploading(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if !s.options.MayUpload(r) {
			w.Header().Set("WWW-Authenticate", `Basic realm="upload"`)
			return &refusal{http.StatusUnauthorized, "Uploads need a client certificate or a token"}
		}
		return h(w, r)
	}
}

func (s *Server) getContent(w http.ResponseWriter, r *http.Request) error {
	file, info, err := s.blobs.open(r.PathValue("sum"))
	if err != nil {
		return err
	}
	defer file.Close()
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", "attachment; filename="+info.Name())
	h.Set("Etag", `"`+info.Name()+`"`)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, "", time.Time{}, file)
	return nil
}

func (s *Server) postContent(w http.ResponseWriter, r *http.Request) error {
	return s.storeContent(w, r, "")
}

func (s *Server) putContent(w http.ResponseWriter, r *http.Request) error {
	sum := r.PathValue("sum")
	if !isSum(sum) {
		return &refusal{http.StatusBadRequest, "Checksum mismatch"}
	}
	return s.storeContent(w, r, sum)
}

func (s *Server) storeContent(w http.ResponseWriter, r *http.Request, expected string) error {
	sum, err := s.blobs.store(r.Body, expected)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, sum) // the client may be gone
	return nil
}

// Bounds of an entry and of all of a key, in bytes.
const (
	maximumEntry   = 1 << 20
	maximumEntries = 16 << 20
)

func (s *Server) getEntries(w http.ResponseWriter, r *http.Request) error {
	text, err := s.index.read(r.PathValue("key"))
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
	if _, err := networkcache.ParseEntry(text); err != nil {
		return &refusal{http.StatusBadRequest, "Invalid entry format"}
	}
	if err := s.index.add(r.PathValue("key"), text); err != nil {
		return err
	}
	w.WriteHeader(http.StatusCreated)
	return nil
}

var sumPattern = regexp.MustCompile(`^[0-9a-f]{128}$`)

func isSum(name string) bool { return sumPattern.MatchString(name) }
