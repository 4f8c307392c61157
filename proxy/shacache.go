package proxy

import (
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"slapos/slap"
)

// Shacache is a cache of software, kept in two directories in the original's
// layout (PROXY-150). Neither signatures nor clients are checked: what is
// downloaded from here is checked by who does.
type Shacache struct {
	// Content holds files named by their SHA-512, and must exist; Metadata
	// holds JSON lists of [text, signature], and is made when needed.
	Content  string
	Metadata string
	// UpstreamCache and UpstreamDirectory are asked for what is not here.
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
	if name != "" && (strings.Contains(name, "/") || !filepath.IsLocal(name) || strings.ContainsRune(name, 0)) {
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
	if p.options.Shacache.Content == "" || p.options.Shacache.Metadata == "" {
		return refuse(http.StatusServiceUnavailable, "Shacache not configured")
	}
	return handle(w, r)
}

// cacheGet serves a file, from upstream when it is not here (PROXY-151).
func (p *Proxy) cacheGet(sum string) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		path := filepath.Join(p.options.Shacache.Content, sum)
		file, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) && p.options.Shacache.hasUpstream() {
			if err := p.fetchContent(r, sum); err != nil {
				return err
			}
			file, err = os.Open(path)
		}
		if err != nil {
			return errNoPage
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil || !info.Mode().IsRegular() {
			return errNoPage
		}
		serveAttachment(w, r, "application/octet-stream", info, file)
		return nil
	}
}

// cachePut stores a file under its sum, which must be the expected one unless
// that is empty (PROXY-152, PROXY-153).
func (p *Proxy) cachePut(expected string) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		sum, err := p.storeContent(r.Body, expected)
		if errors.Is(err, errChecksum) {
			return refuse(http.StatusBadRequest, "Checksum mismatch")
		}
		if err != nil {
			return err
		}
		return writeText(w, http.StatusCreated, sum)
	}
}

var errChecksum = errors.New("invalid checksum")

// storeContent writes a file whole, or not at all.
func (p *Proxy) storeContent(content io.Reader, expected string) (sum string, err error) {
	directory := p.options.Shacache.Content
	file, err := os.CreateTemp(directory, ".upload-*")
	if err != nil {
		return "", err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	hash := sha512.New()
	if _, err := io.Copy(io.MultiWriter(file, hash), content); err != nil {
		return "", err
	}
	sum = hex.EncodeToString(hash.Sum(nil))
	if expected != "" && sum != expected {
		return "", errChecksum
	}
	if err := file.Chmod(0o644); err != nil {
		return "", err
	}
	if err := file.Sync(); err != nil {
		return "", err
	}
	return sum, os.Rename(file.Name(), filepath.Join(directory, sum))
}

func (p *Proxy) fetchContent(r *http.Request, sum string) error {
	p.log.Info("Fetching from upstream", "sha512", sum)
	answer, err := p.upstream(r, p.options.Shacache.UpstreamCache, sum)
	if err != nil {
		return err
	}
	defer answer.Close()
	if _, err := p.storeContent(answer, sum); err != nil {
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
		text, err := os.ReadFile(filepath.Join(p.options.Shacache.Metadata, key))
		if err == nil {
			writeBytes(w, contentText, text)
			return nil
		}
		if !p.options.Shacache.hasUpstream() {
			return errNoPage
		}
		value, err := p.fetchEntries(r, key)
		if err != nil {
			return err
		}
		if _, ok := value.([]any); ok {
			if err := p.storeEntries(key, value); err != nil {
				return err
			}
		}
		body, err := spacedJSON.append(nil, value)
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
	value, err := jsonschema.UnmarshalJSON(io.LimitReader(answer, maximumEntries))
	if err != nil {
		return nil, refuse(http.StatusBadGateway, "Upstream error: %s", err)
	}
	return value, nil
}

func (p *Proxy) storeEntries(key string, entries any) error {
	directory := p.options.Shacache.Metadata
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	text, err := spacedJSON.append(nil, entries)
	if err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(directory, key), text, 0o644)
}

// dirPut replaces the entries of a key by one (PROXY-155).
func (p *Proxy) dirPut(key string) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		r.Body = http.MaxBytesReader(w, r.Body, maximumEntries)
		value, err := rpcInput(r)
		if err != nil {
			return err
		}
		if entry, ok := value.([]any); !ok || len(entry) != 2 {
			return refuse(http.StatusBadRequest, "Invalid entry format")
		}
		if err := p.storeEntries(key, []any{value}); err != nil {
			return err
		}
		return writeText(w, http.StatusCreated, "")
	}
}

