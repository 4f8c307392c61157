// SPDX-License-Identifier: GPL-3.0-or-later

package archive

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// room is the space left on the disk. It checks again each time a part of that
// is used.
type room struct {
	directory *os.File
	reserve   int64
	used      int64 // since the last check
	free      int64 // at the last check, minus the reserve
	files     int64 // that may be made before the next check; negative: no limit
	unlimited bool
}

// lookAgain bytes or lookFiles files trigger another check, since others write,
// too.
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
	// Some file systems don't count files, and report 0.
	r.unlimited = status.Files == 0
	// A fiftieth of the files is left for others.
	r.files = min(int64(status.Ffree)-int64(status.Files/50), lookFiles)
	return nil
}

// bytes reports whether size more can be written.
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

// file counts one more file, with a block for it.
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
