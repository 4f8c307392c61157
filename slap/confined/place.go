// SPDX-License-Identifier: GPL-3.0-or-later

package confined

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A Place holds directories that belong to somebody else: software_root,
// instance_root, a directory of shared parts. Whoever owns a name in it may
// replace what has that name at any moment, so a path proves nothing (D-31): a
// place is opened once, and its content is opened from there, without following
// a link or crossing a mount. All further work uses the opened [Directory].
//
// An agent that isn't root only has its user's rights, to which nothing can
// add: for it a link or a mount is as good as a directory.
type Place struct {
	fd   int
	path string
	// UID and GID are those of the place's owner.
	UID, GID int
	// sure means that only root can write here: a link of root's, or a mount,
	// is where the administrator put it.
	sure bool
	// mounts is the table of mounts, once something was opened.
	mounts *mountTable
}

// Anybody as an owner accepts a directory whoever owns it, see [Place.Open].
const Anybody = -1

// OpenPlace opens a place, whose path comes from the administrator.
func OpenPlace(path string) (*Place, error) {
	fd, err := openRetrying(unix.AT_FDCWD, path, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	p := &Place{fd: fd, path: path, mounts: &mountTable{}}
	var status unix.Stat_t
	if err := unix.Fstat(fd, &status); err != nil {
		unix.Close(fd)
		return nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	p.UID, p.GID = int(status.Uid), int(status.Gid)
	p.sure = status.Uid == 0 && status.Mode&0o022 == 0
	return p, nil
}

// Close closes the place. What was opened in it stays open.
func (p *Place) Close() error {
	p.mounts.close()
	return unix.Close(p.fd)
}

// Path returns the path of a name.
func (p *Place) Path(name string) string { return filepath.Join(p.path, name) }

// Open opens a directory of the place, which must belong to owner (D-31) unless
// that is [Anybody].
func (p *Place) Open(name string, owner int) (*Directory, error) {
	fd, err := p.enter(name)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	wanted, status, err := identify(fd)
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: p.Path(name), Err: err}
	}
	if uid := int(status.Uid); owner != Anybody && uid != owner && os.Geteuid() == 0 {
		return nil, &OwnerError{Path: p.Path(name), UID: uid, Wanted: owner}
	}
	if os.Geteuid() != 0 {
		return openIdentical(p.Path(name), wanted, false)
	}
	return p.openGuarded(name, fd, wanted)
}

// openGuarded keeps file systems of users away while the directory is open, see
// [mountGuard].
func (p *Place) openGuarded(name string, fd int, wanted identity) (*Directory, error) {
	leave, err := guard.enter(p.fd, name, fd)
	if err != nil {
		return nil, fmt.Errorf("open %s: watch for mounts: %w", p.Path(name), err)
	}
	if err := p.clearWaiting(fd); err != nil {
		leave()
		return nil, fmt.Errorf("open %s: %w", p.Path(name), err)
	}
	directory, err := openIdentical(p.Path(name), wanted, true)
	if err != nil {
		leave()
		return nil, err
	}
	directory.leave = leave
	return directory, nil
}

// An OwnerError says that a directory doesn't belong to the required user.
type OwnerError struct {
	Path        string
	UID, Wanted int
}

func (e *OwnerError) Error() string {
	return fmt.Sprintf("%s belongs to user %d: remove it, or chown it to user %d", e.Path, e.UID, e.Wanted)
}

// A LinkError says that something isn't in its place, but reached from there.
type LinkError struct {
	Path string
	What string // a link, a mount
}

func (e *LinkError) Error() string {
	return fmt.Sprintf("%s is %s in a directory that others than root can write: replace it with its target", e.Path, e.What)
}

// enter finds a directory of the place.
func (p *Place) enter(name string) (fd int, err error) {
	path := p.Path(name)
	if !IsName(name) {
		return -1, fmt.Errorf("%q in %s is not the name of a directory", name, p.path)
	}
	const flags = unix.O_PATH | unix.O_DIRECTORY
	if os.Geteuid() != 0 {
		fd, err = openRetrying(p.fd, name, flags)
	} else {
		fd, err = openBeneath(p.fd, name, flags)
	}
	switch {
	case errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR):
		var status unix.Stat_t
		errStat := unix.Fstatat(p.fd, name, &status, unix.AT_SYMLINK_NOFOLLOW)
		switch {
		case errStat != nil || status.Mode&unix.S_IFMT != unix.S_IFLNK:
		case !p.sure || status.Uid != 0:
			return -1, &LinkError{path, "a link"}
		default:
			fd, err = openRetrying(p.fd, name, flags)
		}
	case errors.Is(err, unix.EXDEV):
		if !p.sure || isUserMountAt(path) {
			return -1, &LinkError{path, "a mount"}
		}
		fd, err = openRetrying(p.fd, name, flags|unix.O_NOFOLLOW)
	}
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

