// SPDX-License-Identifier: GPL-3.0-or-later

package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// UnpackOptions say where to unpack an archive.
type UnpackOptions struct {
	// Directory is made from the archive's top directory, which must have the
	// same base name. It must not exist, but its parent must. If this process
	// is root, Directory belongs to the owner of the parent, and its content to
	// the users that the archive names; otherwise everything belongs to this
	// user.
	Directory string
	// Parent is its parent if that is open already: whoever owns names on the path to
	// it may exchange them. It stays open. If nil, links on the path are followed.
	Parent *os.Root
	// Reserve is how many bytes must stay free on the disk.
	Reserve int64
}

// An UnsafeError says which member made an archive refused, and why.
type UnsafeError struct{ Member, Reason string }

func (e *UnsafeError) Error() string {
	return fmt.Sprintf("refused archive: member %.200q %s", e.Member, e.Reason)
}

// Unpack makes a directory from an archive. It reads src to its end, and an
// error there counts as any other: after an error nothing is left. The
// directory is made under another name beside its own, and renamed.
func Unpack(ctx context.Context, src io.Reader, options UnpackOptions) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("unpack %s: %w", options.Directory, err)
		}
	}()
	inflated, err := decompress(src)
	if err != nil {
		return err
	}
	defer inflated.Close()
	t, err := newTree(options)
	if err != nil {
		return err
	}
	u := &unpacker{tree: t, top: filepath.Base(options.Directory), tar: tar.NewReader(inflated), buffer: make([]byte, 256<<10)}
	err = u.unpackMembers(ctx)
	if err == nil {
		err = drain(inflated)
	}
	if err == nil && !u.found {
		err = fmt.Errorf("no directory %s in the archive", u.top)
	}
	if err != nil {
		return errors.Join(err, t.discard())
	}
	return t.finish()
}

// drain reads the padding after the archive's end.
func drain(r io.Reader) error {
	const maximum = 1 << 20
	n, err := io.Copy(io.Discard, io.LimitReader(r, maximum+1))
	if err == nil && n > maximum {
		err = errors.New("more data follows the archive")
	}
	return err
}

type unpacker struct {
	tree   *tree
	tar    *tar.Reader
	top    string
	found  bool // anything in the top directory
	buffer []byte
}

func (u *unpacker) unpackMembers(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		header, err := u.tar.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := u.unpackMember(header); err != nil {
			return err
		}
	}
}

func (u *unpacker) unpackMember(header *tar.Header) error {
	if header.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	names, err := u.split(header.Name)
	if err != nil {
		return &UnsafeError{header.Name, err.Error()}
	}
	if names == nil { // ".", the parent of the top directory
		if header.Typeflag != tar.TypeDir {
			return &UnsafeError{header.Name, "is not the top directory"}
		}
		return nil
	}
	u.found = true
	if err := u.place(header, names[1:]); err != nil {
		var unsafe *UnsafeError
		if errors.As(err, &unsafe) {
			return err
		}
		return fmt.Errorf("member %.200q: %w", header.Name, err)
	}
	return nil
}

// split returns the parts of a name, the first of which is the top directory;
// none for "." itself.
func (u *unpacker) split(name string) ([]string, error) {
	if strings.HasPrefix(name, "/") {
		return nil, errors.New("has an absolute name")
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return nil, errors.New("has a name that leads out")
		}
	}
	clean := path.Clean(name)
	if clean == "." && name != "" {
		return nil, nil
	}
	names := strings.Split(clean, "/")
	if names[0] != u.top {
		return nil, fmt.Errorf("is not in the directory %s", u.top)
	}
	if len(names) > maxDepth {
		return nil, errors.New("is nested too deeply")
	}
	return names, nil
}

