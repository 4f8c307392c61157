// SPDX-License-Identifier: GPL-3.0-or-later

package server

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"slapos/networkcache"
)

// Files keep the entries of each key in a file that is named by the key, as the
// original's local cache does. Only one server may write there.
type Files struct {
	Path string // a directory, made when there is something to keep
	mu   sync.Mutex
}

// newPrefix begins the names of files that are being written. As keys they
// count for nobody.
const newPrefix = ".new-"

func (f *Files) file(key string) string { return filepath.Join(f.Path, key) }

// Read implements [Index].
func (f *Files) Read(_ context.Context, key string) ([]byte, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	return os.ReadFile(f.file(key))
}

// Add implements [Index].
func (f *Files) Add(_ context.Context, key string, entry []byte) error {
	if err := checkKey(key); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	list, err := f.readList(key)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return keyError(key, err)
	}
	return f.writeList(key, added(entry, list))
}

// Replace implements [Index].
func (f *Files) Replace(_ context.Context, key string, list []byte) error {
	if err := checkKey(key); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.write(key, list)
}

// Remove implements [Index].
func (f *Files) Remove(_ context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := os.Remove(f.file(key)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Keys implements [Index].
func (f *Files) Keys(context.Context) ([]string, error) {
	files, err := os.ReadDir(f.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var keys []string
	for _, file := range files {
		switch {
		case !file.Type().IsRegular():
		case !strings.HasPrefix(file.Name(), newPrefix):
			keys = append(keys, file.Name())
		default:
			if info, err := file.Info(); err == nil {
				removeAbandoned(f.file(file.Name()), info.ModTime())
			}
		}
	}
	return keys, nil
}

// Filter implements [Index]. Text that is no JSON is left as it is, with an
// error.
func (f *Files) Filter(_ context.Context, key string, keep func(networkcache.Entry) bool) (changed bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	list, err := f.readList(key)
	if err != nil && !errors.Is(err, errNoList) {
		return false, keyError(key, err)
	}
	kept := filtered(list, keep)
	switch {
	case err == nil && len(kept) == len(list) && len(list) > 0:
		return false, nil
	case len(kept) == 0:
		return true, os.Remove(f.file(key))
	}
	return true, f.writeList(key, kept)
}

// Close implements [Index].
func (f *Files) Close() error { return nil }

func (f *Files) readList(key string) ([]json.RawMessage, error) {
	text, err := os.ReadFile(f.file(key))
	if err != nil {
		return nil, err
	}
	return parseList(text)
}

func (f *Files) writeList(key string, list []json.RawMessage) error {
	text, err := listText(list)
	if err != nil {
		return err
	}
	return f.write(key, text)
}

// write makes a file appear whole. Its name may be as long as names can be,
// which leaves no room for the longer temporary ones of package renameio.
func (f *Files) write(key string, text []byte) error {
	if err := os.MkdirAll(f.Path, 0o755); err != nil {
		return err
	}
	file, err := os.CreateTemp(f.Path, newPrefix+"*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // unless it has its other name
	_, err = file.Write(text)
	err = errors.Join(err, file.Chmod(0o644), file.Sync(), file.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(file.Name(), f.file(key)); err != nil {
		return err
	}
	return syncDirectory(f.Path)
}
