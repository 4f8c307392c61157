// SPDX-License-Identifier: GPL-3.0-or-later

package proximity

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"slapos/networkcache"
	"slapos/networkcache/server"
)

// Options configure a cache.
type Options struct {
	// Store is that of the server; Partial and Soon are set in it.
	Store *server.Store
	// Upstreams are asked in this order.
	Upstreams []Upstream
	// Fresh is how long entries count before they are asked for again.
	Fresh time.Duration
	// Wait is how long the cache waits for a connection to an upstream and for
	// each 16 KiB of an answer. Clients give up after a minute.
	Wait time.Duration
	// PassUploads has the first upstream take what is uploaded here; otherwise
	// uploads are refused.
	PassUploads bool
}

// An Upstream is another cache.
type Upstream struct{ Cache, Directory networkcache.Service }

// A Cache is a [server.Origin]. Close ends what it does.
type Cache struct {
	options   Options
	store     *server.Store
	upstreams []*upstream
	token     string // of this cache in Via
	counts    counts

	ctx     context.Context // of all that it does for several clients
	cancel  func()
	running sync.WaitGroup // fetches and questions

	asking singleflight.Group // keys
	keys   freshness

	mu      sync.Mutex
	fetches map[string]*fetch // by sum
	left    []string          // sums of what broken fetches left, the latest last
	liars   map[lie]time.Time // until when an upstream isn't asked for a content
}

