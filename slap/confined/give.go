// SPDX-License-Identifier: GPL-3.0-or-later

package confined

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// GiveAway gives a directory or a symbolic link to the directory's user; other
// files only if the kernel protects hard links.
func (d *Directory) GiveAway(name string) error {
	return d.give(name, func(info fs.FileInfo) error {
		isPlain := info.Mode().Type()&(fs.ModeDir|fs.ModeSymlink) == 0
		if isPlain && !d.IsOneName(info) {
			return errMaybeLinked
		}
		return nil
	})
}

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
// following a link or crossing a mount. A missing directory is no error.
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
		if err := unix.Fchown(fd, d.UID, d.GID); err != nil {
			return &fs.PathError{Op: "chown", Path: d.Join(name), Err: err}
		}
	}
	return nil
}

// maxDepth and MaxEntries bound [Directory.GiveAwayTree]: the agent writes in the
// first few levels.
const maxDepth = 16

// GiveAwayTree is GiveAway for everything below directory that doesn't belong
// to the user. It leaves what can't be given.
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
			if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errMaybeLinked) {
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
