// SPDX-License-Identifier: GPL-3.0-or-later

package confined

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	// openLevels bounds the descriptors that one removal holds; levels above
	// are reopened by ".." on the way back and compared with the original ones.
	openLevels = 64
	// removalPasses bounds how often a directory is listed again because
	// somebody else fills it while it is being emptied.
	removalPasses = 100
	direntBuffer  = 8 << 10
)

// Remove removes path and everything below it (GRID-37). It removes symbolic
// links without following them and refuses mount points. It gives a
// subdirectory without access mode 0700 first, but never the parent of path.
// Neither depth nor the length of names below path is limited. A missing path
// is no error.
func Remove(ctx context.Context, path string) error {
	path = filepath.Clean(path)
	name := filepath.Base(path)
	if name == "." || name == ".." || name == "/" {
		return fmt.Errorf("remove %s: not the name of a tree", path)
	}
	parent, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	defer unix.Close(parent)
	if err := removeAt(ctx, parent, name); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}

// removeFrom is [Remove] for a name in an open directory.
func removeFrom(ctx context.Context, directory *os.File, name string) error {
	if err := removeAt(ctx, int(directory.Fd()), name); err != nil {
		return fmt.Errorf("remove %s: %w", filepath.Join(directory.Name(), name), err)
	}
	return nil
}

func removeAt(ctx context.Context, parent int, name string) error {
	removal := treeRemoval{levels: []treeLevel{{fd: parent, only: name, pending: []string{name}}}}
	defer removal.close()
	return removal.run(ctx)
}

// emptyOpened removes everything in directory, as carefully as [Remove]. The
// directory itself keeps its place, owner and mode.
func emptyOpened(ctx context.Context, directory *os.File) error {
	fd, err := unix.Openat(int(directory.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("empty %s: %w", directory.Name(), err)
	}
	defer unix.Close(fd)
	removal := treeRemoval{levels: []treeLevel{{fd: fd}}}
	defer removal.close()
	if err := removal.run(ctx); err != nil {
		return fmt.Errorf("empty %s: %w", directory.Name(), err)
	}
	return nil
}

// Empty removes everything in a directory, as carefully as [Remove]. The
// directory itself keeps its place, owner and mode. A missing one is no error;
// a link to one is.
func Empty(ctx context.Context, path string) error {
	directory, err := os.OpenFile(path, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("empty %s: %w", path, err)
	}
	defer directory.Close()
	return emptyOpened(ctx, directory)
}

// A treeRemoval walks down a tree that others may be changing: it keeps one
// level per directory on the way, works on the last one, and never trusts a
// name twice.
type treeRemoval struct {
	levels []treeLevel
	buffer [direntBuffer]byte
}

// A treeLevel is a directory that is being emptied.
type treeLevel struct {
	name     string // in the level above
	only     string // in the first level, the only entry to remove; empty: all
	fd       int    // -1: closed to save descriptors
	dev, ino uint64
	pending  []string // listed and not yet looked at
	removed  bool     // something was removed since the listing began
	passes   int
}

var errRestart = errors.New("the tree was moved while being removed")

// run empties the first level.
func (r *treeRemoval) run(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		level := &r.levels[len(r.levels)-1]
		if len(level.pending) == 0 {
			more, err := r.list(level)
			if err != nil {
				return err
			}
			if more {
				continue
			}
			if len(r.levels) == 1 {
				return nil
			}
			if err := r.ascend(); err != nil {
				return err
			}
			continue
		}
		name := level.pending[len(level.pending)-1]
		level.pending = level.pending[:len(level.pending)-1]
		if err := r.removeEntry(level, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
}

// list reads the next names of a level and returns whether there is more to do.
func (r *treeRemoval) list(level *treeLevel) (more bool, err error) {
	if level.only != "" {
		return false, nil
	}
	count, err := unix.ReadDirent(level.fd, r.buffer[:])
	if err != nil {
		return false, fmt.Errorf("list directory: %w", err)
	}
	if count > 0 {
		_, _, level.pending = unix.ParseDirent(r.buffer[:count], -1, level.pending)
		return true, nil
	}
	if !level.removed {
		return false, nil
	}
	level.removed = false
	if _, err := unix.Seek(level.fd, 0, 0); err != nil {
		return false, fmt.Errorf("list directory: %w", err)
	}
	return true, level.pass()
}

func (l *treeLevel) pass() error {
	l.passes++
	if l.passes > removalPasses {
		return errors.New("the directory is still being written to: stop the processes that use it")
	}
	return nil
}

// removeEntry removes one name of a level or, if it is a directory with
// content, opens it as the next level.
func (r *treeRemoval) removeEntry(level *treeLevel, name string) error {
	level.removed = true
	err := retryInterrupted(func() error { return unix.Unlinkat(level.fd, name, 0) })
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) {
		directory := retryInterrupted(func() error { return unix.Unlinkat(level.fd, name, unix.AT_REMOVEDIR) })
		if !errors.Is(directory, unix.ENOTDIR) {
			err = directory
		}
	}
	switch {
	case err == nil || errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST):
		return r.descend(level, name)
	case errors.Is(err, unix.EBUSY):
		if err := detachUserMount(level.fd, name); err != nil {
			return err
		}
		return r.again(level)
	}
	return err
}

