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

// An Index keeps the entries of keys, byte by byte as they came: they are
// signed. It can be used by several goroutines and, if what is below can, by
// several servers. A key that has no entries, or can't have any, is an error
// that is fs.ErrNotExist.
type Index interface {
	// Read returns the entries of a key as a JSON list, newest first.
	Read(ctx context.Context, key string) ([]byte, error)
	// Add puts an entry of an uploader before the others. One that is there
	// already moves. Each uploader has its own room under a key, so that none
	// can keep the others out (NC-75); who is "" has all that there is.
	Add(ctx context.Context, key string, entry []byte, uploader string) error
	// Replace puts a JSON list in the place of all entries.
	Replace(ctx context.Context, key string, list []byte) error
	// Remove forgets a key. One that isn't there is no error.
	Remove(ctx context.Context, key string) error
	// Keys lists all keys, sorted.
	Keys(ctx context.Context) ([]string, error)
	// Filter keeps the entries that keep says true of, and forgets a key that is
	// left without. It tells whether that changed something. What is no entry
	// goes.
	Filter(ctx context.Context, key string, keep func(networkcache.Entry) bool) (changed bool, err error)
	Close() error
}

// OpenIndex opens a database, if the place is the address postgres://… of one
// or sqlite:PATH, else a directory; it and the directory uploaders, which tells
// whose its entries are, are made when they are needed first. Without that, or
// with "", uploaders share the room of a key.
func OpenIndex(ctx context.Context, place, uploaders string) (Index, error) {
	if IsDatabase(place) {
		return openTable(ctx, place)
	}
	return &Files{Path: strings.TrimPrefix(place, "file:"), Uploaders: uploaders}, nil
}

// maximumEntries bounds all entries of a key, in bytes: clients read no more.
// maximumShare bounds those of one uploader.
const (
	maximumEntries = 16 << 20
	maximumShare   = 256 << 10
)

var (
	errFull  = &Refusal{http.StatusInsufficientStorage, "Too many entries"}
	errShare = &Refusal{http.StatusInsufficientStorage, "Too many entries of this uploader"}
)

// maximumKey is the longest name that a file can have, in bytes.
const maximumKey = 255

// newPrefix begins the names of files that are being written. As keys they are
// reserved, also in databases: entries move from one place to another.
const newPrefix = ".new-"

// checkKey refuses keys that can't be names of files, or are those of others. To
// look for one that is impossible finds nothing; to write it is refused.
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

// errNoList means that what is under a key is JSON, but no list.
var errNoList = errors.New("no list of entries")

// A listed entry is one of a list, and whose it is; "" when nobody knows.
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

// added puts an entry before the others of a list.
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

// filtered are the entries of a list that keep says true of.
func filtered(list []listed, keep func(networkcache.Entry) bool) []listed {
	var kept []listed
	for _, l := range list {
		if entry, err := networkcache.ParseEntry(l.entry); err == nil && keep(entry) {
			kept = append(kept, l)
		}
	}
	return kept
}

// keyError tells which key it is about; the errors of keys themselves are said
// to clients as they are.
func keyError(key string, err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fmt.Errorf("entries of %q: %w", key, err)
}
