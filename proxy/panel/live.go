// SPDX-License-Identifier: GPL-3.0-or-later

package panel

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"slapos/proxy/store"
)

// How long a stream is silent at most and how long it lasts: a browser then asks for
// the next one, which begins where this one ended.
const (
	liveSilence = 20 * time.Second
	liveLasts   = 10 * time.Minute
	maximumLive = 1000
)

// live tells browsers that something happened. One goroutine looks for all of
// them, and there is none while nobody watches.
type live struct {
	store store.Store

	mutex    sync.Mutex
	watchers map[chan int64]bool
	stop     context.CancelFunc

	// ending is closed when the server stops: it waits for its answers.
	ending     chan struct{}
	registered sync.Once
}

func newLive(s store.Store) *live {
	return &live{store: s, watchers: map[chan int64]bool{}, ending: make(chan struct{})}
}

// watch returns a channel that gets the number of the newest event, whenever there is
// another one; nil when too many watch.
func (l *live) watch() chan int64 {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if len(l.watchers) >= maximumLive {
		return nil
	}
	watcher := make(chan int64, 1)
	l.watchers[watcher] = true
	if len(l.watchers) == 1 {
		ctx, stop := context.WithCancel(context.Background())
		l.stop = stop
		go l.look(ctx)
	}
	return watcher
}

// leave ends what watch began.
func (l *live) leave(watcher chan int64) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	delete(l.watchers, watcher)
	if len(l.watchers) == 0 {
		l.stop()
	}
}

// look looks for new events until it is stopped.
func (l *live) look(ctx context.Context) {
	bell := l.store.EventBell(ctx)
	last := int64(-1)
	for {
		newest, err := l.store.LastEvent(ctx)
		if err == nil && newest != last {
			l.tell(newest)
			last = newest
		}
		select {
		case <-ctx.Done():
			return
		case <-bell:
		}
	}
}

func (l *live) tell(newest int64) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for watcher := range l.watchers {
		select {
		case <-watcher: // it hasn't read the former one
		default:
		}
		watcher <- newest
	}
}

// stream tells a browser when something happened, until it leaves. It says what its page
// knows or, if it lost the stream, what it was told, and is told at once if there is more.
func (p *Panel) stream(w http.ResponseWriter, r *http.Request) error {
	known, err := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64)
	if err != nil {
		if known, err = strconv.ParseInt(r.URL.Query().Get("after"), 10, 64); err != nil {
			known = -1
		}
	}
	if server, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok {
		p.live.registered.Do(func() { server.RegisterOnShutdown(func() { close(p.live.ending) }) })
	}
	watcher := p.live.watch()
	if watcher == nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return nil
	}
	defer p.live.leave(watcher)
	newest, err := p.store.LastEvent(r.Context())
	if err != nil {
		return err
	}
	if known < 0 {
		known = newest
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // of proxies before this server
	out := http.NewResponseController(w)
	say := func(format string, args ...any) error {
		_ = out.SetWriteDeadline(time.Now().Add(liveSilence))
		if _, err := fmt.Fprintf(w, format, args...); err != nil {
			return err
		}
		return out.Flush()
	}
	if say("retry: 3000\n\n") != nil || r.Method == http.MethodHead {
		return nil
	}
	silence := time.NewTicker(liveSilence / 2)
	defer silence.Stop()
	end := time.NewTimer(liveLasts)
	defer end.Stop()
	for {
		if newest > known {
			known = newest
			err = say("id: %d\ndata: %d\n\n", newest, newest)
		}
		if err != nil {
			return nil // the browser left
		}
		select {
		case newest = <-watcher:
		case <-silence.C:
			err = say(": nothing new\n\n")
		case <-end.C:
			return nil
		case <-p.live.ending:
			return nil
		case <-r.Context().Done():
			return nil
		}
	}
}
