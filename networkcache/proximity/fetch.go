// SPDX-License-Identifier: GPL-3.0-or-later

package proximity

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"slapos/networkcache"
	"slapos/networkcache/server"
)

// A fetch brings one content, for any number of readers. It goes on for as long
// as there is one.
type fetch struct {
	cache    *Cache
	sum, via string
	ctx      context.Context
	cancel   func()
	opened   chan struct{} // closed when readers may begin, or when it has failed
	ended    chan struct{}

	// Of the goroutine that runs it.
	hash    hash.Hash
	etags   map[*upstream]string
	sources []*upstream // whose bytes are in the file; nil is an earlier fetch
	sizedBy *upstream   // told the size; nil if nobody has

	users     int  // readers, and the fetch itself; Cache.mu
	abandoned bool // by all readers; Cache.mu

	file *os.File // set before opened is closed

	mu       sync.Mutex
	size     int64 // -1: unknown
	arrived  int64
	verified bool
	err      error
	more     chan struct{} // closed and replaced when one of these changes
}

var (
	errStored = errors.New("has been stored meanwhile")
	errWrong  = errors.New("the upstream sent another content than the one asked for")
)

// openAtOnce is the size from which readers begin before the sum is known to be
// right. Of smaller contents, and of those whose size isn't told, nothing that
// may be wrong is sent, and the next upstream can be tried.
const openAtOnce = 1 << 20

// join makes a reader of the fetch of a content, which may have to begin.
func (c *Cache) join(ctx context.Context, sum, via string) (r *reader, isFirst bool, err error) {
	for {
		c.mu.Lock()
		f := c.fetches[sum]
		if isFirst = f == nil; isFirst {
			if err := c.begin(); err != nil {
				c.mu.Unlock()
				return nil, false, err
			}
			f = c.newFetch(sum, via)
			c.fetches[sum] = f
			go c.run(f)
		}
		if !f.abandoned {
			f.users++
			c.mu.Unlock()
			return &reader{fetch: f, ctx: ctx}, isFirst, nil
		}
		c.mu.Unlock()
		select {
		case <-f.ended:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}

func (c *Cache) newFetch(sum, via string) *fetch {
	f := &fetch{
		cache: c, sum: sum, via: via, opened: make(chan struct{}), ended: make(chan struct{}), more: make(chan struct{}),
		hash: sha512.New(), etags: map[*upstream]string{}, users: 1, size: -1,
	}
	f.ctx, f.cancel = context.WithCancel(c.ctx)
	return f
}

// leave ends a use of a fetch. Without readers it stops, and what has arrived
// waits for the next one.
func (c *Cache) leave(f *fetch) {
	c.mu.Lock()
	f.users--
	if f.users == 1 && c.fetches[f.sum] == f {
		f.abandoned = true
		f.cancel()
	}
	isLast := f.users == 0
	c.mu.Unlock()
	if isLast && f.file != nil {
		f.file.Close()
	}
}

// run owns f until it ends.
func (c *Cache) run(f *fetch) {
	defer c.running.Done()
	defer f.cancel()
	err := f.bring()
	c.mu.Lock()
	delete(c.fetches, f.sum)
	c.mu.Unlock()
	f.change(func() {
		if !f.verified {
			f.err = err
		}
	})
	f.open()
	close(f.ended)
	c.leave(f)
}

// change changes what readers look at, and wakes them.
func (f *fetch) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
	close(f.more)
	f.more = make(chan struct{})
}

func (f *fetch) isOpen() bool {
	select {
	case <-f.opened:
		return true
	default:
		return false
	}
}

// open lets readers begin. Only the goroutine of the fetch calls it.
func (f *fetch) open() {
	if !f.isOpen() {
		close(f.opened)
	}
}

func (f *fetch) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// bring gets the content and stores it.
func (f *fetch) bring() error {
	store := f.cache.store
	has, err := store.Contents.Has(f.ctx, f.sum)
	if has {
		return errStored
	}
	if err == nil {
		err = f.openFile()
	}
	if err != nil {
		return err
	}
	if !f.isRight() { // an earlier fetch may have got all of it
		if err := f.fromUpstreams(); err != nil {
			f.cache.keepLeft(f, err)
			return err
		}
	}
	f.change(func() { f.verified, f.size = true, f.arrived })
	f.open()
	if err := store.Contents.Adopt(f.cache.ctx, f.file, f.sum); err != nil {
		store.Logger.Error("Content not kept", "sha512", f.sum, "error", err)
	}
	select {
	case store.Soon <- struct{}{}:
	default: // it is going to collect already
	}
	return nil
}

func (f *fetch) path() string {
	return filepath.Join(f.cache.store.Contents.Scratch(), server.PartialName(f.sum))
}

// openFile opens the file, and reads what an earlier fetch left in it.
func (f *fetch) openFile() (err error) {
	f.file, err = os.OpenFile(f.path(), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	if f.arrived, err = io.Copy(f.hash, f.file); err == nil && f.arrived > 0 {
		f.sources = append(f.sources, nil)
	}
	return err
}

func (f *fetch) isRight() bool { return hex.EncodeToString(f.hash.Sum(nil)) == f.sum }

// restart forgets what has arrived. No reader may have begun.
func (f *fetch) restart() error {
	f.hash.Reset()
	f.sources, f.sizedBy = nil, nil
	f.change(func() { f.arrived, f.size = 0, -1 })
	return f.file.Truncate(0)
}

// fromUpstreams asks one upstream after the other, each again for as long as
// that brings anything. Without error the content is right.
func (f *fetch) fromUpstreams() error {
	failed := error(fs.ErrNotExist)
	for _, u := range f.cache.upstreams {
		if f.cache.isLiar(f.sum, u) {
			failed = errUpstream
			continue
		}
		err := f.wholeFrom(u)
		var here *localError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &here), errors.Is(err, errSize), f.ctx.Err() != nil, errors.Is(err, errWrong) && f.isOpen():
			return err
		case errors.Is(err, networkcache.ErrNotFound):
			continue
		}
		failed = errUpstream
	}
	return failed
}

