// SPDX-License-Identifier: GPL-3.0-or-later

package server

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Directory keeps contents in files named by their sums, as the original's
// local cache does. A file's time is its last use, to the minute.
type Directory struct {
	Path string
	Now  func() time.Time // default: time.Now
}

func (d *Directory) now() time.Time {
	if d.Now == nil {
		return time.Now()
	}
	return d.Now()
}

func (d *Directory) file(sum string) string { return filepath.Join(d.Path, sum) }

// Open implements [Blobs].
func (d *Directory) Open(_ context.Context, sum string) (io.ReadSeekCloser, error) {
	file, info, err := d.open(sum)
	if err != nil {
		return nil, err
	}
	if now := d.now(); now.Sub(info.ModTime()) > time.Minute {
		_ = os.Chtimes(d.file(sum), now, now) // on a read-only disk all contents count as old
	}
	return file, nil
}

// Peek implements [Blobs].
func (d *Directory) Peek(_ context.Context, sum string) (io.ReadCloser, error) {
	file, _, err := d.open(sum)
	return file, err
}

func (d *Directory) open(sum string) (*os.File, fs.FileInfo, error) {
	if !IsSum(sum) {
		return nil, nil, fs.ErrNotExist
	}
	file, err := os.OpenFile(d.file(sum), os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return file, info, nil
}

// Store implements [Blobs].
func (d *Directory) Store(ctx context.Context, content io.Reader, expected string) (sum string, err error) {
	return store(ctx, d, content, expected)
}

// Scratch implements [Blobs].
func (d *Directory) Scratch() string { return d.Path }

// Adopt implements [Blobs].
func (d *Directory) Adopt(_ context.Context, file *os.File, sum string) error {
	defer os.Remove(file.Name()) // unless it was renamed
	if err := file.Chmod(0o644); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	now := d.now()
	if err := os.Chtimes(file.Name(), now, now); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), d.file(sum)); err != nil {
		return err
	}
	return syncDirectory(d.Path)
}

func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}

// Has implements [Blobs].
func (d *Directory) Has(_ context.Context, sum string) (bool, error) {
	if !IsSum(sum) {
		return false, nil
	}
	info, err := os.Lstat(d.file(sum))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.Mode().IsRegular(), err
}

// List implements [Blobs].
func (d *Directory) List(ctx context.Context) ([]Blob, error) {
	entries, err := os.ReadDir(d.Path)
	if err != nil {
		return nil, err
	}
	var all []Blob
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue // removed meanwhile, or not a content
		}
		switch {
		case IsSum(entry.Name()):
			all = append(all, Blob{Sum: entry.Name(), Size: info.Size(), Used: info.ModTime(), Stored: birth(d.file(entry.Name()))})
		case isTemporary(entry.Name()):
			removeAbandoned(d.file(entry.Name()), info.ModTime())
		}
	}
	return all, ctx.Err()
}

// birth is when a file was made, zero if the file system doesn't tell.
func birth(path string) time.Time {
	var about unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BTIME, &about)
	if err != nil || about.Mask&unix.STATX_BTIME == 0 {
		return time.Time{}
	}
	return time.Unix(about.Btime.Sec, int64(about.Btime.Nsec))
}

// Remove implements [Blobs].
func (d *Directory) Remove(_ context.Context, sum string) error {
	err := os.Remove(d.file(sum))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
