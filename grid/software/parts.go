// SPDX-License-Identifier: GPL-3.0-or-later

package software

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"slapos/slap/confined"
)

// OpenParts returns a function that opens the directory of the shared parts with a name
// and makes it if it is missing, for the owner of the directory above; and that, for
// the owner of releases. Who owns a directory may exchange what is in it, so each is
// made where root alone can reach it, and opened from where it is (GRID-101, GRID-103).
func OpenParts(softwareRoot string) func(root, name string) (*os.Root, error) {
	return func(root, name string) (*os.Root, error) {
		place, err := confined.OpenPlace(root)
		if errors.Is(err, fs.ErrNotExist) {
			if err := makeSharedRoot(softwareRoot, root); err != nil {
				return nil, err
			}
			place, err = confined.OpenPlace(root)
		}
		if err != nil {
			return nil, err
		}
		defer place.Close()
		if err := place.Make(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		directory, err := place.Open(name, place.UID)
		if err != nil {
			return nil, err
		}
		return directory.Root.Root, nil
	}
}

func makeSharedRoot(softwareRoot, root string) error {
	root = filepath.Clean(root)
	if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		return err
	}
	releases, err := confined.OpenPlace(softwareRoot)
	if err != nil {
		return err
	}
	defer releases.Close()
	above, err := confined.OpenPlace(filepath.Dir(root))
	if err != nil {
		return err
	}
	defer above.Close()
	above.UID, above.GID = releases.UID, releases.GID
	if err := above.Make(filepath.Base(root), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
