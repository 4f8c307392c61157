// SPDX-License-Identifier: GPL-3.0-or-later

// Package parts finds the shared parts that releases use: it looks for their
// names in scripts and lists, and in the signatures of other parts. Pruning
// uses it, and the upload of a release with its parts.
package parts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"slapos/slap/confined"
)

// List returns the directories <root>/*/*, sorted, that belong to the owner of
// root. It ignores links (GRID-104).
func List(root string) ([]string, error) {
	names, err := visibleNames(root)
	if err != nil {
		return nil, err
	}
	var parts []string
	for _, name := range names {
		directory, err := confined.OpenBelow(root, name)
		var refused *confined.OwnerError
		var led *confined.LinkError
		if confined.IsAbsent(err) || errors.As(err, &refused) || errors.As(err, &led) {
			continue
		}
		if err != nil {
			return nil, err
		}
		hashes, err := directory.Entries(".")
		directory.Close()
		if err != nil {
			return nil, err
		}
		for _, hash := range hashes {
			if hash.IsDir() && !strings.HasPrefix(hash.Name(), ".") {
				parts = append(parts, filepath.Join(root, name, hash.Name()))
			}
		}
	}
	return parts, nil
}

// visibleNames lists a directory as the shell's `*` does, sorted; it is empty
// if the directory is missing or not a directory.
func visibleNames(directory string) ([]string, error) {
	file, err := os.OpenFile(directory, unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	if confined.IsAbsent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	names, err := file.Readdirnames(-1)
	names = slices.DeleteFunc(names, func(name string) bool { return strings.HasPrefix(name, ".") })
	sort.Strings(names)
	return names, err
}

// A Search looks for names of shared parts in texts.
type Search struct {
	hashes map[string]bool // names of 32 hexadecimal digits, nearly all
	others []string        // any other name
	Found  map[string]bool // names that occur
	log    *slog.Logger
}

// NewSearch starts a search for the names of parts, given as paths.
func NewSearch(parts []string, log *slog.Logger) *Search {
	search := &Search{hashes: map[string]bool{}, Found: map[string]bool{}, log: log}
	for _, part := range parts {
		name := filepath.Base(part)
		if len(name) == hashLength && strings.Trim(name, "0123456789abcdef") == "" {
			search.hashes[name] = true
		} else {
			search.others = append(search.others, name)
		}
	}
	return search
}

const hashLength = 32

func isHexadecimal(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' }

// search records every name that occurs anywhere in text.
func (s *Search) search(text []byte) {
	run := 0
	for i, c := range text {
		if !isHexadecimal(c) {
			run = 0
			continue
		}
		if run++; run >= hashLength {
			if name := text[i+1-hashLength : i+1]; s.hashes[string(name)] {
				s.Found[string(name)] = true
			}
		}
	}
	for _, name := range s.others {
		if bytes.Contains(text, []byte(name)) {
			s.Found[name] = true
		}
	}
}

// Software searches */.installed.cfg and */bin/* of a software root. See [AsOwner].
func (s *Search) Software(ctx context.Context, root string) error {
	names, err := visibleNames(root)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.release(filepath.Join(root, name)); err != nil {
			return err
		}
	}
	return nil
}

// release searches .installed.cfg and bin/* of a release. It may lie elsewhere, and so
// may its scripts, by links of its owner, who searches.
func (s *Search) release(directory string) error {
	if err := s.searchFile(filepath.Join(directory, ".installed.cfg")); err != nil {
		return err
	}
	scripts, err := visibleNames(filepath.Join(directory, "bin"))
	if err != nil {
		return err
	}
	for _, script := range scripts {
		if err := s.searchFile(filepath.Join(directory, "bin", script)); err != nil {
			return err
		}
	}
	return nil
}

// Signatures searches the files in which a shared part says what it was built
// from. See [AsOwner].
func (s *Search) Signatures(part string) error {
	entries, err := os.ReadDir(part)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		if name == ".buildout-shared.json" || strings.HasPrefix(name, ".") && strings.HasSuffix(name, "signature") {
			if err := s.searchFile(filepath.Join(part, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// largestText is far above any script or signature; a larger file is not a text.
const largestText = 64 << 20

// searchFile searches a file if it is a text: regular and UTF-8.
func (s *Search) searchFile(path string) error {
	text, err := readRegular(path, largestText)
	if confined.IsAbsent(err) || errors.Is(err, errNotRegular) || errors.Is(err, errTooLarge) {
		return nil
	}
	if err != nil {
		return err
	}
	if !utf8.Valid(text) {
		s.log.Debug("Skipping script " + path + " that could not be decoded")
		return nil
	}
	s.search(text)
	return nil
}

var (
	errNotRegular = errors.New("not a regular file")
	errTooLarge   = errors.New("file too large")
)

// readRegular reads a file of at most limit bytes. It opens only regular files:
// opening a device may have effects (GRID-104).
func readRegular(path string, limit int64) ([]byte, error) {
	file, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = errTooLarge
	}
	return content, err
}

// openRegular checks a file before opening it, through the checked handle.
func openRegular(path string) (*os.File, error) {
	handle, err := os.OpenFile(path, unix.O_PATH, 0)
	if err != nil {
		return nil, err
	}
	defer handle.Close()
	info, err := handle.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	file, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", handle.Fd()), os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: errors.Unwrap(err)}
	}
	return file, nil
}

// Used finds the shared parts below roots that a release mentions, and those
// that they mention, as pruning does. It fails if there are none.
func Used(roots []string, directory string, log *slog.Logger) ([]string, error) {
	var candidates []string
	for _, root := range roots {
		parts, err := List(root)
		if err != nil {
			return nil, err
		}
		candidates = append(candidates, parts...)
	}
	search := NewSearch(candidates, log)
	err := AsOwner(filepath.Dir(directory), func() error { return search.release(directory) })
	if err != nil {
		return nil, err
	}
	var used []string
	for more := true; more; {
		more = false
		for _, part := range candidates {
			if !search.Found[filepath.Base(part)] || slices.Contains(used, part) {
				continue
			}
			used, more = append(used, part), true
			root := filepath.Dir(filepath.Dir(part))
			if err := AsOwner(root, func() error { return search.Signatures(part) }); err != nil {
				return nil, err
			}
		}
	}
	if len(used) == 0 {
		return nil, errors.New("none is in shared_part_list")
	}
	slices.Sort(used)
	return used, nil
}
