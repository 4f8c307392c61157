// SPDX-License-Identifier: GPL-3.0-or-later

package archive

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// room is what is left on the disk. It is looked at again after each part of
// what there was last time.
type room struct {
	directory *os.File
	reserve   int64
	used      int64 // since the last look
	free      int64 // at the last look, less the reserve
	files     int64 // that may be made before the next look; negative: no limit
	unlimited bool
}

// lookAgain bytes written mean another look, since others write too; lookFiles
// files.
const (
	lookAgain = 4 << 20
	lookFiles = 512
)

var (
	errNoRoom  = errors.New("doesn't fit on the disk")
	errNoFiles = errors.New("is one file too many for the disk")
)

func (r *room) look() error {
	var status unix.Statfs_t
	if err := unix.Fstatfs(int(r.directory.Fd()), &status); err != nil {
		return fmt.Errorf("free space: %w", err)
	}
	r.used = 0
	r.free = int64(status.Bavail)*status.Bsize - r.reserve
	// Some filesystems have no number of files, and say that it is 0.
	r.unlimited = status.Files == 0
	// A fiftieth of the files stays for others.
	r.files = min(int64(status.Ffree)-int64(status.Files/50), lookFiles)
	return nil
}

// bytes tells whether size more can be written.
func (r *room) bytes(size int64) error {
	if r.used >= lookAgain || r.used+size > r.free {
		if err := r.look(); err != nil {
			return err
		}
	}
	if r.used+size > r.free {
		return errNoRoom
	}
	return nil
}

// file takes the place of one more file, and a block for it.
func (r *room) file() error {
	const block = 4096
	if r.files <= 0 && !r.unlimited {
		if err := r.look(); err != nil {
			return err
		}
		if r.files <= 0 {
			return errNoFiles
		}
	}
	r.files--
	r.used += block
	return r.bytes(0)
}

func (r *room) close() error {
	if r.directory == nil {
		return nil
	}
	return r.directory.Close()
}