// place makes one member, whose name is below the top directory.
func (u *unpacker) place(header *tar.Header, names []string) error {
	kind := header.Typeflag
	if kind == tar.TypeDir {
		return u.tree.directory(header, names)
	}
	if len(names) == 0 {
		return &UnsafeError{header.Name, "is the top directory, but not a directory"}
	}
	parent, err := u.tree.enter(header.Name, names[:len(names)-1])
	if err != nil {
		return err
	}
	base := names[len(names)-1]
	if err := u.tree.count(header.Name); err != nil {
		return err
	}
	if err := u.makeRoom(parent, base, header); err != nil {
		return err
	}
	switch kind {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		return u.file(parent, base, header)
	case tar.TypeSymlink:
		if err := parent.Symlink(header.Linkname, base); err != nil {
			return err
		}
		return u.tree.giveAway(parent, base, header)
	case tar.TypeLink:
		return u.hardLink(header, names)
	case tar.TypeFifo:
		return u.fifo(parent, base, header)
	case tar.TypeChar, tar.TypeBlock:
		return &UnsafeError{header.Name, "is a device"}
	}
	return &UnsafeError{header.Name, fmt.Sprintf("is of the unknown kind %q", kind)}
}

// makeRoom lets a file occur again, as in archives that were appended to, but
// nothing else.
func (u *unpacker) makeRoom(parent *os.Root, base string, header *tar.Header) error {
	info, err := parent.Lstat(base)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return &UnsafeError{header.Name, "takes the place of another member"}
	}
	if header.Typeflag == tar.TypeLink {
		if linked, err := u.split(header.Linkname); err == nil && path.Join(linked...) == path.Clean(header.Name) {
			return &UnsafeError{header.Name, "is a link to itself"}
		}
	}
	return parent.Remove(base)
}

func (u *unpacker) file(parent *os.Root, base string, header *tar.Header) error {
	if err := u.tree.owner.checkRights(header); err != nil {
		return err
	}
	if err := u.tree.reserve(header.Name, header.Size); err != nil {
		return err
	}
	file, err := parent.OpenFile(base, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = u.copyContent(file, header)
	if err == nil && u.tree.owner.changes { // before the mode: this clears set-id bits
		err = file.Chown(u.tree.owner.of(header))
	}
	if err == nil {
		err = file.Chmod(fileMode(header))
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return parent.Chtimes(base, header.ModTime, header.ModTime)
}

func (u *unpacker) copyContent(file *os.File, header *tar.Header) error {
	for {
		n, readErr := u.tar.Read(u.buffer)
		if n > 0 {
			if err := u.tree.reserve(header.Name, int64(n)); err != nil {
				return err
			}
			if _, err := file.Write(u.buffer[:n]); err != nil {
				return err
			}
			u.tree.room.used += int64(n)
		}
		if readErr == io.EOF {
			return nil
		}
		if readErr != nil {
			return readErr
		}
	}
}

// hardLink makes another name of a file that came earlier in the archive.
func (u *unpacker) hardLink(header *tar.Header, names []string) error {
	target, err := u.split(header.Linkname)
	if err != nil || len(target) < 2 {
		return &UnsafeError{header.Name, fmt.Sprintf("is a link to %.200q, which is not in the archive", header.Linkname)}
	}
	return u.tree.link(header, target[1:], names)
}

func (u *unpacker) fifo(parent *os.Root, base string, header *tar.Header) error {
	directory, err := parent.Open(".")
	if err != nil {
		return err
	}
	defer directory.Close()
	if err := makeFIFO(directory, base); err != nil {
		return err
	}
	if err := u.tree.giveAway(parent, base, header); err != nil {
		return err
	}
	if err := parent.Chmod(base, fileMode(header).Perm()); err != nil {
		return err
	}
	return parent.Chtimes(base, header.ModTime, header.ModTime)
}

// fileMode returns the permissions in a header, with its set-id and sticky bits.
func fileMode(header *tar.Header) fs.FileMode {
	mode := fs.FileMode(header.Mode).Perm()
	if header.Mode&syscall.S_ISUID != 0 {
		mode |= fs.ModeSetuid
	}
	if header.Mode&syscall.S_ISGID != 0 {
		mode |= fs.ModeSetgid
	}
	if header.Mode&syscall.S_ISVTX != 0 {
		mode |= fs.ModeSticky
	}
	return mode
}
