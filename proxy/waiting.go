// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"slapos/proxy/store"
)

const (
	// longestWait bounds how long a request may wait for a change (AGENT-2).
	longestWait = 10 * time.Minute
	// heardEvery is how often nodes that wait count as heard of.
	heardEvery = time.Minute
)

// waiting are the nodes whose requests wait for a change. A request is a goroutine
// that sleeps; what they have in common is done by one more, while there are any.
type waiting struct {
	store store.Store

	mutex sync.Mutex
	nodes map[string]int // requests by computer
	count int
	stop  context.CancelFunc

	// ending is closed when the server stops: it waits for its answers.
	ending     chan struct{}
	registered sync.Once
}

func newWaiting(s store.Store) *waiting {
	return &waiting{store: s, nodes: map[string]int{}, ending: make(chan struct{})}
}

// number is how many requests wait.
func (n *waiting) number() int {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return n.count
}

func (n *waiting) enter(computer string) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.nodes[computer]++
	if n.count++; n.count == 1 {
		ctx, stop := context.WithCancel(context.Background())
		n.stop = stop
		go n.hear(ctx) // ends with stop
	}
}

func (n *waiting) leave(computer string) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.nodes[computer]--; n.nodes[computer] == 0 {
		delete(n.nodes, computer)
	}
	if n.count--; n.count == 0 {
		n.stop()
	}
}

// hear notes that the nodes live: the kernel ends the connection of one that doesn't.
func (n *waiting) hear(ctx context.Context) {
	ticker := time.NewTicker(heardEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		n.mutex.Lock()
		for computer := range n.nodes {
			n.store.Polled(computer)
		}
		n.mutex.Unlock()
	}
}

// etag is the tag of an answer about a computer (AGENT-1).
func etag(epoch string, version int64) string {
	return `"` + epoch + strconv.FormatInt(version, 10) + `"`
}

// until waits while the tag of a computer is the given one, for some time at most. It
// returns false if the tag is still the same then.
func (n *waiting) until(r *http.Request, computer, tag string, most time.Duration) (changed bool, err error) {
	if server, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok {
		n.registered.Do(func() { server.RegisterOnShutdown(func() { close(n.ending) }) })
	}
	var end <-chan time.Time
	for {
		bell, leave := n.store.AwaitNode(computer)
		version, err := n.store.NodeVersion(r.Context(), computer)
		if err != nil || etag(n.store.Epoch(), version) != tag {
			leave()
			return err == nil, err
		}
		if end == nil {
			timer := time.NewTimer(most)
			defer timer.Stop()
			end = timer.C
			n.enter(computer)
			defer n.leave(computer)
		}
		select {
		case <-bell:
			leave()
			continue
		case <-end:
		case <-n.ending:
		case <-r.Context().Done():
			err = r.Context().Err()
		}
		leave()
		return false, err
	}
}

// preferredWait is how long a client prefers to wait (RFC 7240), false if it says
// nothing of it.
func preferredWait(h http.Header) (time.Duration, bool) {
	for _, line := range h.Values("Prefer") {
		for preference := range strings.SplitSeq(line, ",") {
			preference, _, _ = strings.Cut(preference, ";")
			name, value, _ := strings.Cut(preference, "=")
			if !strings.EqualFold(strings.TrimSpace(name), "wait") {
				continue
			}
			seconds, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
			if err != nil {
				return 0, false
			}
			return min(time.Duration(seconds)*time.Second, longestWait), true
		}
	}
	return 0, false
}

// matches reports whether If-None-Match names a tag. Those of other masters, and *,
// match none: the client gets the whole.
func matches(h http.Header, tag string) bool {
	for _, line := range h.Values("If-None-Match") {
		for named := range strings.SplitSeq(line, ",") {
			if strings.TrimPrefix(strings.TrimSpace(named), "W/") == tag {
				return true
			}
		}
	}
	return false
}

// notModified answers a conditional request about a computer whose answer the client
// has, after it has waited as long as it prefers. It returns false if the client is to
// get the whole.
func (p *Proxy) notModified(w http.ResponseWriter, r *http.Request, computer string) (done bool, err error) {
	most, prefers := preferredWait(r.Header)
	if prefers {
		w.Header().Set("Preference-Applied", "wait="+strconv.Itoa(int(most/time.Second)))
	}
	if r.Header.Get("If-None-Match") == "" {
		return false, nil
	}
	version, err := p.store.NodeVersion(r.Context(), computer)
	if err != nil {
		return false, err
	}
	tag := etag(p.store.Epoch(), version)
	if !matches(r.Header, tag) {
		return false, nil
	}
	p.store.Polled(computer)
	if most > 0 {
		begin := time.Now()
		changed, err := p.waiting.until(r, computer, tag, most)
		if rec, ok := w.(*recorder); ok {
			rec.waited = time.Since(begin)
		}
		if err == nil {
			err = p.stillAdmitted(r)
		}
		if err != nil || changed {
			return false, err
		}
	}
	w.Header().Set("ETag", tag)
	w.Header().Set(acceptsHeader, "promises")
	w.WriteHeader(http.StatusNotModified)
	return true, nil
}
