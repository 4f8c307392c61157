// SPDX-License-Identifier: GPL-3.0-or-later

package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"slapos/networkcache"
)

// An Index keeps the entries of keys, byte by byte as they came, since they are
// signed. Several goroutines can use it and, if the storage below allows it,
// several servers. For a key that has no entries, or can't have any, the error
// is fs.ErrNotExist.
type Index interface {
	// Read returns the entries of a key as a JSON list, newest first.
	Read(ctx context.Context, key string) ([]byte, error)
	// Add puts an uploader's entry before the others; an existing one moves.
	// Each uploader has a share of its own under a key, so that none can keep
	// the others out (NC-75); uploader "" may use all of it.
	Add(ctx context.Context, key string, entry []byte, uploader string) error
	// Replace replaces all entries with a JSON list.
	Replace(ctx context.Context, key string, list []byte) error
	// Remove removes a key. A missing one is no error.
	Remove(ctx context.Context, key string) error
	// Keys lists all keys, sorted.
	Keys(ctx context.Context) ([]string, error)
	// Filter keeps the entries for which keep returns true, and removes a key
	// without any left. It reports whether anything changed. It drops what
	// isn't an entry.
	Filter(ctx context.Context, key string, keep func(networkcache.Entry) bool) (changed bool, err error)
	Close() error
}

// OpenIndex opens a database if place is an address postgres://… or
// sqlite:PATH, else a directory. That and the directory uploaders, which
// records who uploaded its entries, are made when first needed. If uploaders is
// "", all uploaders share the room of a key.
func OpenIndex(ctx context.Context, place, uploaders string) (Index, error) {
	if IsDatabase(place) {
		return openTable(ctx, place)
	}
	return &Files{Path: strings.TrimPrefix(place, "file:"), Uploaders: uploaders}, nil
}

// maximumEntries bounds all entries of a key, in bytes: clients don't read
// more. maximumShare bounds those of one uploader.
const (
	maximumEntries = 16 << 20
	maximumShare   = 256 << 10
)

var (
	errFull  = &Refusal{http.StatusInsufficientStorage, "Too many entries"}
	errShare = &Refusal{http.StatusInsufficientStorage, "Too many entries of this uploader"}
)

// maximumKey is the longest file name, in bytes.
const maximumKey = 255

// newPrefix begins the names of temporary files. Keys can't begin with it, not
// even in databases, since entries move from one kind of index to another.
const newPrefix = ".new-"

// checkKey refuses keys that can't be file names, or are reserved. Reading such
// a key finds nothing; writing it is refused.
func checkKey(key string) error {
	switch {
	case key == "" || key == "." || key == ".." || strings.ContainsAny(key, "/\x00"):
		return errKey
	case strings.HasPrefix(key, newPrefix):
		return errReservedKey
	case len(key) > maximumKey:
		return errLongKey
	}
	return nil
}

var (
	errKey         = fmt.Errorf("%w: %w", &Refusal{http.StatusBadRequest, "Invalid key"}, fs.ErrNotExist)
	errReservedKey = fmt.Errorf("%w: %w", &Refusal{http.StatusBadRequest, "Reserved key"}, fs.ErrNotExist)
	errLongKey     = fmt.Errorf("%w: %w", &Refusal{http.StatusBadRequest, "Key too long"}, fs.ErrNotExist)
)

// errNoList means that a key's value is JSON, but not a list.
var errNoList = errors.New("no list of entries")

// A listed entry is an entry in a list, with its uploader; "" if unknown.
type listed struct {
	entry    json.RawMessage
	uploader string
}

func parseList(text []byte) ([]listed, error) {
	if !json.Valid(text) {
		return nil, errors.New("no JSON")
	}
	var entries []json.RawMessage
	if json.Unmarshal(text, &entries) != nil || entries == nil {
		return nil, errNoList
	}
	list := make([]listed, len(entries))
	for i, entry := range entries {
		list[i].entry = entry
	}
	return list, nil
}

func listText(list []listed) ([]byte, error) {
	var text bytes.Buffer
	for i, l := range list {
		text.WriteString([]string{"[", ", "}[min(i, 1)])
		text.Write(l.entry)
	}
	text.WriteByte(']')
	if text.Len() > maximumEntries {
		return nil, errFull
	}
	return text.Bytes(), nil
}

// added puts an entry before the others in a list.
func added(entry []byte, uploader string, list []listed) ([]listed, error) {
	entry = bytes.TrimSpace(entry)
	kept, share := []listed{{entry, uploader}}, len(entry)
	for _, old := range list {
		if bytes.Equal(old.entry, entry) {
			continue
		}
		kept = append(kept, old)
		if old.uploader == uploader {
			share += len(old.entry)
		}
	}
	if uploader != "" && share > maximumShare {
		return nil, errShare
	}
	return kept, nil
}

// filtered returns the entries of a list for which keep returns true.
func filtered(list []listed, keep func(networkcache.Entry) bool) []listed {
	var kept []listed
	for _, l := range list {
		if entry, err := networkcache.ParseEntry(l.entry); err == nil && keep(entry) {
			kept = append(kept, l)
		}
	}
	return kept
}

// keyError adds the key to an error, except to those about keys themselves,
// which clients get unchanged.
func keyError(key string, err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fmt.Errorf("entries of %q: %w", key, err)
}
