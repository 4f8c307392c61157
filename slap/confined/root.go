// SPDX-License-Identifier: GPL-3.0-or-later

package confined

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// A Root is an [os.Root], a directory outside which nothing is touched, whose
// errors name a file by its whole path. The standard library's name it as the
// caller did, so that on a node with a hundred partitions nobody knows whose
// file is meant.
type Root struct{ *os.Root }

// OpenRoot opens a directory.
func OpenRoot(directory string) (*Root, error) {
	root, err := os.OpenRoot(directory)
	if err != nil {
		return nil, err
	}
	return &Root{root}, nil
}

// whole completes the paths in an error.
func (r *Root) whole(err error) error {
	if err == nil {
		return nil
	}
	var one *fs.PathError
	if errors.As(err, &one) {
		return &fs.PathError{Op: one.Op, Path: r.path(one.Path), Err: one.Err}
	}
	var two *os.LinkError
	if errors.As(err, &two) {
		return &os.LinkError{Op: two.Op, Old: r.path(two.Old), New: r.path(two.New), Err: two.Err}
	}
	return err
}

func (r *Root) path(name string) string { return filepath.Join(r.Name(), name) }

// OpenRoot is [os.Root.OpenRoot].
func (r *Root) OpenRoot(name string) (*Root, error) {
	root, err := r.Root.OpenRoot(name)
	if err != nil {
		return nil, r.whole(err)
	}
	return &Root{root}, nil
}

// Open is [os.Root.Open].
func (r *Root) Open(name string) (*os.File, error) {
	file, err := r.Root.Open(name)
	return file, r.whole(err)
}

// OpenFile is [os.Root.OpenFile].
func (r *Root) OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error) {
	file, err := r.Root.OpenFile(name, flag, mode)
	return file, r.whole(err)
}

// Mkdir is [os.Root.Mkdir].
func (r *Root) Mkdir(name string, mode fs.FileMode) error { return r.whole(r.Root.Mkdir(name, mode)) }

// Chmod is [os.Root.Chmod].
func (r *Root) Chmod(name string, mode fs.FileMode) error { return r.whole(r.Root.Chmod(name, mode)) }

// Remove is [os.Root.Remove].
func (r *Root) Remove(name string) error { return r.whole(r.Root.Remove(name)) }

// RemoveAll is [os.Root.RemoveAll].
func (r *Root) RemoveAll(name string) error { return r.whole(r.Root.RemoveAll(name)) }

// Rename is [os.Root.Rename].
func (r *Root) Rename(old, name string) error { return r.whole(r.Root.Rename(old, name)) }

// Stat is [os.Root.Stat].
func (r *Root) Stat(name string) (fs.FileInfo, error) {
	info, err := r.Root.Stat(name)
	return info, r.whole(err)
}

// Lstat is [os.Root.Lstat].
func (r *Root) Lstat(name string) (fs.FileInfo, error) {
	info, err := r.Root.Lstat(name)
	return info, r.whole(err)
}

// Readlink is [os.Root.Readlink].
func (r *Root) Readlink(name string) (string, error) {
	target, err := r.Root.Readlink(name)
	return target, r.whole(err)
}
