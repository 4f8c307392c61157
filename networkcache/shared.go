// SPDX-License-Identifier: GPL-3.0-or-later

package networkcache

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"slapos/networkcache/archive"
)

// A Part is a shared part that a release uses, and its archive.
type Part struct {
	Path   string `json:"path"` // ROOT/NAME/HASH
	SHA512 string `json:"sha512"`
}

// maximumParts bounds how many a release can have.
const maximumParts = 10000

// SharedReleaseKey returns ShaDir's key for a release that uses shared parts,
// made from its [ReleaseKey]. They differ because the original would install
// the release without its parts (D-11).
func SharedReleaseKey(key string) string { return "slapos-shared:" + key }

// PartKey returns ShaDir's key for the shared part at a path.
func PartKey(path string) string {
	sum := md5.Sum([]byte(path))
	return "slapos-part:" + hex.EncodeToString(sum[:])
}

// parts returns the parts in a release's entry. All must have a place here.
func (r *Releases) parts(entry Entry) ([]Part, error) {
	var about struct {
		Parts []Part `json:"shared_parts"`
	}
	if err := json.Unmarshal([]byte(entry.Content), &about); err != nil {
		return nil, fmt.Errorf("entry: %w", err)
	}
	if len(about.Parts) == 0 || len(about.Parts) > maximumParts {
		return nil, fmt.Errorf("entry: %d shared parts", len(about.Parts))
	}
	for _, part := range about.Parts {
		if _, _, err := r.placeOf(part.Path); err != nil {
			return nil, err
		}
	}
	return about.Parts, nil
}

// placeOf splits the path of a shared part into one of SharedRoots and the path
// from there.
func (r *Releases) placeOf(path string) (root, below string, err error) {
	for _, root := range r.SharedRoots {
		below, found := strings.CutPrefix(path, strings.TrimRight(root, "/")+"/")
		name, hash, nested := strings.Cut(below, "/")
		if found && nested && isPlain(name) && isPlain(hash) {
			return root, below, nil
		}
	}
	return "", "", fmt.Errorf("needs the shared part %.300q, which is not in shared_part_list", path)
}

func isPlain(name string) bool {
	return name != "" && name[0] != '.' && !strings.ContainsAny(name, "/\x00")
}

// restore fetches the missing parts. Each appears whole or not at all, and is
// fetched once: several releases may need it at the same time.
func (r *Releases) restore(ctx context.Context, client *Client, parts []Part, logger *slog.Logger) error {
	for _, part := range parts {
		_, err, _ := r.restoring.Do(part.Path, func() (any, error) { return nil, r.restorePart(ctx, client, part, logger) })
		if err != nil {
			return fmt.Errorf("shared part %s: %w", part.Path, err)
		}
	}
	return nil
}

func (r *Releases) restorePart(ctx context.Context, client *Client, part Part, logger *slog.Logger) error {
	root, below, err := r.placeOf(part.Path)
	if err != nil {
		return err
	}
	name, hash := filepath.Split(below)
	open := r.OpenParts
	if open == nil {
		open = openParts
	}
	parent, err := open(root, filepath.Clean(name))
	if err != nil {
		return err
	}
	defer parent.Close()
	switch complete, err := isCompletePart(parent, hash); {
	case err == nil && !complete:
		return errors.New("is there, but not complete")
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	logger.Info(fmt.Sprintf("Downloading shared part %s from network cache.", part.Path))
	content, err := client.Download(ctx, part.SHA512)
	if err != nil {
		return err
	}
	defer content.Close()
	return archive.Unpack(ctx, content, archive.UnpackOptions{Directory: part.Path, Parent: parent, Reserve: r.Reserve})
}

// isCompletePart looks for the file with which buildout completes a part
// (GRID-36).
func isCompletePart(parent *os.Root, hash string) (bool, error) {
	directory, err := parent.OpenFile(hash, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false, err
	}
	defer directory.Close()
	entries, err := directory.ReadDir(-1)
	return slices.ContainsFunc(entries, func(entry fs.DirEntry) bool {
		name := entry.Name()
		return name == ".buildout-shared.json" || strings.HasPrefix(name, ".") && strings.HasSuffix(name, "signature")
	}), err
}

// openParts opens the directory for all parts of a name, and makes it and the one
// above, for a user who owns all of it.
func openParts(root, name string) (*os.Root, error) {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, err
	}
	top, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	defer top.Close()
	if err := top.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return top.OpenRoot(name)
}

// pushParts stores the parts that aren't stored yet, each with its own entry.
func (r *Releases) pushParts(ctx context.Context, client *Client, paths []string, here Platform, logger *slog.Logger) ([]Part, error) {
	parts := make([]Part, len(paths))
	for i, path := range paths {
		sum, err, _ := r.pushing.Do(path, func() (any, error) { return r.pushPart(ctx, client, path, here, logger) })
		if err != nil {
			return nil, fmt.Errorf("shared part %s: %w", path, err)
		}
		parts[i] = Part{path, sum.(string)}
	}
	return parts, nil
}

func (r *Releases) pushPart(ctx context.Context, client *Client, path string, here Platform, logger *slog.Logger) (sum string, err error) {
	entries, err := client.Entries(ctx, PartKey(path))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return "", err
	}
	newestFirst(entries)
	for _, entry := range entries {
		platform, err := EntryPlatform(entry)
		if err == nil && platform.Compatible(here) && entry.partPath() == path && client.Trusts(entry) && client.has(ctx, entry.SHA512()) {
			return entry.SHA512(), nil
		}
	}
	logger.Info(fmt.Sprintf("Uploading shared part %s into network cache.", path))
	if sum, err = r.store(ctx, client, path); err != nil {
		return "", err
	}
	return sum, client.Index(ctx, PartKey(path), sum, []Field{
		{"shared_part", path}, {"multiarch", here.Multiarch}, {"os", here.OS}, r.timestamp(),
	})
}

// partPath returns the path of the shared part that an entry describes.
func (e Entry) partPath() string {
	var about struct {
		Path string `json:"shared_part"`
	}
	if json.Unmarshal([]byte(e.Content), &about) != nil {
		return ""
	}
	return about.Path
}