// IsName reports whether a word can be the name of something in a directory,
// and nothing else.
func IsName(word string) bool {
	return word != "" && word != "." && word != ".." && !strings.ContainsAny(word, "/\x00")
}

// Exists reports whether the name exists, even as a dangling link.
func (p *Place) Exists(name string) bool {
	var status unix.Stat_t
	return unix.Fstatat(p.fd, name, &status, unix.AT_SYMLINK_NOFOLLOW) == nil
}

// Remove removes a name of the place and everything below it, see [Remove].
func (p *Place) Remove(ctx context.Context, name string) error {
	err := errors.New("not the name of a tree")
	if IsName(name) {
		err = removeAt(ctx, p.fd, name)
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", p.Path(name), err)
	}
	return nil
}

// Names lists the place, sorted.
func (p *Place) Names() ([]string, error) {
	fd, err := openRetrying(p.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: p.path, Err: err}
	}
	directory := os.NewFile(uintptr(fd), p.path)
	defer directory.Close()
	entries, err := directory.ReadDir(-1)
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names, err
}

// Make makes a directory that belongs to the place's owner.
func (p *Place) Make(name string, mode fs.FileMode) error {
	if !IsName(name) {
		return fmt.Errorf("%q in %s is not the name of a directory", name, p.path)
	}
	if err := makeFor(p.fd, name, mode, p.UID, p.GID); err != nil {
		return &fs.PathError{Op: "mkdir", Path: p.Path(name), Err: err}
	}
	return nil
}

// OpenBelow opens a directory some levels below a place: each level must belong
// to the owner of the place, and be in its place.
func OpenBelow(place, name string) (*Directory, error) {
	top, err := OpenPlace(place)
	if err != nil {
		return nil, err
	}
	defer top.Close()
	return top.below(strings.Split(name, "/"))
}

func (p *Place) below(names []string) (*Directory, error) {
	directory, err := p.Open(names[0], p.UID)
	if err != nil || len(names) == 1 {
		return directory, err
	}
	defer directory.Close()
	next, err := directory.place()
	if err != nil {
		return nil, err
	}
	defer next.Close()
	return next.below(names[1:])
}

// place returns the directory as a place for others.
func (d *Directory) place() (*Place, error) {
	opened, err := d.Handle()
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	fd, err := openRetrying(int(opened.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: d.Name(), Err: err}
	}
	return &Place{
		fd: fd, path: d.Name(), UID: d.UID, GID: d.GID, sure: d.UID == 0 && d.Mode&0o022 == 0, mounts: &mountTable{},
	}, nil
}

// RemoveBelow removes a tree some levels below a place, see [OpenBelow].
func RemoveBelow(ctx context.Context, place, name string) error {
	above, base := filepath.Split(name)
	if above == "" {
		top, err := OpenPlace(place)
		if err != nil {
			return err
		}
		defer top.Close()
		return top.Remove(ctx, base)
	}
	directory, err := OpenBelow(place, filepath.Clean(above))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer directory.Close()
	return directory.RemoveTree(ctx, base)
}

// Open opens a directory with the agent's rights, in its place: see
// [Place.Open].
func Open(directory string) (*Directory, error) { return OpenOf(directory, Anybody) }

// OpenOf is [Open] for a directory that must belong to owner.
func OpenOf(directory string, owner int) (*Directory, error) {
	directory = filepath.Clean(directory)
	name := filepath.Base(directory)
	if !IsName(name) {
		directory, err := filepath.Abs(directory)
		if err != nil {
			return nil, err
		}
		if directory != "/" {
			return OpenOf(directory, owner)
		}
		root, err := OpenRoot(directory)
		if err != nil {
			return nil, err
		}
		return newDirectory(root, os.Geteuid() == 0)
	}
	place, err := OpenPlace(filepath.Dir(directory))
	if err != nil {
		return nil, err
	}
	defer place.Close()
	return place.Open(name, owner)
}

func openRetrying(at int, name string, flags int) (fd int, err error) {
	err = retryInterrupted(func() (err error) {
		fd, err = unix.Openat(at, name, flags|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, err
}
