// SPDX-License-Identifier: GPL-3.0-or-later

package confined

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// GiveAway gives what an agent left to the directory's user: a directory or a
// symbolic link; other files only if the kernel protects hard links. The user may
// have moved something else of root's there, so root's is given only if that reveals
// nothing.
func (d *Directory) GiveAway(name string) error {
	return d.give(name, func(info fs.FileInfo) error {
		isPlain := info.Mode().Type()&(fs.ModeDir|fs.ModeSymlink) == 0
		if isPlain && !d.IsOneName(info) {
			return errMaybeLinked
		}
		if uid, _ := Owner(info); uid == 0 && !isOpen(info.Mode()) {
			return errClosed
		}
		return nil
	})
}

// isOpen reports whether everybody may read a file, or list and enter a directory.
func isOpen(mode fs.FileMode) bool {
	return mode.Type() == fs.ModeSymlink || mode.Perm()&0o004 != 0 && (!mode.IsDir() || mode.Perm()&0o001 != 0)
}

var errClosed = errors.New("it is root's, and closed to others: remove it, or chown it to the directory's user")

// giveLink is GiveAway for a newly made symbolic link.
func (d *Directory) giveLink(name string) error {
	return d.give(name, func(info fs.FileInfo) error {
		if info.Mode().Type() != fs.ModeSymlink {
			return errExchanged
		}
		return nil
	})
}

func (d *Directory) give(name string, check func(fs.FileInfo) error) error {
	if !d.gives {
		return nil
	}
	file, err := d.OpenFile(name, unix.O_PATH|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if uid, gid := Owner(info); uid == d.UID && gid == d.GID {
		return nil
	}
	if err := check(info); err != nil {
		return fmt.Errorf("chown %s: %w", file.Name(), err)
	}
	if err := unix.Fchownat(int(file.Fd()), "", d.UID, d.GID, unix.AT_EMPTY_PATH); err != nil {
		return fmt.Errorf("chown %s: %w", file.Name(), err)
	}
	return nil
}

var errMaybeLinked = errors.New("it may be a hard link to another user's file")

// IsOneName reports whether a file certainly isn't a hard link to somebody else's.
func (d *Directory) IsOneName(info fs.FileInfo) bool { return d.linksProtected && Links(info) <= 1 }

var hardLinksProtected = sync.OnceValue(func() bool {
	setting, err := os.ReadFile("/proc/sys/fs/protected_hardlinks")
	return err == nil && len(setting) > 0 && setting[0] == '1'
})

// GivePath gives root's directories on a path to the directory's user, without
// following a link or crossing a mount, if that reveals nothing: what everybody can
// list, or what is empty. A missing directory is no error.
func (d *Directory) GivePath(name string) error {
	if !d.gives {
		return nil
	}
	at, err := d.OpenFile(".", os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer at.Close()
	fd := int(at.Fd())
	for _, part := range strings.Split(name, "/") {
		fd, err = openBeneath(fd, part, unix.O_RDONLY|unix.O_DIRECTORY)
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err != nil {
			return &fs.PathError{Op: "open", Path: d.Join(name), Err: err}
		}
		defer unix.Close(fd)
		var status unix.Stat_t
		if err := unix.Fstat(fd, &status); err != nil {
			return err
		}
		if status.Uid != 0 {
			continue
		}
		if status.Mode&0o005 != 0o005 && !isEmpty(fd) {
			return &fs.PathError{Op: "chown", Path: d.Join(name), Err: errClosed}
		}
		if err := unix.Fchown(fd, d.UID, d.GID); err != nil {
			return &fs.PathError{Op: "chown", Path: d.Join(name), Err: err}
		}
	}
	return nil
}

// isEmpty reports whether an open directory has no entries.
func isEmpty(fd int) bool {
	again, err := openRetrying(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return false
	}
	directory := os.NewFile(uintptr(again), ".")
	defer directory.Close()
	_, err = directory.ReadDir(1)
	return errors.Is(err, io.EOF)
}

// maxDepth and MaxEntries bound [Directory.GiveAwayTree]: the agent writes in the
// first few levels.
const maxDepth = 16

// GiveAwayTree is GiveAway for everything below directory that doesn't belong
// to the user (GRID-50). It leaves what can't be given, and makes empty directories
// of root's again.
func (d *Directory) GiveAwayTree(directory string) error {
	entries := MaxEntries
	return d.giveAwayBelow(directory, maxDepth, &entries)
}

func (d *Directory) giveAwayBelow(directory string, depth int, left *int) error {
	if depth == 0 || !d.gives {
		return nil
	}
	entries, err := d.Entries(directory)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if *left--; *left < 0 {
			return nil
		}
		name := path.Join(directory, entry.Name())
		if info, err := entry.Info(); err == nil {
			if !d.Owns(info) {
				err = d.GiveAway(name)
			}
			if errors.Is(err, errClosed) && info.IsDir() {
				err = d.MakeDirectory(name, info.Mode().Perm())
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errMaybeLinked) && !errors.Is(err, errClosed) {
				return err
			}
		}
		if entry.IsDir() {
			if err := d.giveAwayBelow(name, depth-1, left); err != nil {
				return err
			}
		}
	}
	return nil
}
