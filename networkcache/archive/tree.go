// SPDX-License-Identifier: GPL-3.0-or-later

package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxDepth is how deep directories may be nested; each keeps a descriptor open
// while something below it is unpacked.
const maxDepth = 256

// A tree is the directory under construction. Until it is finished only this
// user can access it, so that what was checked stays as it was.
//
// The directories from the top to the last member's are open, and get their
// owner, mode and time when a member elsewhere follows. Archives list a
// directory's members together, so each is opened once.
type tree struct {
	parent    *os.Root
	temporary string // name in parent
	name      string
	levels    []*openDirectory
	owner     owner
	room      room
}

type openDirectory struct {
	root     *os.Root
	name     string
	uid, gid int
	mode     fs.FileMode
	modified time.Time
}

func newTree(options UnpackOptions) (*tree, error) {
	parent, err := openParent(options)
	if err != nil {
		return nil, err
	}
	info, err := parent.Stat(".")
	if err != nil {
		return nil, errors.Join(err, parent.Close())
	}
	name := filepath.Base(options.Directory)
	t := &tree{
		parent: parent, name: name,
		temporary: "." + name + ".unpack", // always the same: a killed agent leaves one
		owner:     ownerOf(info),
		room:      room{reserve: options.Reserve},
	}
	if err := t.begin(); err != nil {
		return nil, errors.Join(err, t.discard())
	}
	return t, nil
}

func openParent(options UnpackOptions) (*os.Root, error) {
	if options.Parent == nil {
		return os.OpenRoot(filepath.Dir(options.Directory))
	}
	return options.Parent.OpenRoot(".")
}

func (t *tree) begin() error {
	if err := removeTree(t.parent, t.temporary); err != nil {
		return err
	}
	if err := t.parent.Mkdir(t.temporary, 0o700); err != nil {
		return err
	}
	root, err := t.parent.OpenRoot(t.temporary)
	if err != nil {
		return err
	}
	t.levels = []*openDirectory{t.newDirectory(root, t.name)}
	t.room.directory, err = root.Open(".")
	if err != nil {
		return err
	}
	return t.room.look()
}

// newDirectory is one that the archive has not described yet.
func (t *tree) newDirectory(root *os.Root, name string) *openDirectory {
	return &openDirectory{root: root, name: name, uid: t.owner.uid, gid: t.owner.gid, mode: 0o755, modified: time.Now()}
}

// reserve fails if there is no room for size more bytes.
func (t *tree) reserve(member string, size int64) error {
	if err := t.room.bytes(size); err != nil {
		return &UnsafeError{member, err.Error()}
	}
	return nil
}

// count fails if there are too many members.
func (t *tree) count(member string) error {
	if err := t.room.file(); err != nil {
		return &UnsafeError{member, err.Error()}
	}
	return nil
}

// enter opens the directory with that name below the top, and creates it if
// missing. No part of the name may be a link.
func (t *tree) enter(member string, names []string) (*os.Root, error) {
	common := 1
	for common < len(t.levels) && common <= len(names) && t.levels[common].name == names[common-1] {
		common++
	}
	if err := t.leave(common); err != nil {
		return nil, err
	}
	for _, name := range names[common-1:] {
		if err := t.descend(member, name); err != nil {
			return nil, err
		}
	}
	return t.levels[len(t.levels)-1].root, nil
}

func (t *tree) descend(member, name string) error {
	above := t.levels[len(t.levels)-1].root
	d := t.newDirectory(nil, name)
	info, err := above.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := t.count(member); err != nil {
			return err
		}
		if err := above.Mkdir(name, 0o700); err != nil {
			return err
		}
	case err != nil:
		return err
	case !info.IsDir():
		return &UnsafeError{member, fmt.Sprintf("is below %.200q, which is not a directory", name)}
	default:
		d.mode, d.modified = info.Mode(), info.ModTime()
		if status, ok := info.Sys().(*syscall.Stat_t); ok {
			d.uid, d.gid = int(status.Uid), int(status.Gid)
		}
		if d.mode.Perm()&0o700 != 0o700 {
			if err := above.Chmod(name, 0o700); err != nil {
				return err
			}
		}
	}
	if d.root, err = above.OpenRoot(name); err != nil {
		return err
	}
	t.levels = append(t.levels, d)
	return nil
}

