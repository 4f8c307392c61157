// SPDX-License-Identifier: GPL-3.0-or-later

package pass

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"slapos/slap/confined"
)

// stateDirectory is below the directory of partitions, beside the supervisor's
// files.
const stateDirectory = "var/agent"

// StateDirectory creates the agent's own directory if it is missing. It holds
// the agent's locks and everything that decides what the agent does: the
// directories of partitions and releases belong to others, who can put anything
// there under any name, and lock it. What the original keeps in those is
// written there, too, but only for the original and the user to read (GRID-97).
func (n *Node) StateDirectory() (string, error) {
	path := filepath.Join(n.InstanceRoot, stateDirectory)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeState(path); err != nil {
			return "", err
		}
		info, err = os.Lstat(path)
	}
	if err != nil {
		return "", err
	}
	if uid, _ := confined.Owner(info); !info.IsDir() || uid != os.Geteuid() || info.Mode().Perm() != 0o700 {
		return "", fmt.Errorf("%s must be a directory of the agent's user, with mode 0700: make it one, or remove it", path)
	}
	return path, nil
}

// makeState creates the directory and the supervisor's directory above it.
// Another run may be faster.
func makeState(path string) error {
	for _, made := range []struct {
		path string
		mode fs.FileMode
	}{{filepath.Dir(path), 0o755}, {path, 0o700}} {
		if err := os.Mkdir(made.path, made.mode); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// OpenState opens the agent's own directory; close it after use.
func (n *Node) OpenState() (*confined.Directory, error) {
	path, err := n.StateDirectory()
	if err != nil {
		return nil, err
	}
	return confined.Open(path)
}
