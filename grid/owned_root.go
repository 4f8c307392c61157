// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"slapos/slap/rooted"
)

// maxFile bounds the files that are read from such a directory: its user writes
// them, or could.
const maxFile = 1 << 20

// An ownedRoot is the directory of a partition or of a release, opened once.
// Its user owns the directory and may change it at any moment, while the agent
// is root: no link leads outside, no pipe blocks, no name is trusted after a
// look at it, and nothing that may be a second name of somebody else's file is
// written or given away. The count of names proves nothing, since the user may
// take away the name under which the agent opened a file; an owner or a kind
// does.
//
// Names are relative to the directory. Root alone changes owners: what another
// agent makes stays its own.
type ownedRoot struct {
	root     *rooted.Root
	path     string
	uid, gid int // owner of the directory
	mode     fs.FileMode
	// linksProtected says that the kernel lets users make hard links to none
	// but their own files.
	linksProtected bool
}

func openOwnedRoot(directory string) (*ownedRoot, error) {
	root, err := rooted.Open(directory)
	if err != nil {
		return nil, err
	}
	info, err := root.Stat(".")
	if err != nil {
		root.Close()
		return nil, fmt.Errorf("%s: %w", directory, err)
	}
	r := &ownedRoot{root: root, path: directory, mode: info.Mode(), linksProtected: hardLinksProtected()}
	r.uid, r.gid = owner(info)
	return r, nil
}

func (r *ownedRoot) Close() error { return r.root.Close() }

// join returns the absolute path of a name, to be told or given to a child.
func (r *ownedRoot) join(name string) string { return filepath.Join(r.path, name) }

// read returns the content of a regular file of at most maxFile bytes. Where
// hard links are not protected it may be that of any file: it must not be told
// to anybody. See [ownedRoot.readOwn].
func (r *ownedRoot) read(name string) ([]byte, error) {
	content, _, err := r.readFile(name)
	return content, err
}

// readOwn is read for a file that must belong to the directory's user.
func (r *ownedRoot) readOwn(name string) ([]byte, error) {
	content, info, err := r.readFile(name)
	if err == nil && !r.owns(info) {
		return nil, fmt.Errorf("%s doesn't belong to user %d", r.join(name), r.uid)
	}
	return content, err
}

func (r *ownedRoot) readFile(name string) ([]byte, fs.FileInfo, error) {
	file, err := r.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is not a regular file", file.Name())
	}
	content, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(content) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", file.Name(), maxFile)
	}
	return content, info, err
}

func (r *ownedRoot) owns(info fs.FileInfo) bool {
	uid, _ := owner(info)
	return uid == r.uid
}

// attributes of a written file; an ID of -1 leaves the agent's.
type attributes struct {
	mode     fs.FileMode
	uid, gid int
}

// agentFile is a file of the agent's own, which others may read.
var agentFile = attributes{mode: 0o644, uid: -1, gid: -1}

// write replaces a file whole, or leaves it as it was. Of a directory in its
// place nothing is left.
func (r *ownedRoot) write(name string, content []byte, a attributes) error {
	temporary := r.temporary(name)
	if err := r.clear(temporary); err != nil {
		return err
	}
	file, err := r.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if os.Geteuid() == 0 && (a.uid >= 0 || a.gid >= 0) {
		err = file.Chown(a.uid, a.gid)
	}
	if err == nil {
		err = file.Chmod(a.mode)
	}
	if err == nil {
		_, err = file.Write(content)
	}
	if err == nil {
		err = file.Sync()
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		err = r.rename(temporary, name)
	}
	if err != nil {
		return errors.Join(err, r.remove(temporary))
	}
	return nil
}

// rename replaces whatever has the new name.
func (r *ownedRoot) rename(old, name string) error {
	err := r.root.Rename(old, name)
	if errors.Is(err, syscall.EISDIR) || errors.Is(err, fs.ErrExist) {
		if err := r.clear(name); err != nil {
			return err
		}
		err = r.root.Rename(old, name)
	}
	return err
}

// temporary is the name beside name under which its next content is written. It
// is always the same, so that an agent that is killed leaves one file at most.
func (r *ownedRoot) temporary(name string) string {
	return path.Join(path.Dir(name), "."+strings.TrimPrefix(path.Base(name), ".")+".new")
}

// append opens a file of the directory's user to be written at its end.
// Whatever is not such a file is removed before.
func (r *ownedRoot) append(name string, mode fs.FileMode) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_APPEND | syscall.O_NONBLOCK
	if file, err := r.root.OpenFile(name, flags, 0); err == nil {
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() && r.owns(info) {
			return file, nil
		}
		file.Close()
	}
	if err := r.clear(name); err != nil {
		return nil, err
	}
	file, err := r.root.OpenFile(name, flags|os.O_CREATE|os.O_EXCL, mode)
	if err == nil && os.Geteuid() == 0 {
		err = file.Chown(r.uid, r.gid)
	}
	return file, err
}

