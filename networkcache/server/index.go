package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"slapos/networkcache"
)

// index keeps the entries of keys. Entries are kept byte by byte as they came:
// they are signed.
type index struct {
	directory string
	temporary string     // where files are written: any name in directory is a key
	mu        sync.Mutex // while a file changes
}

// path refuses keys that can't be names of files.
func (x *index) path(key string) (string, error) {
	switch {
	case key == "" || key == "." || key == ".." || strings.ContainsAny(key, "/\x00"):
		return "", fs.ErrNotExist
	case len(key) > 255:
		return "", &refusal{http.StatusBadRequest, "Key too long"}
	}
	return filepath.Join(x.directory, key), nil
}

// read returns the JSON list of a key.
func (x *index) read(key string) ([]byte, error) {
	path, err := x.path(key)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// add puts an entry before the others. One that is there already moves.
func (x *index) add(key string, entry []byte) error {
	path, err := x.path(key)
	if errors.Is(err, fs.ErrNotExist) {
		return &refusal{http.StatusBadRequest, "Invalid key"}
	}
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	list, err := readList(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entry = bytes.TrimSpace(entry)
	kept := []json.RawMessage{entry}
	for _, old := range list {
		if !bytes.Equal(old, entry) {
			kept = append(kept, old)
		}
	}
	return x.writeList(path, kept)
}

func readList(path string) ([]json.RawMessage, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}

func (x *index) writeList(path string, list []json.RawMessage) error {
	var text bytes.Buffer
	for i, entry := range list {
		text.WriteString([]string{"[", ", "}[min(i, 1)])
		text.Write(entry)
	}
	text.WriteByte(']')
	if text.Len() > maximumEntries {
		return &refusal{http.StatusInsufficientStorage, "Too many entries"}
	}
	return x.replace(path, text.Bytes())
}

// replace writes a file whole. Its name may be as long as names can be, which
// leaves no room for the longer temporary ones of package renameio.
func (x *index) replace(path string, text []byte) error {
	file, err := os.CreateTemp(x.temporary, "entries-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // unless it has its other name
	_, err = file.Write(text)
	err = errors.Join(err, file.Chmod(0o644), file.Sync(), file.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	return syncDirectory(x.directory)
}

// keys lists all keys.
func (x *index) keys() ([]string, error) {
	files, err := os.ReadDir(x.directory)
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, file := range files {
		if file.Type().IsRegular() {
			keys = append(keys, file.Name())
		}
	}
	return keys, nil
}

// filter keeps the entries of a key that keep says true of, and tells whether
// that changed something. A file without entries is removed.
func (x *index) filter(key string, keep func(networkcache.Entry) bool) (changed bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	path := filepath.Join(x.directory, key)
	list, err := readList(path)
	if err != nil {
		return false, err
	}
	var kept []json.RawMessage
	for _, text := range list {
		if entry, err := networkcache.ParseEntry(text); err == nil && keep(entry) {
			kept = append(kept, text)
		}
	}
	switch {
	case len(kept) == len(list) && len(list) > 0:
		return false, nil
	case len(kept) == 0:
		return true, os.Remove(path)
	}
	return true, x.writeList(path, kept)
}
