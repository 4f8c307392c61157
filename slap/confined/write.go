// SPDX-License-Identifier: GPL-3.0-or-later

package confined

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Attributes of a written file. An ID of -1 leaves the writer's.
type Attributes struct {
	Mode     fs.FileMode // 0: 0666, less the process's umask
	UID, GID int
	// Volatile files are made anew after a loss: they are not synced.
	Volatile bool
	// Temporary is the name under which the file is written first, beside it; see
	// [Directory.Write].
	Temporary string
}

// AgentFile is a file of the agent's own, which others may read. VolatileFile is
// one that is not worth a sync.
var (
	AgentFile    = Attributes{Mode: 0o644, UID: -1, GID: -1}
	VolatileFile = Attributes{Mode: 0o644, UID: -1, GID: -1, Volatile: true}
)

// Write replaces a file whole, or leaves it as it was. A directory in its place is
// removed with all that is in it. The file is written under another name first, by
// default always the same, so that an agent that is killed leaves one file at most.
func (d *Directory) Write(name string, content []byte, a Attributes) error {
	temporary := temporaryName(name)
	if a.Temporary != "" {
		temporary = path.Join(path.Dir(name), a.Temporary)
	}
	file, err := d.create(temporary, a)
	if err != nil {
		return err
	}
	if _, err = file.Write(content); err == nil {
		err = d.setAttributes(file, a) // until then it is out of its user's reach
	}
	if err == nil && !a.Volatile {
		err = file.Sync()
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		err = d.Rename(temporary, name)
	}
	if err != nil {
		return errors.Join(err, d.Remove(temporary))
	}
	if a.Volatile {
		return nil
	}
	return d.syncNames(path.Dir(name))
}

// syncNames makes the names in a directory last through a loss of power. Its user may
// have exchanged it, which is that user's loss.
func (d *Directory) syncNames(directory string) error {
	file, err := d.OpenFile(directory, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // not every file system can
		return err
	}
	return nil
}

// SyncAll makes all that was written to the directory's file system last through a
// loss of power: what is noted afterwards vouches for it (GRID-107).
func (d *Directory) SyncAll() error {
	file, err := d.OpenFile(".", os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	return os.NewSyscallError("syncfs", unix.Syncfs(int(file.Fd())))
}

// create makes a new file. Whatever has its name is removed first: it is somebody
// else's, or what a killed agent left.
func (d *Directory) create(name string, a Attributes) (*os.File, error) {
	mode := fs.FileMode(0o600)
	if a.Mode == 0 {
		mode = 0o666
	}
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	file, err := d.OpenFile(name, flags, mode)
	if !errors.Is(err, fs.ErrExist) {
		return file, err
	}
	if err := d.Clear(name); err != nil {
		return nil, err
	}
	return d.OpenFile(name, flags, mode)
}

func (d *Directory) setAttributes(file *os.File, a Attributes) error {
	if d.gives && (a.UID >= 0 || a.GID >= 0) {
		if err := file.Chown(a.UID, a.GID); err != nil {
			return err
		}
	}
	if a.Mode == 0 {
		return nil
	}
	return file.Chmod(a.Mode)
}

func temporaryName(name string) string {
	return path.Join(path.Dir(name), "."+strings.TrimPrefix(path.Base(name), ".")+".new")
}

// Rename replaces whatever has the new name.
func (d *Directory) Rename(old, name string) error {
	err := d.Root.Rename(old, name)
	if errors.Is(err, syscall.EISDIR) || errors.Is(err, fs.ErrExist) {
		if err := d.Clear(name); err != nil {
			return err
		}
		err = d.Root.Rename(old, name)
	}
	return err
}

// Append opens a file of the directory's user to be written at its end.
// Whatever is not such a file is removed before.
func (d *Directory) Append(name string, mode fs.FileMode) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_APPEND | syscall.O_NONBLOCK
	if file, err := d.OpenFile(name, flags, 0); err == nil {
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() && d.Owns(info) {
			return file, nil
		}
		file.Close()
	}
	if err := d.Clear(name); err != nil {
		return nil, err
	}
	file, err := d.OpenFile(name, flags|os.O_CREATE|os.O_EXCL, mode)
	if err == nil && d.gives {
		err = file.Chown(d.UID, d.GID)
	}
	return file, err
}