// descend makes the directory name of the last level the new last level.
func (r *treeRemoval) descend(level *treeLevel, name string) error {
	fd, err := openSubdirectory(level.fd, name)
	switch {
	case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP):
		return r.again(level) // replaced meanwhile
	case errors.Is(err, unix.EXDEV):
		return errMounted
	case err != nil:
		return err
	}
	status, err := seize(fd)
	if err != nil {
		unix.Close(fd)
		return err
	}
	r.levels = append(r.levels, treeLevel{name: name, fd: fd, dev: uint64(status.Dev), ino: status.Ino})
	if above := len(r.levels) - 1 - openLevels; above > 0 {
		r.levels[above].closeDescriptor()
	}
	return nil
}

// again has a level looked at once more.
func (r *treeRemoval) again(level *treeLevel) error {
	if level.only != "" {
		level.pending = []string{level.only}
	}
	level.removed = true
	return level.pass()
}

// ascend removes the last level, which is empty, and returns to its parent.
func (r *treeRemoval) ascend() error {
	child := r.levels[len(r.levels)-1]
	parent := &r.levels[len(r.levels)-2]
	if parent.fd < 0 {
		err := reopenParent(child.fd, parent)
		if errors.Is(err, errRestart) {
			return r.restart()
		}
		if err != nil {
			return fmt.Errorf("return to the directory above: %w", err)
		}
	}
	unix.Close(child.fd)
	r.levels = r.levels[:len(r.levels)-1]
	err := retryInterrupted(func() error { return unix.Unlinkat(parent.fd, child.name, unix.AT_REMOVEDIR) })
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ENOTEMPTY), errors.Is(err, unix.EEXIST):
		return r.again(parent) // moved away or filled again: the next listing will show
	}
	return fmt.Errorf("%s: %w", child.name, err)
}

// restart starts over at the first level, the only one whose place is certain.
func (r *treeRemoval) restart() error {
	r.close()
	r.levels = r.levels[:1]
	return r.again(&r.levels[0])
}

// close closes every level but the first, which belongs to the caller.
func (r *treeRemoval) close() {
	for i := range r.levels[1:] {
		r.levels[1+i].closeDescriptor()
	}
}

func (l *treeLevel) closeDescriptor() {
	if l.fd >= 0 {
		unix.Close(l.fd)
	}
	l.fd, l.pending, l.removed = -1, nil, false
}

// reopenParent opens the directory above fd, which must be parent. A directory
// that was moved has another parent, where nothing may be removed.
func reopenParent(fd int, parent *treeLevel) error {
	above, err := unix.Openat(fd, "..", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	var status unix.Stat_t
	if err := unix.Fstat(above, &status); err != nil {
		unix.Close(above)
		return err
	}
	if uint64(status.Dev) != parent.dev || status.Ino != parent.ino {
		unix.Close(above)
		return errRestart
	}
	parent.fd = above
	return nil
}

// openSubdirectory opens a directory for listing, but not through a link or
// across a mount point (EXDEV), and gives it mode 0700 if needed.
func openSubdirectory(parent int, name string) (int, error) {
	fd, err := openBeneath(parent, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if !errors.Is(err, unix.EACCES) {
		return fd, err
	}
	handle, err := openBeneath(parent, name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return -1, err
	}
	defer unix.Close(handle)
	if err := unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", handle), 0o700); err != nil {
		return -1, err
	}
	return unix.Openat(handle, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

func openBeneath(parent int, name string, flags int) (int, error) {
	flags |= unix.O_NOFOLLOW | unix.O_CLOEXEC
	how := unix.OpenHow{Flags: uint64(flags), Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV}
	var fd int
	err := retryInterrupted(func() (err error) {
		fd, err = unix.Openat2(parent, name, &how)
		return err
	})
	if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) {
		return fd, err
	}
	return openSameDevice(parent, name, flags) // kernels before 5.6, some containers
}

func openSameDevice(parent int, name string, flags int) (int, error) {
	var above, status unix.Stat_t
	if err := unix.Fstat(parent, &above); err != nil {
		return -1, err
	}
	fd, err := unix.Openat(parent, name, flags, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Fstat(fd, &status); err != nil {
		unix.Close(fd)
		return -1, err
	}
	if status.Dev != above.Dev {
		unix.Close(fd)
		return -1, unix.EXDEV
	}
	return fd, nil
}

// seize makes sure that the entries of a subdirectory can be removed and, if
// running as root, that its former owner can't add any meanwhile.
func seize(fd int) (unix.Stat_t, error) {
	var status unix.Stat_t
	if err := unix.Fstat(fd, &status); err != nil {
		return status, err
	}
	if os.Geteuid() == 0 && status.Uid != 0 {
		// Best effort: a file system may not obey root (NFS).
		_ = unix.Fchown(fd, 0, -1)
	}
	mode := status.Mode & 0o7777
	if mode&0o700 != 0o700 || os.Geteuid() == 0 && mode != 0o700 {
		_ = unix.Fchmod(fd, 0o700)
	}
	return status, nil
}

func retryInterrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
