// SPDX-License-Identifier: GPL-3.0-or-later

package server

import (
	"bytes"
	"crypto/md5"
	_ "embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"slapos/networkcache"
)

// The page at / needs no script, and browsers run none there (NC-102).

//go:embed page.html
var pageText string

//go:embed style.css
var styleText []byte

var pageTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("page").Funcs(template.FuncMap{"size": sizeText, "time": timeText, "path": url.PathEscape}).Parse(pageText))
})

// A shelf is what the page shows.
type shelf struct {
	Contents, Keys int
	Bytes, Hits    int64
	Near           bool // a cache stands behind this one
	Query          string
	Found          []foundEntry
	Newest         []shownContent
	Content        *shownContent // for a sum
	Missing        bool          // it isn't here
}

type shownContent struct {
	Sum          string
	Size, Hits   int64
	Stored, Used time.Time
	Names        []string
}

type foundEntry struct {
	Key, Name, Platform, Sum, Signer string
	Dated                            time.Time
	Size                             int64
	Missing                          bool
}

const pagePolicy = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func (s *Server) page(w http.ResponseWriter, r *http.Request) error {
	l, err := s.shelf.look(r.Context(), s.store)
	if err != nil {
		return err
	}
	shown := shelf{
		Contents: len(l.blobs), Keys: l.count, Bytes: l.bytes, Hits: s.hits.all(), Near: s.options.Origin != nil,
		Query: strings.TrimSpace(r.URL.Query().Get("q")),
	}
	switch {
	case shown.Query == "":
		for _, blob := range l.newest {
			shown.Newest = append(shown.Newest, s.shown(r, l, blob))
		}
	case IsSum(strings.ToLower(shown.Query)):
		sum := strings.ToLower(shown.Query)
		shown.Found = s.find(r, l, l.keys[sum], sum)
		if blob, found := l.blobs[sum]; found {
			content := s.shown(r, l, blob)
			shown.Content = &content
		} else {
			shown.Missing = true
		}
	default:
		shown.Found = s.find(r, l, keysOf(shown.Query), "")
	}
	var text bytes.Buffer
	if err := pageTemplate().Execute(&text, shown); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(text.Bytes()) // the client may be gone
	return nil
}

func (s *Server) style(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(styleText)
	return nil
}

// keysOf are the keys that people may mean: a key, the URL of a release, of
// its variant with shared parts, of a file, or the path of a shared part.
func keysOf(query string) []string {
	sum := md5.Sum([]byte(query))
	digits := hex.EncodeToString(sum[:])
	return []string{
		query, digits, networkcache.SharedReleaseKey(digits), "file-urlmd5:" + digits, networkcache.PartKey(query),
		networkcache.SharedReleaseKey(query), "file-urlmd5:" + query,
	}
}

// maximumShown bounds the entries on a page, and the names of a content.
const maximumShown = 200

// find lists the entries of keys, only those about a sum unless that is "".
func (s *Server) find(r *http.Request, l *listing, keys []string, sum string) (found []foundEntry) {
	for _, key := range keys {
		for _, entry := range readEntries(r.Context(), s.store, key) {
			of := entry.SHA512()
			if sum != "" && sum != of || len(found) == maximumShown {
				continue
			}
			a := aboutOf(entry)
			date, _ := entry.Date()
			blob, isHere := l.blobs[of]
			found = append(found, foundEntry{
				Key: key, Name: withoutPassword(a.name()), Platform: a.platform(), Sum: of, Signer: s.signer(entry),
				Dated: date, Size: blob.Size, Missing: !isHere,
			})
		}
	}
	return found
}

func (s *Server) shown(r *http.Request, l *listing, blob Blob) shownContent {
	c := shownContent{Sum: blob.Sum, Size: blob.Size, Hits: s.hits.read(blob.Sum), Stored: blob.Stored, Used: blob.Used}
	for _, key := range l.keys[blob.Sum] {
		for _, entry := range readEntries(r.Context(), s.store, key) {
			name := withoutPassword(aboutOf(entry).name())
			if name == "" {
				name = key
			}
			if entry.SHA512() == blob.Sum && !slices.Contains(c.Names, name) && len(c.Names) < 5 {
				c.Names = append(c.Names, name)
			}
		}
	}
	return c
}

// signer names who signed an entry, as far as this server knows.
func (s *Server) signer(entry networkcache.Entry) string {
	if entry.Signature == "" {
		return "nobody"
	}
	certificate := s.options.Signers.SignerOf(entry)
	if certificate == nil {
		return "unknown"
	}
	if name := certificate.Subject.CommonName; name != "" {
		return name
	}
	return "certificate without name"
}

// withoutPassword is a URL as everybody may see it.
func withoutPassword(name string) string {
	parsed, err := url.Parse(name)
	if err != nil || parsed.User == nil {
		return name
	}
	parsed.User = nil
	return parsed.String()
}

func sizeText(size int64) string {
	number, unit := float64(size), "bytes"
	for _, next := range []string{"KB", "MB", "GB", "TB"} {
		if number < 1000 {
			break
		}
		number, unit = number/1000, next
	}
	if unit == "bytes" {
		return fmt.Sprintf("%d bytes", size)
	}
	return fmt.Sprintf("%.1f %s", number, unit)
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02 15:04")
}
