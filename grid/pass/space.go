// SPDX-License-Identifier: GPL-3.0-or-later

package pass

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// CheckFreeSpace fails if an ordinary user has fewer than required bytes left
// on the file system where path is, or would be (GRID-26). option is the
// setting's name for the message.
func CheckFreeSpace(path string, required int64, option string) error {
	if required == 0 {
		return nil
	}
	available, err := freeSpace(path)
	if err != nil {
		return err
	}
	if available >= required {
		return nil
	}
	return fmt.Errorf("Not enough space for %s: available %s, required %s (option '%s')",
		path, FormatSize(available), FormatSize(required), option)
}

func freeSpace(path string) (int64, error) {
	for {
		var stat unix.Statfs_t
		err := unix.Statfs(path, &stat)
		if err == nil {
			return int64(stat.Bavail) * stat.Bsize, nil
		}
		if parent := filepath.Dir(path); errors.Is(err, os.ErrNotExist) && parent != path {
			path = parent
			continue
		}
		return 0, fmt.Errorf("free space of %s: %w", path, err)
	}
}