// leave closes all but the first directories.
func (t *tree) leave(keep int) error {
	for len(t.levels) > keep {
		last := t.levels[len(t.levels)-1]
		t.levels = t.levels[:len(t.levels)-1]
		if err := errors.Join(t.complete(last), last.root.Close()); err != nil {
			return err
		}
	}
	return nil
}

// complete sets a directory's owner, mode and time.
func (t *tree) complete(d *openDirectory) error {
	if t.owner.changes {
		if err := d.root.Chown(".", d.uid, d.gid); err != nil {
			return err
		}
	}
	if err := d.root.Chmod(".", d.mode&(fs.ModePerm|fs.ModeSticky|fs.ModeSetgid)); err != nil {
		return err
	}
	return d.root.Chtimes(".", d.modified, d.modified)
}

// giveAway gives a member other than a directory to the owner in its header.
func (t *tree) giveAway(directory *os.Root, name string, header *tar.Header) error {
	if !t.owner.changes {
		return nil
	}
	uid, gid := t.owner.of(header)
	return directory.Lchown(name, uid, gid)
}

// directory places a directory.
func (t *tree) directory(header *tar.Header, names []string) error {
	if _, err := t.enter(header.Name, names); err != nil {
		return err
	}
	last := t.levels[len(t.levels)-1]
	last.mode, last.modified = fileMode(header), header.ModTime
	if len(names) > 0 { // the top keeps its owner, as whom a build runs
		last.uid, last.gid = t.owner.of(header)
	}
	return nil
}

// link makes name a hard link to the file target, both below the top.
func (t *tree) link(header *tar.Header, target, name []string) error {
	top := t.levels[0].root
	for i := range target {
		info, err := top.Lstat(path.Join(target[:i+1]...))
		isLast := i == len(target)-1
		if err != nil || isLast && !info.Mode().IsRegular() || !isLast && !info.IsDir() {
			return &UnsafeError{header.Name, fmt.Sprintf("is a link to %.200q, which is not an earlier file in the archive", header.Linkname)}
		}
	}
	return top.Link(path.Join(target...), path.Join(name...))
}

// finish makes the directory appear at its place.
func (t *tree) finish() error {
	err := t.leave(1)
	if err == nil {
		err = t.complete(t.levels[0])
	}
	if err == nil {
		err = t.rename()
	}
	if err != nil {
		return errors.Join(err, t.discard())
	}
	return errors.Join(t.room.close(), t.levels[0].root.Close(), t.parent.Close())
}

func (t *tree) rename() error {
	if _, err := t.parent.Lstat(t.name); err == nil {
		return fs.ErrExist
	}
	// The name vouches for everything behind it, even after a power loss.
	top, err := t.levels[0].root.Open(".")
	if err != nil {
		return err
	}
	defer top.Close()
	if err := unix.Syncfs(int(top.Fd())); err != nil {
		return os.NewSyscallError("syncfs", err)
	}
	return t.parent.Rename(t.temporary, t.name)
}

// discard removes everything.
func (t *tree) discard() error {
	err := t.room.close()
	for _, level := range t.levels {
		err = errors.Join(err, level.root.Close())
	}
	return errors.Join(err, removeTree(t.parent, t.temporary), t.parent.Close())
}

// removeTree removes directories that their owner can't write to, too.
func removeTree(parent *os.Root, name string) error {
	if os.Geteuid() != 0 {
		if err := unlock(parent, name); err != nil {
			return err
		}
	}
	return parent.RemoveAll(name)
}

// unlock makes directories writable, and nothing else.
func unlock(parent *os.Root, name string) error {
	info, err := parent.Lstat(name)
	if err != nil || !info.IsDir() {
		return nil // RemoveAll reports any error
	}
	if err := parent.Chmod(name, 0o700); err != nil {
		return err
	}
	directory, err := parent.OpenRoot(name)
	if err != nil {
		return err
	}
	defer directory.Close()
	opened, err := directory.Open(".")
	if err != nil {
		return err
	}
	defer opened.Close()
	entries, err := opened.ReadDir(-1)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := unlock(directory, entry.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

func makeFIFO(directory *os.File, name string) error {
	return unix.Mkfifoat(int(directory.Fd()), name, 0o600)
}