// cacheUpdate brings the entries in line with upstream or, without one, with
// the files that are here (PROXY-158).
func (p *Proxy) cacheUpdate(w http.ResponseWriter, r *http.Request) error {
	removed, updated := []any{}, []any{}
	files, err := os.ReadDir(p.options.Shacache.Metadata)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, file := range files {
		if !file.Type().IsRegular() {
			continue
		}
		check := p.checkEntries
		if p.options.Shacache.hasUpstream() {
			check = p.refreshEntries
		}
		switch change, err := check(r, file.Name()); {
		case err != nil:
			p.log.Warn("Failed to update entries", "key", file.Name(), "error", err)
		case change == entriesRemoved:
			removed = append(removed, file.Name())
		case change == entriesUpdated:
			updated = append(updated, file.Name())
		}
	}
	body, err := spacedJSON.append(nil, object{{"removed", removed}, {"updated", updated}})
	if err != nil {
		return err
	}
	writeBytes(w, contentJSON, body)
	return nil
}

type entriesChange int

const (
	entriesKept entriesChange = iota
	entriesRemoved
	entriesUpdated
)

// checkEntries drops the entries of a key whose file is not here.
func (p *Proxy) checkEntries(_ *http.Request, key string) (entriesChange, error) {
	path := filepath.Join(p.options.Shacache.Metadata, key)
	text, err := os.ReadFile(path)
	if err != nil {
		return entriesKept, err
	}
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		return entriesKept, err
	}
	entries, ok := value.([]any)
	if !ok {
		return entriesRemoved, os.Remove(path)
	}
	var kept []any
	for _, entry := range entries {
		if p.isHere(entry) {
			kept = append(kept, entry)
		}
	}
	switch {
	case len(kept) == len(entries):
		return entriesKept, nil
	case len(kept) == 0:
		return entriesRemoved, os.Remove(path)
	}
	return entriesRemoved, p.storeEntries(key, kept)
}

// isHere tells whether the file that an entry is about is stored.
func (p *Proxy) isHere(entry any) bool {
	pair, ok := entry.([]any)
	if !ok || len(pair) != 2 {
		return false
	}
	text, _ := pair[0].(string)
	var about slap.Dict
	if json.Unmarshal([]byte(text), &about) != nil {
		return false
	}
	sum, _ := about["sha512"].(string)
	if sum == "" || !filepath.IsLocal(sum) {
		return false
	}
	info, err := os.Stat(filepath.Join(p.options.Shacache.Content, sum))
	return err == nil && info.Mode().IsRegular()
}

// refreshEntries fetches the entries of a key again.
func (p *Proxy) refreshEntries(r *http.Request, key string) (entriesChange, error) {
	value, err := p.fetchEntries(r, key)
	if err != nil && !errors.Is(err, errNoPage) {
		return entriesKept, err
	}
	if entries, ok := value.([]any); ok && len(entries) > 0 {
		return entriesUpdated, p.storeEntries(key, entries)
	}
	if err := os.Remove(filepath.Join(p.options.Shacache.Metadata, key)); err != nil {
		return entriesKept, err
	}
	return entriesRemoved, nil
}

// serveAttachment serves a file to be saved, with ranges and conditions.
func serveAttachment(w http.ResponseWriter, r *http.Request, kind string, info fs.FileInfo, content io.ReadSeeker) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": info.Name()}))
	h.Set("Cache-Control", "no-cache")
	h.Set("Etag", fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size()))
	http.ServeContent(w, r, "", info.ModTime(), content)
}
