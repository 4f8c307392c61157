// SPDX-License-Identifier: GPL-3.0-or-later

package networkcache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// How long a neighbour may take to be reached and for each 16 KiB of an answer,
// and how long one that fails isn't asked (NC-100).
const (
	neighbourConnect = 2 * time.Second
	neighbourWait    = 10 * time.Second
	neighbourRest    = time.Minute
)

// resting remembers until when neighbours that failed aren't asked, by the
// URLs of their indexes.
type resting struct {
	mu    sync.Mutex
	until map[string]time.Time
}

func (r *resting) rests(url string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return now.Before(r.until[url])
}

func (r *resting) send(url string, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.until == nil {
		r.until = map[string]time.Time{}
	}
	r.until[url] = until
}

// fetchNear asks the neighbours for a release, in their order. What they have is
// no less checked than what the far cache has, so that any of them can be
// anybody's; a failure of one only leads to the next.
func (r *Releases) fetchNear(ctx context.Context, url, directory string, logger *slog.Logger) (found bool) {
	for _, near := range r.Neighbours {
		place := near.Directory.Download
		if ctx.Err() != nil || r.resting.rests(place, r.now()) {
			continue
		}
		near.Connect, near.Timeout = neighbourConnect, cmp.Or(near.Timeout, neighbourWait)
		found, err := r.fetchFrom(ctx, near, url, directory, logger)
		if found {
			logger.Info(fmt.Sprintf("Downloaded %s from the neighbour %s.", url, redacted(place)))
			return true
		}
		var status *StatusError
		var unlike *errNone
		switch {
		case errors.Is(err, ErrNotFound), err == nil, ctx.Err() != nil:
			continue
		case !errors.As(err, &status) && !errors.As(err, &unlike):
			r.resting.send(place, r.now().Add(neighbourRest))
		}
		logger.Info(fmt.Sprintf("Nothing from the neighbour %s: %v", redacted(place), err))
	}
	return false
}
