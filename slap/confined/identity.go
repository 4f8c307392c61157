// SPDX-License-Identifier: GPL-3.0-or-later

package confined

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// An identity distinguishes directories, and the mounts through which one is
// seen: for a user's processes alone, root's files may be mounted over those in
// it.
type identity struct{ mount, device, inode uint64 }

var errExchanged = errors.New("it was replaced while it was opened")

// identify returns the identity of an open file.
func identify(fd int) (identity, unix.Stat_t, error) {
	var status unix.Stat_t
	if err := unix.Fstat(fd, &status); err != nil {
		return identity{}, status, err
	}
	mount, err := mountOf(fd)
	return identity{mount: mount, device: uint64(status.Dev), inode: status.Ino}, status, err
}

// mountOf returns the number of a descriptor's mount. No other mount has that
// number while the descriptor is open.
func mountOf(fd int) (uint64, error) {
	var status unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &status)
	if err == nil && status.Mask&unix.STATX_MNT_ID != 0 {
		return status.Mnt_id, nil
	}
	return mountInText(fd) // kernels before 5.8, some containers
}

func mountInText(fd int) (uint64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if number, found := strings.CutPrefix(line, "mnt_id:"); found {
			return strconv.ParseUint(strings.TrimSpace(number), 10, 64)
		}
	}
	return 0, errors.New("/proc doesn't tell mounts")
}

// openIdentical opens the directory at a path if it is the one that was found
// before. It needs the path, since an [os.Root] can only be made from one.
func openIdentical(path string, wanted identity, gives bool) (*Directory, error) {
	root, err := OpenRoot(path)
	if err != nil {
		return nil, err
	}
	directory, err := newDirectory(root, gives)
	if err != nil {
		return nil, err
	}
	found, err := directory.identity()
	if err == nil && found != wanted {
		err = fmt.Errorf("open %s: %w", path, errExchanged)
	}
	if err != nil {
		directory.Close()
		return nil, err
	}
	return directory, nil
}

func (d *Directory) identity() (identity, error) {
	opened, err := d.Handle()
	if err != nil {
		return identity{}, err
	}
	defer opened.Close()
	found, _, err := identify(int(opened.Fd()))
	return found, err
}

// Handle opens the directory itself again: a child can begin in it, whatever has
// become of its name.
func (d *Directory) Handle() (*os.File, error) { return d.Root.Open(".") }

// Again opens the directory for another user, who closes it.
func (d *Directory) Again() (*Directory, error) {
	root, err := d.OpenRoot(".")
	if err != nil {
		return nil, err
	}
	return newDirectory(root, d.gives)
}
