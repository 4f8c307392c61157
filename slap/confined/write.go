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

// Attributes of a written file. An ID of -1 keeps the writer's.
type Attributes struct {
	Mode     fs.FileMode // 0: 0666, minus the process's umask
	UID, GID int
	// Volatile files are recreated after a loss: they are not synced.
	Volatile bool
	// Temporary is the name beside the file under which it is first written;
	// see [Directory.Write].
	Temporary string
}

// AgentFile is for files of the agent that others may read. VolatileFile is for
// those that aren't worth a sync.
var (
	AgentFile    = Attributes{Mode: 0o644, UID: -1, GID: -1}
	VolatileFile = Attributes{Mode: 0o644, UID: -1, GID: -1, Volatile: true}
)

// Write replaces a file as a whole, or leaves it as it was. It removes a
// directory in its place with its content. It first writes under another name,
// by default always the same, so that a killed agent leaves at most one file.
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
		err = d.setAttributes(file, a) // until now its user can't reach it
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

// syncNames makes the names in a directory survive a power loss. If its user
// has replaced it, the loss is that user's.
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

// SyncAll makes everything that was written to the directory's file system
// survive a power loss: notes written afterwards vouch for it (GRID-107).
func (d *Directory) SyncAll() error {
	file, err := d.OpenFile(".", os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	return os.NewSyscallError("syncfs", unix.Syncfs(int(file.Fd())))
}

// create makes a new file. It first removes whatever has its name: somebody
// else's file, or one that a killed agent left.
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

// Append opens a file of the directory's user for appending. It first removes
// whatever else is there.
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

// Remove removes a file or an empty directory; a missing one is no error.
func (d *Directory) Remove(name string) error {
	if err := d.Root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// clearTime bounds [Directory.Clear]: with a user's rights it can't keep that
// user from filling a directory again and again.
const clearTime = 5 * time.Second

// Clear removes whatever has the name of a file of the agent, even a directory
// with its content. If that takes too long, it removes a part and returns an
// error, and the next call continues.
func (d *Directory) Clear(name string) error {
	err := d.Remove(name)
	if !errors.Is(err, fs.ErrExist) { // also for a non-empty directory
		return err
	}
	parent, err := d.OpenFile(path.Dir(name), os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer parent.Close()
	ctx, cancel := context.WithTimeout(context.Background(), d.clearTime)
	defer cancel()
	err = removeFrom(ctx, parent, path.Base(name))
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%s: a directory in the place of a file holds too much: remove it", d.Join(name))
	}
	return err
}

// RemoveTree removes a name in the directory and everything below it, as
// carefully as [Remove].
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

// Empty removes everything in the directory, as carefully as [Remove].
func (d *Directory) Empty(ctx context.Context) error {
	opened, err := d.Root.Open(".")
	if err != nil {
		return err
	}
	defer opened.Close()
	return emptyOpened(ctx, opened)
}

// MakeDirectory makes a directory that belongs to the directory's user, unless
// it exists. Like every file, it gets its mode minus the umask. An empty one of
// root's, which an agent left, is made again.
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

// umask returns the process's umask, which can only be read from a text in
// /proc without changing it.
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

// Link makes name a symbolic link to target that belongs to the directory's
// user. It leaves anything there that is not a link alone (GRID-56).
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