// wholeFrom asks an upstream for what is missing.
func (f *fetch) wholeFrom(u *upstream) error {
	for {
		before := f.arrived
		err := f.from(u)
		if err == nil && f.isRight() {
			return nil
		}
		if err == nil {
			return f.wrong(u)
		}
		if f.arrived == before || f.ctx.Err() != nil {
			return err
		}
	}
}

// wrong drops a content whose sum isn't right. An upstream from which all of it
// came isn't asked for it again for a while.
func (f *fetch) wrong(u *upstream) error {
	f.cache.counts.refused.Inc()
	if !slices.ContainsFunc(f.sources, func(other *upstream) bool { return other != u }) {
		f.cache.shun(f.sum, u)
	}
	err := u.failed(u.contents, f.sum, errWrong)
	if f.isOpen() {
		return err
	}
	return errors.Join(err, f.restart())
}

// keepLeft removes what a failed fetch leaves, unless the next one may continue
// it.
func (c *Cache) keepLeft(f *fetch, err error) {
	var here *localError
	if f.arrived == 0 || errors.Is(err, errWrong) || errors.Is(err, errSize) || errors.As(err, &here) {
		os.Remove(f.path()) // List removes it if this fails
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = append(slices.DeleteFunc(c.left, func(sum string) bool { return sum == f.sum }), f.sum)
	if len(c.left) <= maximumLeft {
		return
	}
	oldest := c.left[0]
	c.left = c.left[1:]
	if c.fetches[oldest] == nil {
		os.Remove(filepath.Join(c.store.Contents.Scratch(), server.PartialName(oldest)))
	}
}

// maximumLeft is how many broken fetches leave their files.
const maximumLeft = 16

// A lie is a content that an upstream sent wrongly.
type lie struct {
	sum string
	by  *upstream
}

// maximumLies bounds those that are remembered.
const maximumLies = 1024

// shunned is for how long.
const shunned = time.Minute

func (c *Cache) shun(sum string, u *upstream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.liars) >= maximumLies {
		clear(c.liars)
	}
	c.liars[lie{sum, u}] = c.store.Now().Add(shunned)
}

func (c *Cache) isLiar(sum string, u *upstream) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.store.Now().Before(c.liars[lie{sum, u}])
}