// Remove removes a file or an empty directory; nothing there is no error.
func (d *Directory) Remove(name string) error {
	if err := d.Root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// clearTime bounds a [Directory.Clear]: with the rights of a user it can't keep that
// user from filling a directory again all the time.
var clearTime = 5 * time.Second

// Clear removes whatever has the name of a file of the agent's own, also a
// directory with all that is in it. When that lasts long, a part goes, the rest is
// an error, and the next call goes on.
func (d *Directory) Clear(name string) error {
	err := d.Remove(name)
	if !errors.Is(err, fs.ErrExist) { // also for a directory that isn't empty
		return err
	}
	parent, err := d.OpenFile(path.Dir(name), os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer parent.Close()
	ctx, cancel := context.WithTimeout(context.Background(), clearTime)
	defer cancel()
	err = removeFrom(ctx, parent, path.Base(name))
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%s: a directory in the place of a file holds too much: remove it", d.Join(name))
	}
	return err
}

// RemoveTree removes a name in the directory and all that is below it, with the care
// of [Remove].
func (d *Directory) RemoveTree(ctx context.Context, name string) error {
	opened, err := d.Handle()
	if err != nil {
		return err
	}
	defer opened.Close()
	if !IsName(name) {
		return fmt.Errorf("remove %s: not the name of a tree", d.Join(name))
	}
	return removeFrom(ctx, opened, name)
}

// Empty removes all that is in the directory, with the care of [Remove].
func (d *Directory) Empty(ctx context.Context) error {
	opened, err := d.Root.Open(".")
	if err != nil {
		return err
	}
	defer opened.Close()
	return emptyOpened(ctx, opened)
}

// MakeDirectory makes a directory of the directory's user, unless it exists: less
// the process's umask, as every file. One of root's that an agent left empty is
// made anew.
func (d *Directory) MakeDirectory(name string, mode fs.FileMode) error {
	err := d.makeDirectory(name, mode)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := d.Lstat(name)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &fs.PathError{Op: "mkdir", Path: d.Join(name), Err: syscall.ENOTDIR}
	}
	if uid, _ := Owner(info); d.gives && uid == 0 && d.UID != 0 && d.Root.Remove(name) == nil {
		return d.makeDirectory(name, mode)
	}
	return nil
}

func (d *Directory) makeDirectory(name string, mode fs.FileMode) error {
	if !d.gives {
		return d.Mkdir(name, mode)
	}
	parent, err := d.OpenFile(path.Dir(name), os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer parent.Close()
	if err := makeFor(int(parent.Fd()), path.Base(name), mode&^umask(), d.UID, d.GID); err != nil {
		return &fs.PathError{Op: "mkdir", Path: d.Join(name), Err: err}
	}
	return nil
}

// umask is that of the process, which can't be asked without changing it, but for
// a text in /proc.
var umask = sync.OnceValue(func() fs.FileMode {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if text, found := strings.CutPrefix(line, "Umask:"); found {
			mask, err := strconv.ParseUint(strings.TrimSpace(text), 8, 32)
			if err == nil {
				return fs.FileMode(mask)
			}
		}
	}
	return 0o022
})

// Link makes name a symbolic link of the directory's user to target. Anything
// there that is not a link is left alone (GRID-56).
func (d *Directory) Link(target, name string) error {
	info, err := d.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSymlink:
		return nil
	default:
		if old, err := d.Readlink(name); err == nil && old == target && d.Owns(info) {
			return nil
		}
	}
	temporary := temporaryName(name)
	if err := d.Clear(temporary); err != nil {
		return err
	}
	if err := d.Symlink(target, temporary); err != nil {
		return err
	}
	if err := d.giveLink(temporary); err != nil {
		return err
	}
	return d.Root.Rename(temporary, name)
}
