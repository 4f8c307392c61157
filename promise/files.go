// SPDX-License-Identifier: GPL-3.0-or-later

package promise

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"slapos/promise/process"
	"slapos/slap/confined"
)

const (
	stateFolder  = ".slapgrid/promise"
	resultFolder = stateFolder + "/result"
	cacheFolder  = stateFolder + "/cache"
	logFolder    = stateFolder + "/log"
)

// stateFile has the attributes of state files. The next run recreates their content.
var stateFile = confined.Attributes{UID: -1, GID: -1, Volatile: true}

// files is the partition's directory as its user sees it: if the agent is root,
// everything there happens with the user's rights.
type files struct {
	rights    *confined.Rights
	directory *confined.Directory
	// folders of the state, opened once.
	folders map[string]*confined.Directory
	own     *confined.Directory // opened only for this run; may be nil
}

func openFiles(directory *confined.Directory, user *process.User) (*files, error) {
	rights, err := confined.TakeRights(user.UID, user.GID, user.Groups)
	if err != nil {
		return nil, err
	}
	opened, err := rights.OpenSame(directory)
	if err != nil {
		rights.Close()
		return nil, err
	}
	return &files{rights: rights, directory: opened, folders: map[string]*confined.Directory{}}, nil
}

func (f *files) close() {
	f.rights.Close()
	for _, folder := range f.folders {
		folder.Close()
	}
	f.directory.Close()
	if f.own != nil {
		f.own.Close()
	}
}

// do calls task with the user's rights, see [confined.Rights.Do].
func (f *files) do(task func() error) error { return f.rights.Do(task) }

// The following must be called within do.

// in finds the folder to look a name up in, and the rest of the name.
func (f *files) in(name string) (*confined.Directory, string) {
	folder, base := path.Split(name)
	if directory := f.folders[strings.TrimSuffix(folder, "/")]; directory != nil {
		return directory, base
	}
	return f.directory, name
}

// makeFolders makes the state folders (PROM-21).
func (f *files) makeFolders() error {
	folders := []struct {
		name string
		mode fs.FileMode
	}{{".slapgrid", 0o777}, {stateFolder, 0o777}, {resultFolder, 0o700}, {cacheFolder, 0o700}, {logFolder, 0o700}}
	for _, folder := range folders {
		if err := f.directory.Mkdir(folder.name, folder.mode); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	for _, folder := range []string{resultFolder, cacheFolder, logFolder} {
		absolute := filepath.Join(f.directory.Name(), folder)
		if err := unix.Faccessat(unix.AT_FDCWD, absolute, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
			return &fs.PathError{Op: "write in", Path: absolute, Err: err}
		}
		opened, err := f.directory.Below(folder)
		if err != nil {
			return err
		}
		if before := f.folders[folder]; before != nil {
			before.Close()
		}
		f.folders[folder] = opened
	}
	return nil
}

func (f *files) read(name string) ([]byte, error) {
	directory, base := f.in(name)
	return directory.Read(base)
}

func (f *files) openRegular(name string, flags int) (*os.File, fs.FileInfo, error) {
	directory, base := f.in(name)
	return directory.OpenRegular(base, flags)
}

// replace writes a file, whole or not at all.
func (f *files) replace(name string, content []byte) error {
	directory, base := f.in(name)
	attributes := stateFile
	attributes.Temporary = base + ".tmp" // PROM-25
	return directory.Write(base, content, attributes)
}

// names lists a directory in its own order (PROM-20); a missing one is empty.
func (f *files) names(folder string) ([]string, error) {
	entries, more, err := f.directory.List(folder, confined.MaxEntries)
	if more {
		return nil, fmt.Errorf("%s has more than %d entries", folder, confined.MaxEntries)
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names, err
}

// giveFolders gives state folders that an agent made as root to the user
// (PROM-21). It needs root's rights, so it must not be called within do.
func giveFolders(opened *confined.Directory) error {
	for _, folder := range []string{resultFolder, cacheFolder, logFolder} {
		if err := opened.GivePath(folder); err != nil {
			return err
		}
	}
	return nil
}
