package server

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"time"

	"slapos/networkcache"
)

// Collect removes the contents that nobody has used for the maximum age, then
// the least recently used until the rest is small enough, and the entries about
// what was removed. It returns how many contents and how many bytes went.
func (s *Server) Collect(ctx context.Context) (count int, size int64, err error) {
	all, err := s.blobs.list()
	if err != nil {
		return 0, 0, err
	}
	slices.SortFunc(all, func(a, b blob) int {
		return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.sum, b.sum))
	})
	var total int64
	for _, b := range all {
		total += b.size
	}
	removed := map[string]bool{}
	for _, b := range all {
		isOld := s.options.MaximumAge > 0 && s.options.Now().Sub(b.used) > s.options.MaximumAge
		isMuch := s.options.MaximumSize > 0 && total > s.options.MaximumSize
		if !isOld && !isMuch || ctx.Err() != nil {
			break
		}
		if err := os.Remove(s.blobs.path(b.sum)); err != nil {
			return count, size, err
		}
		removed[b.sum] = true
		total -= b.size
		size += b.size
		count++
	}
	s.counts.collected.Add(float64(count))
	if count > 0 {
		_, err = s.forget(func(entry networkcache.Entry) bool { return !removed[entry.SHA512()] })
	}
	return count, size, err
}

// CollectEvery collects now and again and again, until ctx ends.
func (s *Server) CollectEvery(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		count, size, err := s.Collect(ctx)
		if err != nil {
			s.options.Logger.Error("Can't remove old contents", "error", err)
		} else if count > 0 {
			s.options.Logger.Info("Removed old contents", "count", count, "bytes", size)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// forget drops entries of all keys, and returns the keys that changed. Files
// that can't be read are left and logged.
func (s *Server) forget(keep func(networkcache.Entry) bool) (changed []string, err error) {
	changed = []string{}
	keys, err := s.index.keys()
	if err != nil {
		return changed, err
	}
	for _, key := range keys {
		if did, err := s.index.filter(key, keep); err != nil {
			s.options.Logger.Warn("Entries left as they are", "key", key, "error", err)
		} else if did {
			changed = append(changed, key)
		}
	}
	return changed, nil
}

// update forgets the entries whose content is not here (PROXY-158).
func (s *Server) update(w http.ResponseWriter, _ *http.Request) error {
	removed, err := s.forget(func(entry networkcache.Entry) bool {
		sum := entry.SHA512()
		if !isSum(sum) {
			return false
		}
		info, err := os.Lstat(s.blobs.path(sum))
		return err == nil && info.Mode().IsRegular()
	})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(map[string][]string{"removed": removed, "updated": {}})
}
