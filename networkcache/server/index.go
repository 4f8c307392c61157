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
	// Add puts an entry before the others. One that is there already moves.
	Add(ctx context.Context, key string, entry []byte) error
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
// or sqlite:PATH, else a directory, which is made when it is needed first.
func OpenIndex(ctx context.Context, place string) (Index, error) {
	if IsDatabase(place) {
		return openTable(ctx, place)
	}
	return &Files{Path: strings.TrimPrefix(place, "file:")}, nil
}

// maximumEntries bounds all entries of a key, in bytes.
const maximumEntries = 16 << 20

var errFull = &Refusal{http.StatusInsufficientStorage, "Too many entries"}

// maximumKey is the longest name that a file can have, in bytes.
const maximumKey = 255

// checkKey refuses keys that can't be names of files. To look for one that is
// impossible finds nothing; to write it is refused.
func checkKey(key string) error {
	switch {
	case key == "" || key == "." || key == ".." || strings.ContainsAny(key, "/\x00"):
		return errKey
	case len(key) > maximumKey:
		return errLongKey
	}
	return nil
}

var (
	errKey     = fmt.Errorf("%w: %w", &Refusal{http.StatusBadRequest, "Invalid key"}, fs.ErrNotExist)
	errLongKey = fmt.Errorf("%w: %w", &Refusal{http.StatusBadRequest, "Key too long"}, fs.ErrNotExist)
)

// errNoList means that what is under a key is JSON, but no list.
var errNoList = errors.New("no list of entries")

func parseList(text []byte) ([]json.RawMessage, error) {
	if !json.Valid(text) {
		return nil, errors.New("no JSON")
	}
	var list []json.RawMessage
	if json.Unmarshal(text, &list) != nil || list == nil {
		return nil, errNoList
	}
	return list, nil
}

func listText(list []json.RawMessage) ([]byte, error) {
	var text bytes.Buffer
	for i, entry := range list {
		text.WriteString([]string{"[", ", "}[min(i, 1)])
		text.Write(entry)
	}
	text.WriteByte(']')
	if text.Len() > maximumEntries {
		return nil, errFull
	}
	return text.Bytes(), nil
}

// added puts an entry before the others of a list.
func added(entry []byte, list []json.RawMessage) []json.RawMessage {
	entry = bytes.TrimSpace(entry)
	kept := []json.RawMessage{entry}
	for _, old := range list {
		if !bytes.Equal(old, entry) {
			kept = append(kept, old)
		}
	}
	return kept
}

// filtered are the entries of a list that keep says true of.
func filtered(list []json.RawMessage, keep func(networkcache.Entry) bool) []json.RawMessage {
	var kept []json.RawMessage
	for _, text := range list {
		if entry, err := networkcache.ParseEntry(text); err == nil && keep(entry) {
			kept = append(kept, text)
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
