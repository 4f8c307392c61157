// SPDX-License-Identifier: GPL-3.0-or-later

package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"slapos/networkcache"
)

// Files keep the entries of each key in a file named by the key, as the
// original's local cache does. Only one server may write there.
type Files struct {
	// Path of a directory, made when first needed.
	Path string
	// Uploaders is another directory: for each key it has a JSON object from
	// the sums (SHA-256) of entries to their uploaders. If it is "", uploaders
	// aren't recorded.
	Uploaders string

	mu sync.Mutex
}

func (f *Files) file(key string) string { return filepath.Join(f.Path, key) }

// Read implements [Index].
func (f *Files) Read(_ context.Context, key string) ([]byte, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	return os.ReadFile(f.file(key))
}

// Add implements [Index].
func (f *Files) Add(_ context.Context, key string, entry []byte, uploader string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	list, err := f.readList(key)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return keyError(key, err)
	}
	if f.Uploaders == "" {
		uploader = ""
	}
	if list, err = added(entry, uploader, list); err != nil {
		return keyError(key, err)
	}
	return f.writeList(key, list)
}

// Replace implements [Index].
func (f *Files) Replace(_ context.Context, key string, list []byte) error {
	if err := checkKey(key); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return writeFile(f.Path, key, list, 0o644)
}

// Remove implements [Index].
func (f *Files) Remove(_ context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(f.forget(f.Path, key), f.forget(f.Uploaders, key))
}

// forget removes a file. A missing one is no error.
func (f *Files) forget(directory, key string) error {
	if directory == "" {
		return nil
	}
	if err := os.Remove(filepath.Join(directory, key)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Keys implements [Index].
func (f *Files) Keys(context.Context) ([]string, error) {
	if f.Uploaders != "" {
		if _, err := namesIn(f.Uploaders); err != nil {
			return nil, err
		}
	}
	return namesIn(f.Path)
}

// namesIn lists the files of a directory, and removes abandoned temporary ones.
func namesIn(directory string) (names []string, err error) {
	files, err := os.ReadDir(directory)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, file := range files {
		switch {
		case !file.Type().IsRegular():
		case !strings.HasPrefix(file.Name(), newPrefix):
			names = append(names, file.Name())
		default:
			if info, err := file.Info(); err == nil {
				removeAbandoned(filepath.Join(directory, file.Name()), info.ModTime())
			}
		}
	}
	return names, nil
}

// Filter implements [Index]. It leaves text that isn't JSON as it is, with an
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
		return true, errors.Join(os.Remove(f.file(key)), f.forget(f.Uploaders, key))
	}
	return true, f.writeList(key, kept)
}

// Close implements [Index].
func (f *Files) Close() error { return nil }

func (f *Files) readList(key string) ([]listed, error) {
	text, err := os.ReadFile(f.file(key))
	if err != nil {
		return nil, err
	}
	list, err := parseList(text)
	if err != nil || f.Uploaders == "" {
		return list, err
	}
	// An unreadable file counts as no uploaders: that limits less, and harms nobody.
	var uploaders map[string]string
	if text, err := os.ReadFile(filepath.Join(f.Uploaders, key)); err == nil && json.Unmarshal(text, &uploaders) == nil {
		for i := range list {
			list[i].uploader = uploaders[entrySum(list[i].entry)]
		}
	}
	return list, nil
}

func entrySum(entry []byte) string {
	sum := sha256.Sum256(entry)
	return hex.EncodeToString(sum[:])
}

func (f *Files) writeList(key string, list []listed) error {
	text, err := listText(list)
	if err != nil {
		return err
	}
	if err := f.writeUploaders(key, list); err != nil {
		return err
	}
	return writeFile(f.Path, key, text, 0o644)
}

// writeUploaders is called first: an entry without an uploader wouldn't count
// for anybody.
func (f *Files) writeUploaders(key string, list []listed) error {
	uploaders := map[string]string{}
	for _, l := range list {
		if l.uploader != "" {
			uploaders[entrySum(l.entry)] = l.uploader
		}
	}
	if f.Uploaders == "" || len(uploaders) == 0 {
		return nil
	}
	text, err := json.Marshal(uploaders)
	if err != nil {
		return err
	}
	return writeFile(f.Uploaders, key, text, 0o600)
}

// writeFile makes a file appear whole. Its name may be as long as names can be,
// which leaves no room for the longer temporary names of package renameio.
func writeFile(directory, name string, text []byte, mode os.FileMode) error {
	if err := os.MkdirAll(directory, mode|mode&0o444>>2); err != nil {
		return err
	}
	file, err := os.CreateTemp(directory, newPrefix+"*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // unless it was renamed
	_, err = file.Write(text)
	err = errors.Join(err, file.Chmod(mode), file.Sync(), file.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(file.Name(), filepath.Join(directory, name)); err != nil {
		return err
	}
	return syncDirectory(directory)
}