// remove removes a file or an empty directory; nothing there is no error.
func (r *ownedRoot) remove(name string) error {
	if err := r.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// clear removes whatever has the name of a file of the agent's own, also a
// directory with all that is in it.
func (r *ownedRoot) clear(name string) error {
	err := r.remove(name)
	if !errors.Is(err, fs.ErrExist) { // which is also said of a directory that isn't empty
		return err
	}
	parent, err := r.root.OpenFile(path.Dir(name), os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer parent.Close()
	return removeFrom(context.Background(), parent, path.Base(name))
}

// exists tells whether there is anything of that name, a dangling link too.
func (r *ownedRoot) exists(name string) bool {
	_, err := r.root.Lstat(name)
	return err == nil
}

// maxEntries bounds the directories that are listed whole.
const maxEntries = 10_000

// entries lists a directory, sorted. What is no directory has no entries; one
// with too many is an error.
func (r *ownedRoot) entries(directory string) ([]fs.DirEntry, error) {
	opened, err := r.root.OpenFile(directory, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	entries, err := opened.ReadDir(maxEntries + 1)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if len(entries) > maxEntries {
		return nil, fmt.Errorf("%s has more than %d entries", r.join(directory), maxEntries)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// makeDirectory makes a directory of the directory's user, unless it exists.
func (r *ownedRoot) makeDirectory(name string, mode fs.FileMode) error {
	err := r.root.Mkdir(name, mode)
	if errors.Is(err, fs.ErrExist) {
		info, err := r.root.Lstat(name)
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is not a directory", r.join(name))
		}
		return err
	}
	if err != nil {
		return err
	}
	return r.giveAway(name)
}

// link makes name a symbolic link of the directory's user to target. Anything
// there that is not a link is left alone (GRID-56).
func (r *ownedRoot) link(target, name string) error {
	info, err := r.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSymlink:
		return nil
	default:
		if old, err := r.root.Readlink(name); err == nil && old == target {
			if r.owns(info) {
				return nil
			}
		}
	}
	temporary := r.temporary(name)
	if err := r.clear(temporary); err != nil {
		return err
	}
	if err := r.root.Symlink(target, temporary); err != nil {
		return err
	}
	if err := r.giveAway(temporary); err != nil {
		return err
	}
	return r.root.Rename(temporary, name)
}

// giveAway makes the directory's user the owner of a directory or a symbolic
// link; of another file only when the kernel protects hard links.
func (r *ownedRoot) giveAway(name string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	file, err := r.root.OpenFile(name, unix.O_PATH|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if uid, gid := owner(info); uid == r.uid && gid == r.gid {
		return nil
	}
	isPlain := info.Mode().Type()&(fs.ModeDir|fs.ModeSymlink) == 0
	if isPlain && (!r.linksProtected || links(info) > 1) {
		return fmt.Errorf("chown %s: %w", file.Name(), errMaybeLinked)
	}
	if err := unix.Fchownat(int(file.Fd()), "", r.uid, r.gid, unix.AT_EMPTY_PATH); err != nil {
		return fmt.Errorf("chown %s: %w", file.Name(), err)
	}
	return nil
}

var errMaybeLinked = errors.New("it may be a hard link to another user's file")

var hardLinksProtected = sync.OnceValue(func() bool {
	setting, err := os.ReadFile("/proc/sys/fs/protected_hardlinks")
	return err == nil && len(setting) > 0 && setting[0] == '1'
})

// giveAwayTree is giveAway for all below directory that is not the user's, down
// to maxDepth levels and up to maxEntries entries: the agent writes in the first
// few. What can't be given is left.
func (r *ownedRoot) giveAwayTree(directory string) error {
	entries := maxEntries
	return r.giveAwayBelow(directory, maxDepth, &entries)
}

const maxDepth = 16

func (r *ownedRoot) giveAwayBelow(directory string, depth int, left *int) error {
	if depth == 0 || os.Geteuid() != 0 {
		return nil
	}
	entries, err := r.entries(directory)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if *left--; *left < 0 {
			return nil
		}
		name := path.Join(directory, entry.Name())
		if info, err := entry.Info(); err == nil {
			if !r.owns(info) {
				err = r.giveAway(name)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errMaybeLinked) {
				return err
			}
		}
		if entry.IsDir() {
			if err := r.giveAwayBelow(name, depth-1, left); err != nil {
				return err
			}
		}
	}
	return nil
}

func owner(info fs.FileInfo) (uid, gid int) {
	status, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1, -1
	}
	return int(status.Uid), int(status.Gid)
}

func links(info fs.FileInfo) uint64 {
	status, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 1
	}
	return uint64(status.Nlink)
}
