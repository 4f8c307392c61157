// SPDX-License-Identifier: GPL-3.0-or-later

package confined

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// makeFor makes a user's directory in one that belongs to a user. Root gives
// away only what it has just made: it makes the directory where only root can
// reach it, gives it away there, and moves it to its place.
func makeFor(parent int, name string, mode fs.FileMode, uid, gid int) error {
	if os.Geteuid() != 0 || uid == 0 && gid == 0 {
		return unix.Mkdirat(parent, name, uint32(mode.Perm()))
	}
	var status unix.Stat_t
	if unix.Fstatat(parent, name, &status, unix.AT_SYMLINK_NOFOLLOW) == nil {
		return unix.EEXIST
	}
	workshop := ".slapos-new-" + name
	if err := removeAt(context.Background(), parent, workshop); err != nil { // left by a killed agent
		return err
	}
	if err := unix.Mkdirat(parent, workshop, 0o700); err != nil {
		return err
	}
	defer func() { _ = unix.Unlinkat(parent, workshop, unix.AT_REMOVEDIR) }() // the user may replace that name
	private, err := openPrivate(parent, workshop)
	if err != nil {
		return err
	}
	defer unix.Close(private)
	if err := unix.Mkdirat(private, name, 0o700); err != nil {
		return err
	}
	made, err := openBeneath(private, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(made)
	if err := errors.Join(unix.Fchmod(made, uint32(mode.Perm())), unix.Fchown(made, uid, gid)); err != nil {
		return err
	}
	err = unix.Renameat2(private, name, parent, name, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // an old kernel or file system
		err = unix.Renameat(private, name, parent, name) // only replaces empty directories
	}
	if err != nil {
		_ = unix.Unlinkat(private, name, unix.AT_REMOVEDIR)
	}
	return err
}

// openPrivate opens a directory that root has just made for itself, if it still
// belongs to root and nobody else can reach it.
func openPrivate(parent int, name string) (fd int, err error) {
	fd, err = openBeneath(parent, name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return -1, err
	}
	var status unix.Stat_t
	err = unix.Fstat(fd, &status)
	if err == nil && (status.Uid != 0 || status.Mode&0o777 != 0o700) {
		err = errExchanged
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
