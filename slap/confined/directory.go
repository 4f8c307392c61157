// SPDX-License-Identifier: GPL-3.0-or-later

package confined

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// MaxFile is the size, in bytes, up to which [Directory.Read] reads a file: its
// user may have written it.
const MaxFile = 1 << 20

// MaxEntries bounds the size of directories that are listed as a whole.
const MaxEntries = 10_000

// A Directory is the directory of a partition or of a release, opened once. No
// pipe in it blocks, no name is trusted after it was checked, and nothing is
// written or given away that may be a second name of somebody else's file. The
// link count proves nothing, since the user may remove the name under which the
// agent opened a file; its owner or kind does.
//
// Names are relative to the directory. Only root changes owners: another
// agent's files stay its own, and so do those made with the [Rights] of the
// directory's user.
type Directory struct {
	*Root
	UID, GID int         // owner of the directory
	Mode     fs.FileMode // of the directory
	// gives means that new files are given to the directory's user.
	gives bool
	// linksProtected means that the kernel lets users make hard links only to
	// their own files.
	linksProtected bool
	// clearTime is that of the constant.
	clearTime time.Duration
	// leave ends the guard against mounts, if there is one.
	leave func()
}

// Close closes the directory.
func (d *Directory) Close() error {
	if d.leave != nil {
		d.leave()
	}
	return d.Root.Close()
}

func newDirectory(root *Root, gives bool) (*Directory, error) {
	info, err := root.Stat(".")
	if err != nil {
		root.Close()
		return nil, err
	}
	d := &Directory{Root: root, Mode: info.Mode(), gives: gives, linksProtected: hardLinksProtected(), clearTime: clearTime}
	d.UID, d.GID = Owner(info)
	return d, nil
}

// Below opens a directory in this one, with the same rules. Opening a directory
// once saves system calls for each path below it.
func (d *Directory) Below(name string) (*Directory, error) {
	root, err := d.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return newDirectory(root, d.gives)
}

// Join returns the absolute path of a name, for messages or for a child process.
func (d *Directory) Join(name string) string { return d.path(name) }

// Owns reports whether a file belongs to the directory's user.
func (d *Directory) Owns(info fs.FileInfo) bool {
	uid, _ := Owner(info)
	return uid == d.UID
}

// Exists reports whether the name exists, even as a dangling link.
func (d *Directory) Exists(name string) bool {
	_, err := d.Lstat(name)
	return err == nil
}

// OpenRegular opens only regular files. A new file has mode 0666, minus the
// process's umask.
func (d *Directory) OpenRegular(name string, flags int) (*os.File, fs.FileInfo, error) {
	file, err := d.OpenFile(name, flags|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0o666)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", file.Name())
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, info, nil
}

// Read returns the content of a regular file of at most [MaxFile] bytes. If
// hard links are not protected, it may be anybody's file: don't show the
// content to anyone. See [Directory.ReadOwn].
func (d *Directory) Read(name string) ([]byte, error) {
	content, _, err := d.ReadFile(name)
	return content, err
}

// ReadOwn is Read for a file that must belong to the directory's user.
func (d *Directory) ReadOwn(name string) ([]byte, error) {
	content, info, err := d.ReadFile(name)
	if err == nil && !d.Owns(info) {
		return nil, fmt.Errorf("%s doesn't belong to user %d", d.Join(name), d.UID)
	}
	return content, err
}

// ReadGiven is Read for a file that belongs to the directory's user or, as one
// that root wrote there, certainly isn't a link to another user's.
func (d *Directory) ReadGiven(name string) ([]byte, error) {
	content, info, err := d.ReadFile(name)
	if err == nil && d.gives && !d.Owns(info) && !d.IsOneName(info) {
		return nil, fmt.Errorf("%s belongs to another user: chown it to user %d", d.Join(name), d.UID)
	}
	return content, err
}

// ReadFile is Read, and also returns the file's FileInfo.
func (d *Directory) ReadFile(name string) ([]byte, fs.FileInfo, error) {
	file, info, err := d.OpenRegular(name, os.O_RDONLY)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, MaxFile+1))
	if err == nil && len(content) > MaxFile {
		err = fmt.Errorf("%s is larger than %d bytes", file.Name(), MaxFile)
	}
	return content, info, err
}

// List returns at most limit entries of a directory, in its own order, and
// whether there are more. A missing directory has none; anything else than a
// directory is the error syscall.ENOTDIR.
func (d *Directory) List(directory string, limit int) (entries []fs.DirEntry, more bool, err error) {
	opened, err := d.OpenFile(directory, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer opened.Close()
	entries, err = opened.ReadDir(limit + 1)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if len(entries) > limit {
		return entries[:limit], true, err
	}
	return entries, false, err
}

// Entries lists a directory, sorted. A name that is not a directory has no
// entries; a directory with more than [MaxEntries] is an error.
func (d *Directory) Entries(directory string) ([]fs.DirEntry, error) {
	entries, more, err := d.List(directory, MaxEntries)
	if errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	if more {
		return nil, fmt.Errorf("%s has more than %d entries", d.Join(directory), MaxEntries)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// Owner returns the owner and the group of a file, -1 if unknown.
func Owner(info fs.FileInfo) (uid, gid int) {
	status, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1, -1
	}
	return int(status.Uid), int(status.Gid)
}

// Links returns how many names a file has.
func Links(info fs.FileInfo) uint64 {
	status, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 1
	}
	return uint64(status.Nlink)
}

// FS returns the directory as a file system that can be listed, whatever its
// user puts in place of directories: [os.Root.FS] would wait for the writer of
// a pipe.
func (d *Directory) FS() fs.ReadDirFS { return view{d} }

type view struct{ directory *Directory }

func (v view) ReadDir(name string) ([]fs.DirEntry, error) { return v.directory.Entries(name) }

func (v view) Open(name string) (fs.File, error) {
	return v.directory.OpenFile(filepath.FromSlash(name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// IsAbsent reports whether an error means that a path leads nowhere: missing,
// or through a file or a loop of links.
func IsAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)
}
