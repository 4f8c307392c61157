// SPDX-License-Identifier: GPL-3.0-or-later

package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"slapos/networkcache"
)

// A Store is what a server stores. Several goroutines may use it.
type Store struct {
	Contents Blobs
	Entries  Index
	// MaximumAge and MaximumSize, in bytes, limit the contents that
	// [Store.Collect] leaves; 0: no limit.
	MaximumAge  time.Duration
	MaximumSize int64
	// Partial means that contents are also elsewhere: entries stay when theirs
	// aren't here.
	Partial bool
	// Soon makes [Store.CollectEvery] collect at once when something comes; may
	// be nil.
	Soon   chan struct{}
	Logger *slog.Logger     // default: none
	Now    func() time.Time // default: time.Now
}

// Complete fills in the defaults.
func (s *Store) Complete() {
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	if s.Now == nil {
		s.Now = time.Now
	}
}

// Collect removes the contents unused for longer than the maximum age, then the
// least recently used until the rest is small enough, and the entries about
// them. It returns the number of removed contents and bytes.
func (s *Store) Collect(ctx context.Context) (count int, size int64, err error) {
	s.Complete()
	all, err := s.Contents.List(ctx)
	if err != nil {
		return 0, 0, err
	}
	slices.SortFunc(all, func(a, b Blob) int {
		return cmp.Or(a.Used.Compare(b.Used), cmp.Compare(a.Sum, b.Sum))
	})
	var total int64
	for _, b := range all {
		total += b.Size
	}
	removed := map[string]bool{}
	for _, b := range all {
		isOld := s.MaximumAge > 0 && s.Now().Sub(b.Used) > s.MaximumAge
		isMuch := s.MaximumSize > 0 && total > s.MaximumSize
		if !isOld && !isMuch || ctx.Err() != nil {
			break
		}
		if err := s.Contents.Remove(ctx, b.Sum); err != nil {
			return count, size, err
		}
		removed[b.Sum] = true
		total -= b.Size
		size += b.Size
		count++
	}
	if count > 0 && !s.Partial {
		_, err = s.Forget(ctx, func(entry networkcache.Entry) bool { return !removed[entry.SHA512()] })
	}
	return count, size, err
}

// CollectHourly removes old contents now and every hour, until ctx ends, and
// counts them.
func (s *Server) CollectHourly(ctx context.Context) {
	s.store.CollectEvery(ctx, time.Hour, func(count int) { s.counts.collected.Add(float64(count)) })
}

// CollectEvery collects now and repeatedly, until ctx ends. After each time
// that something was removed it calls done, unless that is nil.
func (s *Store) CollectEvery(ctx context.Context, interval time.Duration, done func(count int)) {
	s.Complete()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		count, size, err := s.Collect(ctx)
		if err != nil && ctx.Err() == nil {
			s.Logger.Error("Can't remove old contents", "error", err)
		}
		if count > 0 {
			s.Logger.Info("Removed old contents", "count", count, "bytes", size)
			if done != nil {
				done(count)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-s.Soon:
		}
	}
}

// Forget drops entries of all keys, and returns the keys that changed. It
// leaves and logs what it can't read.
func (s *Store) Forget(ctx context.Context, keep func(networkcache.Entry) bool) (changed []string, err error) {
	s.Complete()
	changed = []string{}
	keys, err := s.Entries.Keys(ctx)
	if err != nil {
		return changed, err
	}
	for _, key := range keys {
		if did, err := s.Entries.Filter(ctx, key, keep); err != nil {
			s.Logger.Warn("Entries left as they are", "key", key, "error", err)
		} else if did {
			changed = append(changed, key)
		}
	}
	return changed, ctx.Err()
}

// ForgetMissing drops the entries whose content doesn't exist, and returns the
// keys that changed.
func (s *Store) ForgetMissing(ctx context.Context) (changed []string, err error) {
	if s.Partial {
		return []string{}, nil
	}
	var unknown error
	changed, err = s.Forget(ctx, func(entry networkcache.Entry) bool {
		has, err := s.Contents.Has(ctx, entry.SHA512())
		if err != nil { // may still exist
			unknown = err
		}
		return has || err != nil
	})
	return changed, errors.Join(err, unknown)
}

// update is PROXY-158: with an origin all keys are asked for again when they
// are needed.
func (s *Server) update(w http.ResponseWriter, r *http.Request) error {
	removed, err := s.store.ForgetMissing(r.Context())
	if err != nil {
		return err
	}
	updated := []string{}
	if s.options.Origin != nil {
		s.options.Origin.Expire()
		if updated, err = s.store.Entries.Keys(r.Context()); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(map[string][]string{"removed": removed, "updated": updated})
}
