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

// stateDirectory is below the directory of partitions, beside what the supervisor
// has there.
const stateDirectory = "var/agent"

// StateDirectory is the agent's own directory, made if it is missing. What decides
// what the agent does is kept there, and its locks: directories of partitions and
// of releases belong to somebody else, who can put anything under any name there,
// and who can lock them. What the original keeps in them is written there as
// well, for the original and for the user to read (GRID-97).
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

// makeState makes the directory, and the supervisor's that it is in. Another run
// may be faster.
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

// OpenState opens the directory; close it after use.
func (n *Node) OpenState() (*confined.Directory, error) {
	path, err := n.StateDirectory()
	if err != nil {
		return nil, err
	}
	return confined.Open(path)
}