// New makes a cache.
func New(options Options) (*Cache, error) {
	options.Store.Partial, options.Store.Soon = true, make(chan struct{}, 1)
	options.Store.Complete()
	c := &Cache{
		options: options, store: options.Store, token: "slapos-" + rand.Text(), counts: newCounts(),
		keys:    freshness{lasts: options.Fresh, known: map[string]asked{}},
		fetches: map[string]*fetch{}, liars: map[lie]time.Time{},
	}
	for _, u := range options.Upstreams {
		made, err := newUpstream(c, u)
		if err != nil {
			return nil, err
		}
		c.upstreams = append(c.upstreams, made)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// Close ends what the cache does for its clients, and waits for the end.
func (c *Cache) Close() error {
	c.mu.Lock()
	c.cancel()
	c.mu.Unlock()
	c.running.Wait()
	return nil
}

// begin counts something that Close waits for, unless it is too late. Cache.mu
// is held.
func (c *Cache) begin() error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	c.running.Add(1)
	return nil
}

// The answers to requests that the cache can't serve.
var (
	errLoop     error = &server.Refusal{Status: http.StatusLoopDetected, Text: "This request has come back to the cache that sent it"}
	errUpstream error = &server.Refusal{Status: http.StatusBadGateway, Text: "No upstream answers as it should"}
	errBusy     error = &server.Refusal{Status: http.StatusGatewayTimeout, Text: "Another cache may wait for this one: ask elsewhere"}
	errUpload   error = &server.Refusal{Status: http.StatusForbidden, Text: "This cache takes no uploads: upload to the one behind it"}
	errSize     error = &server.Refusal{Status: http.StatusInsufficientStorage, Text: "Larger than this cache may become"}
)

// maximumHops is how many caches a request may have come through.
const maximumHops = 8

// route is what a request sends to upstreams in the header Via: those that it
// came through and this cache (NC-98).
func (c *Cache) route(r *http.Request) (via string, err error) {
	before := strings.Join(r.Header.Values("Via"), ", ")
	if strings.Contains(before, c.token) || strings.Count(before, ",") >= maximumHops {
		return "", errLoop
	}
	return strings.TrimPrefix(before+", 1.1 "+c.token, ", "), nil
}

// patience ends when a request from another cache must no longer wait for an
// upstream's answer to somebody else, since that upstream may wait for this
// cache. A client may wait for as long as it likes.
func (c *Cache) patience(r *http.Request) <-chan time.Time {
	if r.Header.Get("Via") == "" {
		return nil
	}
	return time.After(c.options.Wait / 4)
}

// The header Cache-Status (RFC 9211) tells where an answer comes from.
const (
	statusHeader   = "Cache-Status"
	statusHit      = "slapos; hit"
	statusMiss     = "slapos; fwd=uri-miss"
	statusTogether = "slapos; fwd=uri-miss; collapsed"
	statusStale    = "slapos; hit; detail=stale"
)

// Entries implements [server.Origin] (NC-94).
func (c *Cache) Entries(r *http.Request, header http.Header, key string) ([]byte, error) {
	text, err := c.store.Entries.Read(r.Context(), key)
	var refusal *server.Refusal
	if errors.As(err, &refusal) { // no such key can be
		return nil, fs.ErrNotExist
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	isFresh, hasFailed := c.keys.look(key, c.store.Now())
	if isFresh {
		header.Set(statusHeader, statusHit)
		return text, err
	}
	if !hasFailed {
		asked, askErr := c.ask(r, key)
		if !errors.Is(askErr, errUpstream) {
			header.Set(statusHeader, statusMiss)
			return asked, askErr
		}
	}
	if err != nil {
		return nil, errUpstream
	}
	c.counts.stale.Inc()
	header.Set(statusHeader, statusStale)
	header.Set("Warning", `110 slapos "Response is Stale"`)
	if age, known := c.keys.age(key, c.store.Now()); known {
		header.Set("Age", fmt.Sprint(int(age.Seconds())))
	}
	return text, nil
}

// ask asks the upstreams about a key, once for all clients that want to know at
// the same time. The error is errUpstream if none answers.
func (c *Cache) ask(r *http.Request, key string) ([]byte, error) {
	via, err := c.route(r)
	if err != nil {
		return nil, err
	}
	answer := c.asking.DoChan(key, func() (any, error) { return c.askEntries(key, via) })
	select {
	case got := <-answer:
		text, _ := got.Val.([]byte)
		if got.Err != nil && !errors.Is(got.Err, fs.ErrNotExist) {
			return nil, errUpstream
		}
		return text, got.Err
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case <-c.patience(r):
		return nil, errBusy
	}
}

// askEntries asks the upstreams for the entries of a key, and keeps them. The
// error is fs.ErrNotExist if all of them say that there are none.
func (c *Cache) askEntries(key, via string) ([]byte, error) {
	c.mu.Lock()
	err := c.begin()
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	defer c.running.Done()
	var failed error
	for _, u := range c.upstreams {
		text, err := u.entries(c.ctx, key, via)
		if err == nil {
			return text, c.keepEntries(key, text)
		}
		if !errors.Is(err, networkcache.ErrNotFound) {
			failed = err
		}
	}
	if failed != nil {
		if !strings.Contains(via, ",") { // else it may be because of where the request came from
			c.keys.failed(key, c.store.Now())
		}
		return nil, failed
	}
	if err := c.store.Entries.Remove(c.ctx, key); err != nil {
		return nil, err
	}
	c.keys.answered(key, c.store.Now())
	return nil, fs.ErrNotExist
}

func (c *Cache) keepEntries(key string, text []byte) error {
	if before, err := c.store.Entries.Read(c.ctx, key); err != nil || string(before) != string(text) {
		if err := c.store.Entries.Replace(c.ctx, key, text); err != nil {
			c.store.Logger.Error("Entries not kept", "key", key, "error", err)
			return err
		}
	}
	c.keys.answered(key, c.store.Now())
	return nil
}

// Expire implements [server.Origin].
func (c *Cache) Expire() { c.keys.forgetAll() }

// Content implements [server.Origin] (NC-95).
func (c *Cache) Content(r *http.Request, header http.Header, sum string) (io.ReadSeekCloser, error) {
	if !server.IsSum(sum) {
		return nil, fs.ErrNotExist
	}
	via, err := c.route(r)
	if err != nil {
		return nil, err
	}
	reader, isFirst, err := c.join(r.Context(), sum, via)
	if err != nil {
		return nil, err
	}
	header.Set(statusHeader, statusTogether)
	if isFirst {
		header.Set(statusHeader, statusMiss)
	}
	select {
	case <-reader.fetch.opened:
	case <-r.Context().Done():
		err = r.Context().Err()
	case <-c.patience(r):
		err = errBusy
	}
	if err == nil {
		err = reader.fetch.failure()
	}
	if err == nil {
		return reader, nil
	}
	reader.Close()
	if errors.Is(err, errStored) {
		return c.store.Contents.Open(r.Context(), sum)
	}
	return nil, err
}

// PutContent implements [server.Origin] (NC-97). What the upstream refuses
// stays here: it is a content like others.
func (c *Cache) PutContent(r *http.Request, expected string) (sum string, err error) {
	via, err := c.passes(r)
	if err != nil {
		return "", err
	}
	if sum, err = c.store.Contents.Store(r.Context(), r.Body, expected); err != nil {
		return "", err
	}
	content, err := c.store.Contents.Open(r.Context(), sum)
	if err != nil {
		return "", err
	}
	defer content.Close()
	return sum, c.upstreams[0].putContent(r.Context(), via, sum, content)
}

// PutEntry implements [server.Origin] (NC-97).
func (c *Cache) PutEntry(r *http.Request, key string, entry []byte) error {
	via, err := c.passes(r)
	if err != nil {
		return err
	}
	if err := c.upstreams[0].putEntry(r.Context(), via, key, entry); err != nil {
		return err
	}
	c.keys.forget(key)
	return nil
}

func (c *Cache) passes(r *http.Request) (via string, err error) {
	if !c.options.PassUploads {
		return "", errUpload
	}
	return c.route(r)
}

// TendHourly forgets the entries that nobody has asked for since the maximum
// age of the store, until ctx ends.
func (c *Cache) TendHourly(ctx context.Context) {
	ticker := time.NewTicker(time.Hour)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if err := c.forgetUnused(ctx); err != nil && ctx.Err() == nil {
				c.store.Logger.Error("Can't remove old entries", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// forgetUnused counts what it sees for the first time as just used.
func (c *Cache) forgetUnused(ctx context.Context) error {
	keys, err := c.store.Entries.Keys(ctx)
	if err != nil || c.store.MaximumAge == 0 {
		return err
	}
	for _, key := range c.keys.unused(keys, c.store.Now(), c.store.MaximumAge) {
		if err := c.store.Entries.Remove(ctx, key); err != nil {
			return err
		}
	}
	return nil
}
