// SPDX-License-Identifier: GPL-3.0-or-later

package server

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"slapos/networkcache"
)

// hits count the downloads of contents since the start.
type hits struct {
	mu    sync.Mutex
	total int64
	of    map[string]int64
}

// maximumCounted is of how many contents downloads are counted.
const maximumCounted = 1 << 16

func (h *hits) count(sum string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.total++
	if h.of == nil || len(h.of) >= maximumCounted {
		h.of = map[string]int64{} // those before are forgotten, but for the total
	}
	h.of[sum]++
}

func (h *hits) read(sum string) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.of[sum]
}

func (h *hits) all() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.total
}

// A catalogue knows what is stored, as of some time ago.
type catalogue struct {
	mu      sync.Mutex
	next    time.Time
	current *listing
}

type listing struct {
	made   time.Time
	blobs  map[string]Blob
	bytes  int64
	newest []Blob              // the first is the newest
	keys   map[string][]string // by the sum of a content
	count  int                 // of keys
}

// Bounds of a listing: pages don't show more, and what a large store costs is
// bounded.
const (
	maximumNewest = 50
	maximumListed = 100_000
)

// look lists the store when it is asked, but spends no more than a hundredth of
// the time with it.
func (c *catalogue) look(ctx context.Context, store *Store) (*listing, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	begun := time.Now()
	if c.current != nil && begun.Before(c.next) {
		return c.current, nil
	}
	made, err := list(context.WithoutCancel(ctx), store)
	if err != nil {
		return nil, err
	}
	c.current, c.next = made, time.Now().Add(100*time.Since(begun))
	return made, nil
}

func list(ctx context.Context, store *Store) (*listing, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	all, err := store.Contents.List(ctx)
	if err != nil {
		return nil, err
	}
	l := &listing{made: store.Now(), blobs: make(map[string]Blob, len(all)), keys: map[string][]string{}}
	for _, blob := range all {
		l.blobs[blob.Sum] = blob
		l.bytes += blob.Size
	}
	slices.SortFunc(all, func(a, b Blob) int {
		if byTime := b.newness().Compare(a.newness()); byTime != 0 {
			return byTime
		}
		return strings.Compare(a.Sum, b.Sum)
	})
	l.newest = slices.Clone(all[:min(len(all), maximumNewest)])
	keys, err := store.Entries.Keys(ctx)
	if err != nil {
		return nil, err
	}
	l.count = len(keys)
	for _, key := range keys[:min(len(keys), maximumListed)] {
		for _, entry := range readEntries(ctx, store, key) {
			if sum := entry.SHA512(); IsSum(sum) && !slices.Contains(l.keys[sum], key) {
				l.keys[sum] = append(l.keys[sum], key)
			}
		}
	}
	return l, ctx.Err()
}

// newness is when a content was stored or, if that isn't known, used.
func (b Blob) newness() time.Time {
	if b.Stored.IsZero() {
		return b.Used
	}
	return b.Stored
}

// readEntries are those of a key that can be read.
func readEntries(ctx context.Context, store *Store, key string) []networkcache.Entry {
	text, err := store.Entries.Read(ctx, key)
	if err != nil {
		return nil
	}
	entries, err := networkcache.ParseEntries(text)
	if err != nil {
		return nil
	}
	return entries
}

// about is what an entry tells about its content, for people.
type about struct {
	SoftwareURL string   `json:"software_url"`
	URL         string   `json:"url"`
	Part        string   `json:"shared_part"`
	Basename    string   `json:"basename"`
	File        string   `json:"file"`
	Multiarch   string   `json:"multiarch"`
	OS          []string `json:"os"`
}

func aboutOf(entry networkcache.Entry) about {
	var a about
	_ = json.Unmarshal([]byte(entry.Content), &a) // what is of another type stays empty
	return a
}

// name is the best name that an entry has for its content.
func (a about) name() string {
	for _, name := range []string{a.SoftwareURL, a.URL, a.Part, a.Basename, a.File} {
		if name != "" {
			return name
		}
	}
	return ""
}

func (a about) platform() string {
	if a.Multiarch == "" || len(a.OS) < 2 {
		return ""
	}
	return a.OS[0] + " " + a.OS[1] + " " + a.Multiarch
}
